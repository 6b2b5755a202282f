//! etcd's command line and environment, read into [`Settings`].
//!
//! One table (`flags/table.rs`) says of every flag of etcd 3.7 what it defaults to and whether it
//! does something here, is accepted without effect, or is refused because ignoring it would be a
//! lie. A wrong flag costs one line naming it and exit code 2, before anything is created.

mod access;
mod auth;
mod check;
pub mod cluster;
mod config_file;
mod discovery;
mod env;
mod gates;
mod go;
mod help;
mod line;
mod rotation;
mod table;
mod telemetry;
mod tls;
pub mod urls;
mod values;

use std::io::Write;

use crate::settings::Settings;

/// What the command line asks for.
pub enum Start {
    Run(Box<Settings>),
    /// Nothing is left to do.
    Exit(i32),
}

/// Exit code for wrong flags, settings that contradict each other included.
const EXIT_WRONG: i32 = 2;

/// Why flags were refused; one line that names the flag.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    fn new(what: impl Into<String>) -> Refusal {
        Refusal(what.into())
    }
}

/// Reads the process' own arguments and environment, and prints what there is to print.
pub fn from_process() -> Start {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(odd) => return refuse(&Refusal(format!("argument {odd:?} is not UTF-8"))),
        }
    }
    // A variable that is not UTF-8 is none of ours.
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    match read(&arguments, environment) {
        Ok(Asked::Settings(settings)) => Start::Run(settings),
        Ok(Asked::Text(text)) => {
            // Nobody is left to tell when the reader has gone.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Start::Exit(0)
        }
        Err(refusal) => refuse(&refusal),
    }
}

/// What a command line comes to.
enum Asked {
    Settings(Box<Settings>),
    /// Help or version, for stdout.
    Text(String),
}

fn read(
    arguments: &[String],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Asked, Refusal> {
    let mut values = match line::read(arguments)? {
        line::Line::Help => return Ok(Asked::Text(help::help())),
        line::Line::Version => return Ok(Asked::Text(help::version())),
        line::Line::Values(values) => values,
    };
    let environment: Vec<(String, String)> = environment.collect();
    let file = config_file::asked_for(&values, &environment);
    if let Some(path) = file {
        values = config_file::instead_of(&values, &path)?;
    } else {
        env::read(&mut values, environment.into_iter())?;
    }
    Ok(Asked::Settings(Box::new(check::settings(values)?)))
}

fn refuse(refusal: &Refusal) -> Start {
    eprintln!("mainstay: {refusal}");
    Start::Exit(EXIT_WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads flags with an environment, as the process would.
    pub fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, String> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let pairs = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        match read(&arguments, pairs) {
            Ok(Asked::Settings(settings)) => Ok(*settings),
            Ok(Asked::Text(text)) => Err(text),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn help_and_version_ask_for_nothing_else() {
        assert!(
            settings(&["--nonsense", "--help"], &[])
                .unwrap_err()
                .contains("-nonsense")
        );
        assert!(
            settings(&["-h"], &[])
                .unwrap_err()
                .contains("--listen-client-urls")
        );
        let version = settings(&["--version"], &[]).unwrap_err();
        assert!(
            version.starts_with("etcd Version: 3.7.1\nGit SHA: "),
            "{version}"
        );
    }

    #[test]
    fn variables_and_flags_exclude_each_other() {
        let named = settings(&[], &[("ETCD_NAME", "infra1")]).unwrap();
        assert_eq!(named.name, "infra1");
        for value in ["infra1", "other", ""] {
            let both = settings(&["--name=infra1"], &[("ETCD_NAME", value)]).unwrap_err();
            assert!(
                both.contains("ETCD_NAME") && both.contains("shadowed"),
                "{both}"
            );
        }
    }

    #[test]
    fn kubeadms_static_pod_is_accepted_up_to_tls() {
        let pod = [
            "--name=cp-1",
            "--data-dir=/var/lib/etcd",
            "--feature-gates=InitialCorruptCheck=true",
            "--listen-client-urls=http://127.0.0.1:2379,http://10.0.0.1:2379",
            "--advertise-client-urls=http://10.0.0.1:2379",
            "--listen-peer-urls=http://10.0.0.1:2380",
            "--initial-advertise-peer-urls=http://10.0.0.1:2380",
            "--initial-cluster=cp-1=http://10.0.0.1:2380",
            "--snapshot-count=10000",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--watch-progress-notify-interval=5s",
        ];
        let settings = settings(&pod, &[]).unwrap();
        assert_eq!(settings.listen_client.len(), 2);
        assert_eq!(settings.watch_progress_interval.as_secs(), 5);
        assert_eq!(settings.initial_cluster[0].0, "cp-1");
    }
}
