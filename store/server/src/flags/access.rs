//! `--cors` and `--host-whitelist`, each a list of names or `*` for all, and
//! `--enable-grpc-gateway`.

use mainstay_api::{Access, Listed};
use url::Url;

use super::values::Values;
use super::{Refusal, urls};

const ALL: &str = "*";

pub fn read(values: &Values) -> Result<Access, Refusal> {
    Ok(Access {
        origins: origins(values.text("cors"))?,
        hosts: hosts(values.text("host-whitelist")),
        without_gateway: !values.boolean("enable-grpc-gateway"),
    })
}

/// Either `*` alone, or origins as a browser sends them, `scheme://host:port`.
fn origins(given: &str) -> Result<Listed, Refusal> {
    if given == ALL {
        return Ok(Listed::All);
    }
    let mut origins = std::collections::BTreeSet::new();
    for origin in given.split(',').map(str::trim) {
        let origin = origin.trim_end_matches('/');
        check(origin).map_err(|reason| {
            Refusal::new(format!("invalid value {given:?} for flag -cors: {reason}"))
        })?;
        origins.insert(origin.to_owned());
    }
    Ok(Listed::Only(origins))
}

fn check(origin: &str) -> Result<(), String> {
    let url = Url::parse(origin).map_err(|error| format!("{origin:?} is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("URL scheme must be http or https: {origin}"));
    }
    if urls::host_port(origin).is_none() {
        return Err(format!(
            "URL address does not have the form \"host:port\": {origin}"
        ));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!("URL must not contain a path: {origin}"));
    }
    Ok(())
}

/// A `*` among the names lets all in (etcd).
fn hosts(given: &str) -> Listed {
    let hosts: std::collections::BTreeSet<String> = given
        .split(',')
        .map(|host| host.trim().to_owned())
        .collect();
    if hosts.contains(ALL) {
        Listed::All
    } else {
        Listed::Only(hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    fn only(names: &[&str]) -> Listed {
        Listed::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn everybody_is_answered_by_default() {
        let access = settings(&[], &[]).unwrap().access;
        assert_eq!((access.origins, access.hosts), (Listed::All, Listed::All));
        assert!(!access.without_gateway);
        let off = settings(&["--enable-grpc-gateway=false"], &[]).unwrap();
        assert!(off.access.without_gateway);
    }

    #[test]
    fn lists_are_kept_as_given() {
        let flags = [
            "--cors=http://a:1,https://b:2/",
            "--host-whitelist=a,b.example",
        ];
        let access = settings(&flags, &[]).unwrap().access;
        assert_eq!(access.origins, only(&["http://a:1", "https://b:2"]));
        assert_eq!(access.hosts, only(&["a", "b.example"]));
        let all = settings(&["--host-whitelist=a,*"], &[]).unwrap().access;
        assert_eq!(all.hosts, Listed::All);
    }

    #[test]
    fn an_origin_needs_scheme_host_and_port() {
        for wrong in [
            "a:1",
            "http://a",
            "ftp://a:1",
            "http://a:1/x",
            "*,http://a:1",
            "",
        ] {
            let refusal = settings(&[&format!("--cors={wrong}")], &[]).unwrap_err();
            assert!(refusal.contains("-cors"), "{wrong}: {refusal}");
        }
    }
}
