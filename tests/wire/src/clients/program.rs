use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{Saw, users};
use crate::options::Options;
use crate::tls::site::Site;

/// Longest run of one program.
pub const PROGRAM_WAIT: Duration = Duration::from_secs(90);
/// Lines of a program's complaint that a report shows.
const COMPLAINT_LINES: usize = 25;

/// A program of `tests/wire/clients` as `cargo xtask clients` installs it.
pub struct Program {
    pub name: &'static str,
    /// What to run; `@` stands for the folder of the programs.
    words: &'static [&'static str],
}

pub const PROGRAMS: &[Program] = &[
    program("go", &["@go/clients"]),
    program(
        "python-json",
        &["@python/venv/bin/python", "@python/json_client.py"],
    ),
    program(
        "python-grpc",
        &["@python/venv/bin/python", "@python/grpc_client.py"],
    ),
    program(
        "python-aio",
        &["@python/venv/bin/python", "@python/aio_client.py"],
    ),
    program(
        "java",
        &["java", "-cp", "@java/classes:@java/lib/*", "Main"],
    ),
    program("node", &["node", "@node/main.js"]),
    program("curl", &["bash", "@curl/client.sh"]),
];

const fn program(name: &'static str, words: &'static [&'static str]) -> Program {
    Program { name, words }
}

/// The folder of the installed programs.
pub struct Programs(PathBuf);

impl Programs {
    pub fn find(options: &Options) -> Result<Programs> {
        let folder = &options.clients;
        for name in ["go", "python", "java", "node", "curl"] {
            if !folder.join(name).is_dir() {
                bail!(
                    "{} is missing; `cargo xtask clients` installs it",
                    folder.join(name).display()
                );
            }
        }
        Ok(Programs(folder.clone()))
    }

    /// Runs the program to its end and returns what it printed.
    pub async fn run(&self, program: &Program, site: &Site, with_users: bool) -> Saw {
        let mut words = program.words.iter().map(|word| self.path(word));
        let mut command = Command::new(words.next().context("no program")?);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("ETCD") || text.starts_with("CLIENT_") {
                command.env_remove(&name);
            }
        }
        command
            .args(words)
            .env("CLIENT_ENDPOINTS", site.endpoints())
            .env("CLIENT_CA", site.trusted())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if with_users {
            command.envs(users::SETTINGS.iter().copied());
        }
        let done = tokio::time::timeout(PROGRAM_WAIT, command.output()).await;
        let done = done
            .context("it does not end")?
            .with_context(|| format!("cannot run {}", program.words.join(" ")))?;
        let lines: Vec<String> = String::from_utf8_lossy(&done.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        if !done.status.success() {
            let complaint = String::from_utf8_lossy(&done.stderr);
            let complaint: Vec<&str> = complaint.lines().collect();
            let last = complaint.len().saturating_sub(COMPLAINT_LINES);
            bail!(
                "{} after {} steps\n{}",
                done.status,
                lines.len(),
                complaint.get(last..).unwrap_or_default().join("\n")
            );
        }
        Ok(lines)
    }

    fn path(&self, word: &str) -> String {
        word.replace('@', &format!("{}/", self.0.display()))
    }
}
