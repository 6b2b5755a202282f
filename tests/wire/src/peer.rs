use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// How long a process may take to end after SIGTERM before it is killed.
const TERMINATE_WAIT: Duration = Duration::from_secs(15);

/// One server process, of either product, with its own data directory and log file.
#[derive(Debug)]
pub struct Peer {
    pub name: String,
    /// Where it listens for clients.
    pub host: String,
    pub client_port: u16,
    pub peer_port: u16,
    /// Whether its client URL is https.
    pub secure: bool,
    binary: PathBuf,
    /// A program and its first arguments that the binary is started by.
    wrapper: Vec<String>,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Peer {
    /// Starts `binary` with `args`; output of every start is appended to one log file in `dir`.
    pub fn start(
        binary: &Path,
        name: String,
        ports: (u16, u16),
        args: Vec<String>,
        dir: &Path,
    ) -> Result<Self> {
        let mut peer = Self::seated(binary, name, ports, args, dir);
        peer.restart()?;
        Ok(peer)
    }

    /// The same without starting it.
    pub fn seated(
        binary: &Path,
        name: String,
        ports: (u16, u16),
        args: Vec<String>,
        dir: &Path,
    ) -> Self {
        let log = dir.join(format!("{name}.log"));
        Self {
            host: host(&args),
            name,
            client_port: ports.0,
            peer_port: ports.1,
            secure: args
                .iter()
                .any(|arg| arg.starts_with("--listen-client-urls=https")),
            binary: binary.to_owned(),
            wrapper: Vec::new(),
            args,
            environment: Vec::new(),
            log,
            child: None,
        }
    }

    /// Variables for the next start, beside the flags.
    pub fn set_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.environment = variables.into_iter().collect();
    }

    /// Flags for the next start; a flag that is given already gets the new value.
    pub fn set_flags(&mut self, flags: impl IntoIterator<Item = String>) {
        for flag in flags {
            let name = flag.split('=').next().unwrap_or_default().to_owned();
            self.drop_flag(&name);
            self.args.push(flag);
        }
    }

    pub fn drop_flag(&mut self, name: &str) {
        self.args
            .retain(|given| given.split('=').next() != Some(name));
    }

    /// Starts the process again with the same arguments; the previous one must have ended.
    pub fn restart(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let errors = log.try_clone()?;
        let mut command = match self.wrapper.as_slice() {
            [] => Command::new(&self.binary),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(&self.binary);
                command
            }
        };
        // Both products read ETCD_* and refuse a flag that is also set there.
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("ETCD_") || name.starts_with("ETCDCTL_") {
                command.env_remove(&key);
            }
        }
        command
            .args(&self.args)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = command.kill_on_drop(true).spawn();
        self.child = Some(child.with_context(|| format!("start {}", self.binary.display()))?);
        Ok(())
    }

    /// Has the next start done by another program, which must become the binary without a fork.
    pub fn run_under(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// A flag that the next start has too.
    pub fn add_flag(&mut self, flag: &str) {
        self.args.push(flag.to_owned());
    }

    pub fn client_url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.client_port)
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The exit status, if the process has ended by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// SIGKILL, and wait until the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM, and wait; an error when the process outlives the wait.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let Some(mut child) = self.child.take() else {
            bail!("{} is not running", self.name)
        };
        if let Some(pid) = child.id() {
            Command::new("kill")
                .arg("-TERM")
                .arg(pid.to_string())
                .status()
                .await?;
        }
        match tokio::time::timeout(TERMINATE_WAIT, child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                child.kill().await?;
                bail!(
                    "{} did not end within {TERMINATE_WAIT:?} of SIGTERM",
                    self.name
                )
            }
        }
    }

    /// The last lines of the log, for a failure report.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Of the first client URL that is listened on; loopback where none is named.
fn host(args: &[String]) -> String {
    let url = args
        .iter()
        .find_map(|arg| arg.strip_prefix("--listen-client-urls="));
    let authority = url.and_then(|url| url.split("://").nth(1));
    let host = authority.and_then(|authority| authority.rsplit_once(':'));
    host.map_or("127.0.0.1", |(host, _)| host).to_owned()
}
