//! `--initial-cluster`: who forms a new cluster, and that this member is one of them.

use super::Refusal;
use super::urls;
use super::values::Values;

/// Members with their peer URLs, sorted by name.
pub type Members = Vec<(String, Vec<String>)>;

/// Reads it, or makes it of this member alone if it is not given.
pub fn members(values: &Values) -> Result<Members, Refusal> {
    let name = values.text("name");
    let advertised = urls::list(values, "initial-advertise-peer-urls")?;
    // With discovery this member is all that is known until it has been asked for.
    if !values.is_set("initial-cluster") {
        return Ok(vec![(name.to_owned(), advertised)]);
    }
    listed(name, values.text("initial-cluster"), &advertised)
}

/// Reads a list that must hold the member of that name as it advertises itself.
pub fn listed(name: &str, given: &str, advertised: &[String]) -> Result<Members, Refusal> {
    let members = parse(given).map_err(|reason| {
        Refusal::new(format!(
            "invalid value {given:?} for flag -initial-cluster: {reason}"
        ))
    })?;
    let Some((_, own)) = members.iter().find(|(member, _)| member == name) else {
        return Err(Refusal::new(format!(
            "couldn't find local name {name:?} in the initial cluster configuration of \
             --initial-cluster"
        )));
    };
    if *own != advertised {
        return Err(Refusal::new(format!(
            "--initial-cluster has {name}={} but --initial-advertise-peer-urls={}",
            own.join(","),
            advertised.join(",")
        )));
    }
    Ok(members)
}

/// Reads a list as `--initial-cluster` has it.
pub fn parse(given: &str) -> Result<Members, String> {
    let mut members = Members::new();
    for entry in given
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let (name, url) = entry.split_once('=').unwrap_or((entry, ""));
        if url.is_empty() {
            return Err(format!("empty URL given for {name:?}"));
        }
        urls::check(url)?;
        let url = url.trim_end_matches('/').to_owned();
        if members.iter().any(|(_, urls)| urls.contains(&url)) {
            return Err(format!("URL {url} is given twice"));
        }
        match members.iter_mut().find(|(member, _)| member == name) {
            Some((_, urls)) => urls.push(url),
            None => members.push((name.to_owned(), vec![url])),
        }
    }
    for (_, urls) in &mut members {
        urls.sort();
    }
    members.sort();
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::super::table::find;
    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<Members, String> {
        let mut values = Values::default();
        for (name, value) in flags {
            values.set(find(name).unwrap(), value).unwrap();
        }
        members(&values).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn without_a_list_the_member_is_alone() {
        let alone = read(&[
            ("name", "a"),
            ("initial-advertise-peer-urls", "http://1.2.3.4:5"),
        ]);
        assert_eq!(
            alone,
            Ok(vec![("a".to_owned(), vec!["http://1.2.3.4:5".to_owned()])])
        );
    }

    #[test]
    fn a_list_must_hold_this_member_as_it_advertises_itself() {
        let list = (
            "initial-cluster",
            "b=http://h:2,a=http://localhost:2380,a=http://h:1",
        );
        let both = "http://h:1,http://localhost:2380";
        let members = read(&[list, ("name", "a"), ("initial-advertise-peer-urls", both)]).unwrap();
        assert_eq!(members[0].1, ["http://h:1", "http://localhost:2380"]);
        assert_eq!(members[1].0, "b");
        let differs = read(&[list, ("name", "a")]).unwrap_err();
        assert!(differs.starts_with("--initial-cluster has a="), "{differs}");
        let missing = read(&[list, ("name", "c")]).unwrap_err();
        assert!(
            missing.starts_with("couldn't find local name \"c\""),
            "{missing}"
        );
    }

    #[test]
    fn entries_must_be_whole_and_distinct() {
        assert!(
            parse("a")
                .unwrap_err()
                .contains("empty URL given for \"a\"")
        );
        assert!(parse("a=http://h").unwrap_err().contains("host:port"));
        assert!(
            parse("a=http://h:1,b=http://h:1")
                .unwrap_err()
                .contains("twice")
        );
    }
}
