//! `--discovery-*`: where the initial cluster is to be found, when it is not given.

use std::path::PathBuf;

use mainstay_transport::ClientFiles;

use super::Refusal;
use super::urls;
use super::values::Values;
use crate::settings::{Discovery, Registry};

/// What to ask, if anything.
pub fn read(values: &Values) -> Result<Option<Discovery>, Refusal> {
    let domain = values.text("discovery-srv");
    let (endpoints, token) = (
        values.text("discovery-endpoints"),
        values.text("discovery-token"),
    );
    let given = [
        values.is_set("initial-cluster"),
        !domain.is_empty(),
        !endpoints.is_empty(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Refusal::new(
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery-endpoints\" or \"discovery-srv\"",
        ));
    }
    if endpoints.is_empty() != token.is_empty() {
        return Err(Refusal::new(
            "both --discovery-token and --discovery-endpoints must be set",
        ));
    }
    if !domain.is_empty() {
        return Ok(Some(Discovery::Srv {
            domain: domain.to_owned(),
            suffix: values.text("discovery-srv-name").to_owned(),
        }));
    }
    if endpoints.is_empty() {
        return Ok(None);
    }
    if values.text("initial-cluster-state") == "existing" {
        return Err(Refusal::new(
            "discovery URL should not be set when joining existing initial cluster",
        ));
    }
    let tls = tls(values, endpoints)?;
    Ok(Some(Discovery::Registry(Registry {
        endpoints: listed(endpoints, tls.is_some())?,
        tls,
        token: token.to_owned(),
        dial_timeout: values.duration("discovery-dial-timeout"),
        request_timeout: values.duration("discovery-request-timeout"),
        login: login(values)?,
    })))
}

/// TLS with the service, as etcd's client sees it: the scheme of the first endpoint counts for all of
/// them, and without one TLS is spoken if any flag asks for it.
fn tls(values: &Values, endpoints: &str) -> Result<Option<ClientFiles>, Refusal> {
    let file = |name| match values.text(name) {
        "" => None,
        path => Some(PathBuf::from(path)),
    };
    let pair = match (file("discovery-cert"), file("discovery-key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            return Err(Refusal::new(
                "--discovery-cert and --discovery-key must be set together",
            ));
        }
    };
    let files = ClientFiles {
        trusted_ca: file("discovery-cacert"),
        pair,
        skip_verify: values.boolean("discovery-insecure-skip-tls-verify"),
    };
    let is_asked_for =
        files != ClientFiles::default() || !values.boolean("discovery-insecure-transport");
    let first = endpoints.trim_start();
    let is_spoken = match first.starts_with("http://") {
        true => false,
        false => first.starts_with("https://") || is_asked_for,
    };
    Ok(is_spoken.then_some(files))
}

/// Endpoints as etcd's clients take them: with or without a scheme.
fn listed(given: &str, secure: bool) -> Result<Vec<String>, Refusal> {
    let scheme = if secure { "https" } else { "http" };
    let endpoint = |endpoint: &str| {
        let endpoint = endpoint.trim();
        if endpoint.is_empty() {
            return Err(Refusal::new(
                "--discovery-endpoints must not contain empty endpoints",
            ));
        }
        let bare = ["http://", "https://"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        let url = format!("{scheme}://{}", bare.unwrap_or(endpoint));
        urls::check(&url).map_err(|reason| {
            Refusal::new(format!(
                "invalid value {given:?} for flag -discovery-endpoints: {reason}"
            ))
        })?;
        Ok(url)
    };
    given.split(',').map(endpoint).collect()
}

fn login(values: &Values) -> Result<Option<(String, String)>, Refusal> {
    let (user, password) = (
        values.text("discovery-user"),
        values.text("discovery-password"),
    );
    match (user.split_once(':'), password.is_empty()) {
        _ if user.is_empty() => Ok(None),
        (Some((name, password)), true) => Ok(Some((name.to_owned(), password.to_owned()))),
        (None, false) => Ok(Some((user.to_owned(), password.to_owned()))),
        _ => Err(Refusal::new(
            "--discovery-user needs one password: behind a colon or by --discovery-password",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    fn read_from(arguments: &[&str]) -> Result<Option<Discovery>, String> {
        settings(arguments, &[]).map(|settings| settings.discovery)
    }

    #[test]
    fn one_way_to_the_initial_cluster_at_most() {
        assert_eq!(read_from(&[]), Ok(None));
        let both = [
            "--discovery-srv=a.example",
            "--initial-cluster=default=http://localhost:2380",
        ];
        assert!(read_from(&both).unwrap_err().contains("Choose one of"));
        let half = read_from(&["--discovery-token=t"]).unwrap_err();
        assert!(half.contains("must be set"), "{half}");
        let srv = read_from(&["--discovery-srv=a.example", "--discovery-srv-name=x"]);
        let (domain, suffix) = ("a.example".to_owned(), "x".to_owned());
        assert_eq!(srv, Ok(Some(Discovery::Srv { domain, suffix })));
    }

    #[test]
    fn a_registry_has_endpoints_and_perhaps_a_login() {
        let token = "--discovery-token=t";
        let read = |more: &str| read_from(&[token, "--discovery-endpoints=a:1,http://b:2", more]);
        let Ok(Some(Discovery::Registry(registry))) = read("--discovery-user=u:p") else {
            panic!("a registry");
        };
        assert_eq!(registry.endpoints, ["http://a:1", "http://b:2"]);
        assert_eq!(registry.login, Some(("u".to_owned(), "p".to_owned())));
        assert!(!format!("{registry:?}").contains("\"p\""));
        assert!(
            read("--discovery-user=u")
                .unwrap_err()
                .contains("one password")
        );
        let empty = read_from(&[token, "--discovery-endpoints=a:1,"]).unwrap_err();
        assert!(empty.contains("must not contain empty"), "{empty}");
    }

    fn registry(endpoints: &str, more: &[&str]) -> Registry {
        let endpoints = format!("--discovery-endpoints={endpoints}");
        let arguments = [&["--discovery-token=t", &endpoints], more].concat();
        match read_from(&arguments) {
            Ok(Some(Discovery::Registry(registry))) => registry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_scheme_says_whether_tls_is_spoken_and_flags_do_without_one() {
        let ca = "--discovery-cacert=/ca";
        for (endpoints, more, secure) in [
            ("a:1", &[][..], false),
            ("https://a:1", &[], true),
            ("a:1", &[ca], true),
            ("a:1", &["--discovery-insecure-transport=false"], true),
            ("a:1", &["--discovery-insecure-skip-tls-verify"], true),
            ("http://a:1", &[ca], false),
            ("https://a:1,http://b:2", &[], true),
            ("http://a:1,https://b:2", &[ca], false),
        ] {
            let found = registry(endpoints, more);
            assert_eq!(found.tls.is_some(), secure, "{endpoints} {more:?}");
            let scheme = if secure { "https://" } else { "http://" };
            for url in &found.endpoints {
                assert!(url.starts_with(scheme), "{url}");
            }
        }
    }

    #[test]
    fn files_are_passed_on_and_half_a_pair_is_refused() {
        let (cert, key) = ("--discovery-cert=/c", "--discovery-key=/k");
        let files = registry("a:1", &[cert, key, "--discovery-cacert=/ca"]).tls;
        let expected = ClientFiles {
            trusted_ca: Some("/ca".into()),
            pair: Some(("/c".into(), "/k".into())),
            skip_verify: false,
        };
        assert_eq!(files, Some(expected));
        let half = ["--discovery-token=t", "--discovery-endpoints=a:1", cert];
        let half = read_from(&half).unwrap_err();
        assert!(half.contains("must be set together"), "{half}");
    }
}
