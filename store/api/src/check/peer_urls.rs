//! Peer URLs of a member that is added or updated, by etcd's rules for them.

use crate::error::Error;

/// The URLs as given, if there is one and each is http or https with a host, a port and nothing more.
/// etcd also takes unix sockets; members reach each other by TCP here.
pub fn peer_urls(given: &[String]) -> Result<Vec<String>, Error> {
    let mut urls = Vec::with_capacity(given.len());
    for url in given.iter().map(|url| url.trim()) {
        if !is_peer_url(url) {
            return Err(Error::MemberBadUrls);
        }
        urls.push(url.to_owned());
    }
    match urls.is_empty() {
        true => Err(Error::MemberBadUrls),
        false => Ok(urls),
    }
}

fn is_peer_url(url: &str) -> bool {
    let bare = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    // Whatever may follow a host and a port begins with one of these.
    let Some(authority) = bare.filter(|bare| !bare.contains(['/', '?', '#', '@', ' '])) else {
        return false;
    };
    let Some((host, port)) = authority.rsplit_once(':') else {
        return false;
    };
    let whole = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|a| a.contains(':')),
        None => !host.contains([':', '[', ']']),
    };
    whole && !host.is_empty() && port.parse::<u16>().is_ok() && url::Url::parse(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls_come_back_without_blanks() {
        let given = ["https://b.example:2", " http://[::1]:1 "].map(str::to_owned);
        let urls = peer_urls(&given).unwrap();
        assert_eq!(urls, ["https://b.example:2", "http://[::1]:1"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(peer_urls(&[]), Err(Error::MemberBadUrls));
        for bad in [
            "",
            "a:1",
            "http://a",
            "http://a:",
            "http://a:x",
            "http://a:70000",
            "http://a:1/",
            "http://a:1/path",
            "http://::1:1",
            "http://:1",
            "ftp://a:1",
            "unix://a:1",
        ] {
            let refused = peer_urls(&["http://good:1".to_owned(), bad.to_owned()]);
            assert_eq!(refused, Err(Error::MemberBadUrls), "{bad}");
        }
    }
}
