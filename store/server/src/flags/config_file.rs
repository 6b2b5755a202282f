//! `--config-file`: the same settings as YAML, in etcd's form of it.
//!
//! A file replaces flags and environment altogether (etcd); what they set besides is named in a
//! warning. Keys are the flags' names, except in four sections, which have names of their own
//! (`SECTIONS`). A list stands for what a flag has comma by comma. A duration is a number of
//! nanoseconds, which is all etcd takes, or is written as in a flag. Keys nobody knows are ignored
//! as in etcd, but not in silence.

use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::table::{Flag, Kind, find};
use super::values::Values;
use super::{Refusal, env};

/// Longest file that is read. What is larger is no list of settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A path into the file and the flags its keys stand for.
type Section = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

const SECTIONS: &[Section] = &[
    (
        &["client-transport-security"],
        &[
            ("cert-file", "cert-file"),
            ("key-file", "key-file"),
            ("client-cert-file", "client-cert-file"),
            ("client-key-file", "client-key-file"),
            ("client-cert-auth", "client-cert-auth"),
            ("trusted-ca-file", "trusted-ca-file"),
            ("auto-tls", "auto-tls"),
            ("allowed-hostname", "client-cert-allowed-hostname"),
        ],
    ),
    (
        &["peer-transport-security"],
        &[
            ("cert-file", "peer-cert-file"),
            ("key-file", "peer-key-file"),
            ("client-cert-file", "peer-client-cert-file"),
            ("client-key-file", "peer-client-key-file"),
            ("client-cert-auth", "peer-client-cert-auth"),
            ("trusted-ca-file", "peer-trusted-ca-file"),
            ("auto-tls", "peer-auto-tls"),
            ("allowed-cn", "peer-cert-allowed-cn"),
            ("allowed-hostname", "peer-cert-allowed-hostname"),
            (
                "skip-client-san-verification",
                "peer-skip-client-san-verification",
            ),
        ],
    ),
    (
        &["socket-options"],
        &[
            ("reuse-port", "socket-reuse-port"),
            ("reuse-address", "socket-reuse-address"),
        ],
    ),
    (&["discovery-config"], &[("token", "discovery-token")]),
    (
        &["discovery-config", "client"],
        &[
            ("endpoints", "discovery-endpoints"),
            ("dial-timeout", "discovery-dial-timeout"),
            ("request-timeout", "discovery-request-timeout"),
            ("keepalive-time", "discovery-keepalive-time"),
            ("keepalive-timeout", "discovery-keepalive-timeout"),
        ],
    ),
    (
        &["discovery-config", "client", "secure"],
        &[
            ("cert", "discovery-cert"),
            ("key", "discovery-key"),
            ("cacert", "discovery-cacert"),
            ("insecure-transport", "discovery-insecure-transport"),
            (
                "insecure-skip-tls-verify",
                "discovery-insecure-skip-tls-verify",
            ),
        ],
    ),
    (
        &["discovery-config", "client", "auth"],
        &[
            ("username", "discovery-user"),
            ("password", "discovery-password"),
        ],
    ),
];

const FLAG: &str = "config-file";

/// The file that the flag names, or else its variable.
pub fn asked_for(given: &Values, environment: &[(String, String)]) -> Option<String> {
    let by_variable = || {
        let mut variables = environment.iter();
        variables.find(|(name, _)| *name == env::variable_of(FLAG))
    };
    let path = match given.text(FLAG) {
        "" => by_variable().map_or("", |(_, value)| value),
        path => path,
    };
    (!path.is_empty()).then(|| path.to_owned())
}

/// The settings of a file, instead of those the flags gave.
pub fn instead_of(given: &Values, path: &str) -> Result<Values, Refusal> {
    let wrong = |reason: String| Refusal::new(format!("--{FLAG} {path}: {reason}"));
    let text = text(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
    let mut values = read(&text).map_err(wrong)?;
    for name in given.names().filter(|name| *name != FLAG) {
        let ignored = format!("--{name} is ignored: --{FLAG} replaces it");
        values.warnings.push(ignored);
    }
    Ok(values)
}

fn text(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        let large = format!("{bytes} bytes, at most {FILE_BYTES_MAX} are read");
        return Err(std::io::Error::other(large));
    }
    std::fs::read_to_string(path)
}

fn read(text: &str) -> Result<Values, String> {
    let mut values = Values::default();
    match serde_yaml::from_str(text).map_err(|error| error.to_string())? {
        // An empty file changes nothing.
        Value::Null => {}
        Value::Mapping(map) => section(&mut values, &mut Vec::new(), &map)?,
        _ => return Err("it is no mapping of settings".to_owned()),
    }
    Ok(values)
}

/// Takes the keys below `path`, and the sections below it.
fn section(values: &mut Values, path: &mut Vec<String>, map: &Mapping) -> Result<(), String> {
    for (key, value) in map {
        let Value::String(key) = key else {
            return Err(format!("{}: a key is not a string", place(path, "")));
        };
        path.push(key.clone());
        let inner = SECTIONS.iter().any(|(section, _)| is_at(section, path));
        match value {
            Value::Null => {}
            Value::Mapping(map) if inner => section(values, path, map)?,
            _ if inner => return Err(format!("{}: is no mapping", place(path, ""))),
            value => match flag(path) {
                Some(flag) => set(values, path, flag, value)?,
                None => values
                    .warnings
                    .push(format!("--{FLAG}: unrecognized key {}", place(path, ""))),
            },
        }
        path.pop();
    }
    Ok(())
}

/// Whether a section is at a path or below it.
fn is_at(section: &[&str], path: &[String]) -> bool {
    section.len() >= path.len() && section.iter().zip(path).all(|(name, key)| name == key)
}

/// The flag a key stands for.
fn flag(path: &[String]) -> Option<&'static Flag> {
    let (key, section) = path.split_last()?;
    // A file that names a file would replace itself.
    if section.is_empty() {
        return find(key).filter(|flag| flag.name != FLAG);
    }
    let (_, keys) = SECTIONS.iter().find(|(names, _)| *names == section)?;
    let (_, name) = keys.iter().find(|(own, _)| own == key)?;
    find(name)
}

fn set(
    values: &mut Values,
    path: &[String],
    flag: &'static Flag,
    value: &Value,
) -> Result<(), String> {
    if values.is_set(flag.name) {
        return Err(format!("{}: is given twice", place(path, "")));
    }
    let text = scalars(flag, value).ok_or_else(|| place(path, ": is no value for it"))?;
    let set = values.set(flag, &text);
    set.map_err(|refusal| format!("{}: {refusal}", place(path, "")))
}

/// A value as it would stand in a flag.
fn scalars(flag: &Flag, value: &Value) -> Option<String> {
    let Value::Sequence(list) = value else {
        return scalar(flag, value);
    };
    // Only texts are lists in any flag.
    if flag.kind != Kind::Text {
        return None;
    }
    let items: Option<Vec<String>> = list.iter().map(|item| scalar(flag, item)).collect();
    items.map(|items| items.join(","))
}

fn scalar(flag: &Flag, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) if flag.kind == Kind::Duration => {
            number.as_u64().map(|nanos| format!("{nanos}ns"))
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn place(path: &[String], what: &str) -> String {
    format!("{}{what}", path.join("."))
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    fn from(text: &str) -> Result<crate::settings::Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etcd.yaml");
        std::fs::write(&path, text).unwrap();
        settings(
            &["--config-file", path.to_str().unwrap(), "--name=other"],
            &[],
        )
    }

    #[test]
    fn a_file_replaces_flags_and_says_so() {
        let settings = from(
            "name: infra1\n\
             data-dir: /var/lib/x\n\
             heartbeat-interval: 200\n\
             election-timeout: 2000\n\
             watch-progress-notify-interval: 5000000000\n\
             grpc-keepalive-interval: 1h\n\
             auto-compaction-retention: 2\n\
             listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2\n\
             advertise-client-urls: http://127.0.0.1:1\n\
             log-outputs: [stderr, /tmp/x.log]\n\
             initial-cluster: infra1=http://localhost:2380\n\
             pre-vote: false\n\
             snapshot-count:\n\
             nmae: x\n",
        )
        .unwrap();
        assert_eq!(settings.name, "infra1");
        assert_eq!(settings.heartbeat.as_millis(), 200);
        assert_eq!(settings.watch_progress_interval.as_secs(), 5);
        assert_eq!(settings.keepalive.interval.as_secs(), 3600);
        assert_eq!(settings.listen_client.len(), 2);
        assert_eq!(settings.log.outputs.len(), 2);
        assert_eq!(settings.snapshot_count, 10_000);
        assert!(!settings.pre_vote);
        let warnings = &settings.log.warnings;
        assert!(
            warnings.contains(&"--config-file: unrecognized key nmae".to_owned())
                && warnings.contains(&"--name is ignored: --config-file replaces it".to_owned()),
            "{warnings:?}"
        );
    }

    #[test]
    fn sections_have_names_of_their_own() {
        let values = read(
            "client-transport-security:\n  cert-file: /c\n  client-cert-auth: true\n\
             peer-transport-security:\n  cert-file: /p\n  allowed-cn: [a, b]\n\
             discovery-config:\n  token: t\n  client:\n    endpoints: [http://a:1]\n    \
             secure: {cacert: /ca}\n",
        )
        .unwrap();
        assert_eq!(values.text("cert-file"), "/c");
        assert!(values.boolean("client-cert-auth"));
        assert_eq!(values.text("peer-cert-file"), "/p");
        assert_eq!(values.text("peer-cert-allowed-cn"), "a,b");
        assert_eq!(values.text("discovery-token"), "t");
        assert_eq!(values.text("discovery-endpoints"), "http://a:1");
        assert_eq!(values.text("discovery-cacert"), "/ca");
        assert!(values.warnings.is_empty(), "{:?}", values.warnings);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("heartbeat-interval: fast", "flag -heartbeat-interval"),
            ("heartbeat-interval: [1]", "heartbeat-interval: is no value"),
            ("name: {a: b}", "name: is no value"),
            (
                "peer-transport-security: x",
                "peer-transport-security: is no mapping",
            ),
            (
                "cert-file: a\nclient-transport-security: {cert-file: b}",
                "given twice",
            ),
            ("- a", "no mapping of settings"),
            ("a: b: c", "line 1"),
            ("1: a", "not a string"),
        ] {
            let refusal = from(text).unwrap_err();
            assert!(refusal.starts_with("--config-file /"), "{refusal}");
            assert!(refusal.contains(part), "{text}: {refusal}");
        }
        let nowhere = settings(&["--config-file=/nonexistent/x"], &[]).unwrap_err();
        assert!(
            nowhere.starts_with("--config-file /nonexistent/x: "),
            "{nowhere}"
        );
        let by_variable = settings(&[], &[("ETCD_CONFIG_FILE", "/nonexistent/y")]).unwrap_err();
        assert!(by_variable.contains("/nonexistent/y"), "{by_variable}");
    }

    #[test]
    fn every_section_stands_for_flags() {
        for (section, keys) in SECTIONS {
            for (key, name) in *keys {
                assert!(find(name).is_some(), "{section:?} {key}: {name}");
            }
        }
    }
}
