use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use crate::peer::Peer;
use crate::ports::free_port;

/// How long anything may take that is waited for.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A cluster, the members that came later, and a record of what was seen, free of ids and ports.
pub struct Site {
    pub cluster: Cluster,
    pub label: &'static str,
    binary: PathBuf,
    etcdctl: PathBuf,
    etcd: PathBuf,
    /// Real texts and what stands for them in the record.
    names: Vec<(String, String)>,
    record: Vec<String>,
}

/// What etcdctl printed and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Site {
    pub async fn open(plan: &Plan, options: &Options) -> Result<Site> {
        let etcdctl = options.peer("etcdctl")?;
        let cluster = Cluster::start(plan).await?;
        let mut site = Site {
            label: plan.label,
            binary: plan.binary.clone(),
            cluster,
            etcdctl,
            etcd: options.etcd(),
            names: Vec::new(),
            record: Vec::new(),
        };
        for at in 0..site.cluster.peers.len() {
            site.name_ports(at);
        }
        site.learn_ids(0).await?;
        Ok(site)
    }

    pub fn name_ports(&mut self, at: usize) {
        let peer = &self.cluster.peers[at];
        let ports = [
            (peer.client_port, format!("client-port-{at}")),
            (peer.peer_port, format!("peer-port-{at}")),
        ];
        for (port, name) in ports {
            self.names.push((format!(":{port}"), format!(":{name}")));
        }
    }

    /// Notes which id each member has, and the cluster's.
    pub async fn learn_ids(&mut self, at: usize) -> Result<()> {
        let listed = self.ctl(at, &["member", "list"]).await?;
        self.learn_listed(&listed.text);
        Ok(())
    }

    /// The same from a list that somebody has asked for.
    pub fn learn_listed(&mut self, list: &str) {
        for line in list.lines() {
            let cells: Vec<&str> = line.split(", ").collect();
            if let [id, _, name, ..] = cells[..] {
                self.names.push((id.to_owned(), format!("id-of-{name}")));
            }
        }
    }

    /// Writes down what was seen.
    pub fn note(&mut self, text: &str) {
        let text = self.named(text);
        self.record.push(text);
    }

    /// The same in an order of its own: what stands by the ids of members comes in any.
    pub fn note_lines(&mut self, text: &str) {
        let text = self.named(text);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        self.record.push(lines.join("\n"));
    }

    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.record)
    }

    /// Runs etcdctl against one member.
    pub async fn ctl(&self, at: usize, args: &[&str]) -> Result<Said> {
        let url = self.cluster.peers[at].client_url();
        let endpoints = format!("--endpoints={url}");
        self.run(&[], &[&[endpoints.as_str()], args].concat()).await
    }

    /// Runs etcdctl with these arguments alone, as the arguments of `wrapper` if there is one.
    pub async fn run(&self, wrapper: &[String], args: &[&str]) -> Result<Said> {
        let mut command = match wrapper {
            [] => Command::new(&self.etcdctl),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(&self.etcdctl);
                command
            }
        };
        for name in ["ETCDCTL_ENDPOINTS", "ETCDCTL_API", "ETCDCTL_USER"] {
            command.env_remove(name);
        }
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        let done = tokio::time::timeout(WAIT, command.output()).await;
        let done = done.with_context(|| format!("etcdctl {args:?} does not end"))??;
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let errors: Vec<&str> = errors
            .lines()
            .filter(|line| !line.starts_with('{'))
            .collect();
        let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.push_str(&errors.join("\n"));
        Ok(Said {
            code: done.status.code(),
            text,
        })
    }

    /// The same, which must succeed.
    pub async fn must(&self, wrapper: &[String], args: &[&str]) -> Result<Said> {
        let said = self.run(wrapper, args).await?;
        if said.code != Some(0) {
            bail!("etcdctl {args:?}: {}", said.text);
        }
        Ok(said)
    }

    /// Runs it against one member and writes down what it says, with its lines in order of their text: members are listed by ids,
    /// which differ.
    pub async fn show(&mut self, at: usize, args: &[&str]) -> Result<Said> {
        let said = self.ctl(at, args).await?;
        let asked = self.named(&format!("{args:?} on {at}: {:?}", said.code));
        self.record.push(asked);
        self.note_lines(&said.text);
        Ok(said)
    }

    fn named(&self, text: &str) -> String {
        let names = self.names.iter();
        let mut named = names.fold(text.to_owned(), |text, (real, name)| {
            text.replace(real, name)
        });
        // etcdctl pads an id to sixteen digits, and one in sixteen is shorter.
        while named.contains("Member  ") {
            named = named.replace("Member  ", "Member ");
        }
        named
    }

    /// Tries until the command succeeds: a cluster wants members to have been in touch first, and a
    /// learner to have the log.
    pub async fn until_done(&mut self, at: usize, args: &[&str]) -> Result<Said> {
        let endpoints = format!("--endpoints={}", self.cluster.peers[at].client_url());
        let args = [&[endpoints.as_str()], args].concat();
        self.until_ran(&[], &args).await
    }

    /// The same with these arguments alone, as `must`.
    pub async fn until_ran(&self, wrapper: &[String], args: &[&str]) -> Result<Said> {
        let deadline = Instant::now() + WAIT;
        loop {
            let said = self.run(wrapper, args).await?;
            if said.code == Some(0) {
                return Ok(said);
            }
            if Instant::now() > deadline {
                bail!("etcdctl {args:?}: {}", said.text);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until one line of a member's log holds all of some texts.
    pub async fn until_logged(&self, at: usize, texts: &[&str]) -> Result<()> {
        let deadline = Instant::now() + WAIT;
        loop {
            let holds = |line: &str| texts.iter().all(|text| line.contains(text));
            if self.log(at).lines().any(holds) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let tail = self.cluster.peers[at].log_tail(5);
                bail!("member {at} does not say {texts:?}\n{tail}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn until_shows(&mut self, at: usize, args: &[&str], wanted: &str) -> Result<()> {
        let deadline = Instant::now() + WAIT;
        loop {
            let said = self.ctl(at, args).await?;
            if said.text.contains(wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("etcdctl {args:?} does not show {wanted:?}: {}", said.text);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// `member add` with a free port, and the process started with the variables that it prints. The
    /// new member's position is returned.
    pub async fn add(&mut self, through: usize, learner: bool) -> Result<usize> {
        let (position, said) = self.announce(through, learner).await?;
        self.start_added(position, &said)?;
        Ok(position)
    }

    /// Only `member add`: its position and the variables it printed.
    pub async fn announce(
        &mut self,
        through: usize,
        learner: bool,
    ) -> Result<(usize, BTreeMap<String, String>)> {
        let position = self.cluster.peers.len();
        let name = format!("m{position}");
        let ports = (free_port()?, free_port()?);
        let peer_url = format!("http://127.0.0.1:{}", ports.1);
        self.cluster.seat(&self.binary, name.clone(), ports);
        self.name_ports(position);
        let urls = format!("--peer-urls={peer_url}");
        let mut args = vec!["member", "add", &name, &urls];
        if learner {
            args.push("--learner");
        }
        let said = self.until_done(through, &args).await?;
        let id = said
            .text
            .split_whitespace()
            .nth(1)
            .context("no id")?
            .to_owned();
        self.names.push((id, format!("id-of-{name}")));
        let told: BTreeMap<String, String> = said
            .text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        let mut text = said.text.clone();
        if let Some(list) = told.get("ETCD_INITIAL_CLUSTER") {
            let mut sorted: Vec<&str> = list.split(',').collect();
            sorted.sort_unstable();
            text = text.replace(list, &sorted.join(","));
        }
        // The cluster's id stands behind "to cluster".
        let masked: Vec<String> = text
            .lines()
            .map(|line| match line.split_once(" to cluster ") {
                Some((head, _)) => format!("{head} to cluster"),
                None => line.trim_end().to_owned(),
            })
            .collect();
        self.note(&masked.join("\n"));
        Ok((position, told))
    }

    pub fn start_added(&mut self, at: usize, told: &BTreeMap<String, String>) -> Result<()> {
        let peer = &mut self.cluster.peers[at];
        let client = peer.client_url();
        let listen = format!("http://127.0.0.1:{}", peer.peer_port);
        let flags = vec![
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={listen}"),
        ];
        peer.set_flags(flags);
        peer.set_environment(told.clone());
        peer.restart()
    }

    pub fn binary(&self) -> &std::path::Path {
        &self.binary
    }

    /// The real etcd, whichever side this is.
    pub fn etcd(&self) -> &std::path::Path {
        &self.etcd
    }

    pub fn peer(&mut self, at: usize) -> &mut Peer {
        &mut self.cluster.peers[at]
    }

    /// Waits until the process has ended by itself and notes how.
    pub async fn end_of(&mut self, at: usize) -> Result<()> {
        let code = self.gone(at).await?;
        self.note(&format!("member {at} ended with {code:?}"));
        Ok(())
    }

    pub fn is_gone(&mut self, at: usize) -> Result<bool> {
        Ok(self.cluster.peers[at].ended()?.is_some())
    }

    /// Waits until the process has ended by itself.
    pub async fn gone(&mut self, at: usize) -> Result<Option<i32>> {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.cluster.peers[at].ended()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                let tail = self.cluster.peers[at].log_tail(5);
                bail!("member {at} still runs\n{tail}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Notes which of some texts the member's log holds.
    pub fn note_log(&mut self, at: usize, texts: &[&str]) {
        let log = self.log(at);
        for text in texts {
            let said = log.contains(text);
            self.note(&format!("member {at} says {text:?}: {said}"));
        }
    }

    /// What a member has logged so far.
    fn log(&self, at: usize) -> String {
        let log = std::fs::read(self.cluster.peers[at].log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The position of the member that leads.
    pub async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            for at in 0..self.cluster.peers.len() {
                let status = self.ctl(at, &["endpoint", "status"]).await?;
                let cells: Vec<&str> = status.text.split(", ").collect();
                if cells.get(8) == Some(&"true") {
                    return Ok(at);
                }
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("no member leads")
    }

    /// An HTTP page of a member: its status and text.
    pub async fn page(&mut self, at: usize, path: &str) -> Result<()> {
        let port = self.cluster.peers[at].client_port;
        let page = crate::plain_http::call(port, "GET", path).await?;
        // Checks are told in any order.
        let mut lines: Vec<&str> = page.body.lines().collect();
        lines.sort_unstable();
        self.note(&format!("{path} of {at}: {} {lines:?}", page.status));
        Ok(())
    }
}
