//! One server process and what can be done to it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::{Cut, Disk};

/// How long the threads of a stopped process may take to come to rest: one may be in the middle
/// of an fdatasync, which no signal interrupts.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A member: its ports, its disk, and its process while it runs.
#[derive(Debug)]
pub struct Member {
    pub index: u32,
    pub client_port: u16,
    pub peer_port: u16,
    pub disk: Disk,
    /// Standard output and error of every start, one after the other.
    pub log: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    child: Option<Child>,
    stopped: bool,
}

impl Member {
    #[must_use]
    pub fn new(
        index: u32,
        ports: (u16, u16),
        disk: Disk,
        log: PathBuf,
        program: PathBuf,
    ) -> Member {
        Member {
            index,
            client_port: ports.0,
            peer_port: ports.1,
            disk,
            log,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            child: None,
            stopped: false,
        }
    }

    #[must_use]
    pub fn name(&self) -> String {
        format!("m{}", self.index)
    }

    /// Sets a flag that was given before to another value, for the next start.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        let at = self.arguments.iter().position(|given| given == flag);
        if let Some(given) = at.and_then(|at| self.arguments.get_mut(at + 1)) {
            value.clone_into(given);
        }
    }

    #[must_use]
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    /// Starts the process unless it runs.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.exited().is_none() && self.child.is_some() {
            return Ok(());
        }
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg("--data-dir")
            .arg(self.disk.data());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn();
        self.child = Some(child.with_context(|| self.program.display().to_string())?);
        self.stopped = false;
        Ok(())
    }

    /// Kills at once, stopped or not.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        self.stopped = false;
        Ok(())
    }

    /// Stops the process where it is and waits until all its threads rest.
    ///
    /// # Errors
    /// If it does not run or does not come to rest.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        let pid = self.signal(Signal::STOP)?;
        self.stopped = true;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !rests(pid)? {
            if Instant::now() > deadline {
                bail!("{} does not come to rest after SIGSTOP", self.name());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        if self.stopped {
            self.signal(Signal::CONT)?;
            self.stopped = false;
        }
        Ok(())
    }

    /// What the disk would hold if the power went now. The process must be stopped.
    ///
    /// # Errors
    /// As [`Disk::copy`].
    pub fn copy_disk(&self) -> anyhow::Result<Cut> {
        if !self.stopped {
            bail!("{} must be stopped before its disk is copied", self.name());
        }
        self.disk.copy()
    }

    /// The exit status of a process that ended by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    /// Asks the process to end in order. It does not wait: see [`Member::wait_end`].
    ///
    /// # Errors
    /// If it does not run.
    pub fn terminate(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM).map(drop)
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// If it still runs after `timeout`.
    pub async fn wait_end(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited() {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs after {timeout:?}", self.name());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    #[must_use]
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Lines of the log that tell of a panic.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.log_lines(|line| {
            line.contains("panicked at") || line.starts_with("panic:") || line.contains("SIGSEGV")
        })
    }

    /// Lines of the log for which `wanted` holds.
    #[must_use]
    pub fn log_lines(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        text.lines()
            .filter(|line| wanted(line))
            .map(str::to_owned)
            .collect()
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<Pid> {
        let Some(child) = &self.child else {
            bail!("{} does not run", self.name())
        };
        let raw = i32::try_from(child.id())?;
        let pid = Pid::from_raw(raw).context("no process id")?;
        kill_process(pid, signal)?;
        Ok(pid)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// Whether every thread is stopped (or dead).
fn rests(pid: Pid) -> anyhow::Result<bool> {
    for task in fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()))? {
        // A thread may end between the listing and the look.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        if !matches!(state, Some('T' | 't' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}
