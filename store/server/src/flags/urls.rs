//! URLs of listeners and members, by etcd's rules for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Url;

use super::Refusal;
use super::values::Values;
use crate::settings::ListenUrl;

/// The URLs of a flag, sorted as etcd sorts them; each must be one.
pub fn list(values: &Values, flag: &str) -> Result<Vec<String>, Refusal> {
    split(values.text(flag), flag)
}

/// The URLs in the text of a flag.
pub fn split(given: &str, flag: &str) -> Result<Vec<String>, Refusal> {
    let mut urls = Vec::new();
    for url in given.split(',').map(str::trim) {
        check(url).map_err(|reason| {
            Refusal::new(format!(
                "invalid value {given:?} for flag -{flag}: {reason}"
            ))
        })?;
        urls.push(url.trim_end_matches('/').to_owned());
    }
    urls.sort();
    Ok(urls)
}

/// The addresses a flag's URLs listen on; empty for an empty flag.
pub fn listeners(values: &Values, flag: &str) -> Result<Vec<ListenUrl>, Refusal> {
    if values.text(flag).is_empty() {
        return Ok(Vec::new());
    }
    let urls = list(values, flag)?;
    urls.iter()
        .map(|url| {
            let address = address(url);
            let address = address.map_err(|reason| Refusal::new(format!("--{flag}: {reason}")))?;
            let tls = url.starts_with("https://");
            Ok(ListenUrl { address, tls })
        })
        .collect()
}

/// A member's URL: http or https, a host, a port, and nothing more.
pub fn check(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
    match parsed.scheme() {
        "http" | "https" => {}
        "unix" | "unixs" => return Err(format!("unix sockets are not there yet: {url}")),
        _ => {
            return Err(format!(
                "URL scheme must be http, https, unix, or unixs: {url}"
            ));
        }
    }
    if host_port(url).is_none() {
        return Err(format!(
            "URL address does not have the form \"host:port\": {url}"
        ));
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
        return Err(format!("URL must not contain a path: {url}"));
    }
    Ok(())
}

/// Where to listen: an IP address or `localhost`, because a name may mean anything tomorrow.
fn address(url: &str) -> Result<SocketAddr, String> {
    let malformed = || format!("URL address does not have the form \"host:port\": {url}");
    let (host, port) = host_port(url).ok_or_else(malformed)?;
    let ip = if host == "localhost" {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse()
            .map_err(|_| format!("expected IP in URL for binding ({url})"))?
    };
    Ok(SocketAddr::new(ip, port))
}

/// Host and port as written: a URL's default port is no port given.
pub fn host_port(url: &str) -> Option<(&str, u16)> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.rsplit_once(':')?;
    if host.is_empty() {
        return None;
    }
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_members() {
        for good in [
            "http://10.0.0.1:2380",
            "https://a.example:1",
            "http://[::1]:80/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let port = check("http://10.0.0.1").unwrap_err();
        assert!(port.contains("does not have the form"), "{port}");
        assert!(
            check("http://a:1/path")
                .unwrap_err()
                .contains("must not contain a path")
        );
        assert!(check("ftp://a:1").unwrap_err().contains("scheme must be"));
        assert!(check("a:1").is_err());
        assert!(check("").is_err());
    }

    #[test]
    fn listeners_need_an_address() {
        assert_eq!(
            address("http://localhost:2379"),
            Ok(([127, 0, 0, 1], 2379).into())
        );
        assert_eq!(address("http://[::1]:5").unwrap().to_string(), "[::1]:5");
        assert_eq!(
            address("http://host.example:1"),
            Err("expected IP in URL for binding (http://host.example:1)".to_owned())
        );
    }
}
