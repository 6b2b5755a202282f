//! A cluster of real processes on loopback, started by etcd's flags.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// What both products log once they serve clients.
const SERVING: &str = "ready to serve client requests";
/// How long a member may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The most of a log that is searched or quoted, in bytes.
const LOG_LIMIT: u64 = 4 << 20;
/// Lines of a log quoted when a member ends by itself.
const QUOTED_LINES: usize = 8;

/// What to start: one program, one folder, one pair of ports a member.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server; anything that takes etcd's flags.
    pub program: PathBuf,
    /// Holds one data directory and one log file a member.
    pub folder: PathBuf,
    /// Client and peer port of each member.
    pub ports: Vec<(u16, u16)>,
    /// `--initial-cluster-token`.
    pub token: String,
    /// URLs are https; the flags name the certificates.
    pub secure: bool,
    /// Flags beyond those that every member gets.
    pub flags: Vec<String>,
}

/// One running member. Dropping it kills the process: nothing outlives its owner.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    /// `127.0.0.1:port` of the client port.
    pub endpoint: String,
    pub log: PathBuf,
    log_start: u64,
    child: Child,
    started: Instant,
}

/// The members of one plan, in its order.
#[derive(Debug)]
pub struct Cluster {
    pub members: Vec<Member>,
}

impl Cluster {
    /// Starts every member of the plan; they are not yet serving.
    pub fn start(plan: &Plan) -> Result<Cluster> {
        plan.check_ports()?;
        fs::create_dir_all(&plan.folder)
            .with_context(|| format!("cannot create {}", plan.folder.display()))?;
        let members = (0..plan.ports.len()).map(|index| plan.start_member(index));
        Ok(Cluster {
            members: members.collect::<Result<_>>()?,
        })
    }

    /// Waits until every member logs that it serves clients, and says how long the last one took.
    pub fn wait_until_serving(&mut self, limit: Duration) -> Result<Duration> {
        let mut waiting: Vec<&mut Member> = self.members.iter_mut().collect();
        process::wait_until("the cluster serves", limit, || {
            let mut still = Vec::new();
            for member in std::mem::take(&mut waiting) {
                if let Some(status) = member.ended()? {
                    bail!("{}", member.obituary(status));
                }
                if !member.serves()? {
                    still.push(member);
                }
            }
            waiting = still;
            Ok(waiting.is_empty())
        })
    }

    /// The client endpoints in the order of the plan.
    pub fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.endpoint.clone())
            .collect()
    }

    /// Process ids in the order of the plan.
    pub fn pids(&self) -> Vec<u32> {
        self.members
            .iter()
            .map(|member| member.child.id())
            .collect()
    }

    /// CPU time of all members since their start.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.pids().into_iter().map(process::cpu_time).sum()
    }

    /// Ends the members one after another, the one at `last` (the leader) at the end.
    pub fn stop(&mut self, last: Option<&str>) -> Result<()> {
        self.members
            .sort_by_key(|member| Some(member.endpoint.as_str()) == last);
        for member in &mut self.members {
            member.stop()?;
        }
        Ok(())
    }
}

impl Plan {
    /// The default ports of `n` members: etcd's own pair, then 20000 higher each.
    pub fn default_ports(count: usize) -> Vec<(u16, u16)> {
        let offsets = [0, 20_000, 30_000, 40_000, 50_000];
        offsets
            .iter()
            .take(count)
            .map(|offset| (2379 + offset, 2380 + offset))
            .collect()
    }

    /// A taken port is found before anything is started or wiped.
    pub fn check_ports(&self) -> Result<()> {
        for port in self
            .ports
            .iter()
            .flat_map(|(client, peer)| [*client, *peer])
        {
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                bail!("cannot listen on 127.0.0.1:{port} ({error}); is another cluster running?");
            }
        }
        Ok(())
    }

    /// Starts member `index`; its log is appended to, so the story of a restart stays in one file.
    pub fn start_member(&self, index: usize) -> Result<Member> {
        let (client, peer) = *self
            .ports
            .get(index)
            .context("no such member in the plan")?;
        let name = member_name(index);
        let log = self.folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let log_start = file.metadata()?.len();
        let client_url = self.url(client);
        let peer_url = self.url(peer);
        let mut command = Command::new(&self.program);
        command
            .args(["--name", &name])
            .arg("--data-dir")
            .arg(self.folder.join(&name))
            .args([
                "--listen-client-urls",
                &client_url,
                "--advertise-client-urls",
                &client_url,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .args(["--initial-cluster", &self.initial_cluster()])
            .args([
                "--initial-cluster-token",
                &self.token,
                "--initial-cluster-state",
                "new",
            ])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C reaches a whole foreground group; members are stopped in order instead.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let endpoint = format!("127.0.0.1:{client}");
        Ok(Member {
            name,
            endpoint,
            log,
            log_start,
            child,
            started: Instant::now(),
        })
    }

    fn url(&self, port: u16) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    fn initial_cluster(&self) -> String {
        let member = |(index, (_, peer)): (usize, &(u16, u16))| {
            format!("{}={}", member_name(index), self.url(*peer))
        };
        self.ports
            .iter()
            .enumerate()
            .map(member)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Member {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Time since the process was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// True once this run of the process (not an earlier one) has logged that it serves clients.
    pub fn serves(&self) -> Result<bool> {
        Ok(read_from(&self.log, self.log_start)?.contains(SERVING))
    }

    /// The exit status if the process has ended by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for a member")
    }

    /// What to tell people when a member ended unasked: its status and its last words.
    pub fn obituary(&self, status: ExitStatus) -> String {
        let log = read_from(&self.log, self.log_start).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(QUOTED_LINES)..)
            .unwrap_or_default();
        format!(
            "member {} ended with {status}; the end of {}:\n{}",
            self.name,
            self.log.display(),
            last.join("\n")
        )
    }

    /// SIGTERM, a wait, and SIGKILL with an error if that did not do.
    pub fn stop(&mut self) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        process::terminate(self.child.id());
        let begin = Instant::now();
        while self.ended()?.is_none() {
            if begin.elapsed() > STOP_LIMIT {
                self.kill();
                bail!("member {} did not end on SIGTERM and was killed", self.name);
            }
            std::thread::sleep(process::POLL);
        }
        Ok(())
    }

    /// SIGKILL, and the wait that leaves no zombie.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

fn member_name(index: usize) -> String {
    format!("m{}", index + 1)
}

/// The text of a file from an offset on, at most [`LOG_LIMIT`] of its end.
fn read_from(path: &Path, offset: u64) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        offset.max(length.saturating_sub(LOG_LIMIT)),
    ))?;
    let mut bytes = Vec::new();
    file.take(LOG_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
