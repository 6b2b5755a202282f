use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb::RangeRequest;
use tempfile::TempDir;

use crate::door::Door;
use crate::network::Network;
use crate::peer::Peer;
use crate::ports::free_port;
use crate::secure::Secure;
use crate::target::Connection;

/// How long a fresh cluster may take until each member answers a linearizable read.
const READY_WAIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(25);

/// A running cluster of one product in a directory that is removed with it.
#[derive(Debug)]
pub struct Cluster {
    /// Which side of the comparison this is: `etcd` or `mainstay`.
    pub label: &'static str,
    pub peers: Vec<Peer>,
    /// What a client needs, where the members speak TLS.
    pub secure: Option<Secure>,
    /// Ports of the listeners for metrics and probes, where there are any.
    pub metrics: Vec<u16>,
    /// Where each member is in a namespace of its own. It goes after the members.
    pub network: Option<Network>,
    dir: TempDir,
}

/// What to start: the binary, how many members, and flags beyond the usual ones.
#[derive(Clone, Debug)]
pub struct Plan {
    pub binary: PathBuf,
    pub label: &'static str,
    pub size: usize,
    pub flags: Vec<String>,
    /// TLS on both sides of every member, with certificates asked for on both.
    pub tls: bool,
    /// With TLS, clients are let in without a certificate and show none.
    pub server_side_only: bool,
    /// A plain listener for metrics and probes at every member.
    pub metrics: bool,
    /// Each member in a network namespace of its own, from which it can be cut off.
    pub network: bool,
}

impl Plan {
    pub fn new(binary: &Path, label: &'static str, size: usize) -> Self {
        Self {
            binary: binary.to_owned(),
            label,
            size,
            flags: Vec::new(),
            tls: false,
            server_side_only: false,
            metrics: false,
            network: false,
        }
    }

    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Clients are to show no certificate.
    pub fn server_side_only(mut self) -> Self {
        self.server_side_only = true;
        self
    }

    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }
}

/// Where a member is about to be started.
#[derive(Clone, Debug)]
pub struct Seat {
    pub name: String,
    pub data_dir: PathBuf,
    pub peer_url: String,
    /// `--initial-cluster` of all members.
    pub initial: String,
}

impl Cluster {
    /// Starts all members and waits until each answers a linearizable read.
    pub async fn start(plan: &Plan) -> Result<Self> {
        Self::start_on(plan, async |_| Ok(())).await
    }

    /// The same, after `prepare` has put something into each member's data directory.
    pub async fn start_on(plan: &Plan, prepare: impl AsyncFn(&Seat) -> Result<()>) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("mainstay-wire-")
            .tempdir()?;
        let secure = plan.tls.then(|| Secure::new(dir.path())).transpose()?;
        let scheme = if plan.tls { "https" } else { "http" };
        let network = plan.network.then(|| Network::lay(plan.size)).transpose()?;
        let host = |at| {
            network
                .as_ref()
                .map_or("127.0.0.1".to_owned(), |net| net.address(at))
        };
        let mut ports = Vec::new();
        for _ in 0..plan.size {
            ports.push((free_port()?, free_port()?));
        }
        let initial: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(at, port)| format!("m{at}={scheme}://{}:{}", host(at), port.1))
            .collect();
        let initial = initial.join(",");
        let (mut peers, mut metrics) = (Vec::new(), Vec::new());
        for (at, port) in ports.into_iter().enumerate() {
            let name = format!("m{at}");
            let seat = Seat {
                data_dir: data_dir(&name, dir.path()),
                peer_url: format!("{scheme}://{}:{}", host(at), port.1),
                initial: initial.clone(),
                name: name.clone(),
            };
            prepare(&seat).await?;
            let place = format!("{scheme}://{}", host(at));
            let mut args = member_args(&name, &place, port, &initial, dir.path());
            if plan.metrics {
                let port = free_port()?;
                args.push(format!("--listen-metrics-urls=http://127.0.0.1:{port}"));
                metrics.push(port);
            }
            if let Some(secure) = &secure {
                let mut flags = secure.member_flags(&name)?;
                flags.retain(|flag| !(plan.server_side_only && is_of_clients(flag)));
                args.extend(flags);
            }
            args.extend(plan.flags.iter().cloned());
            let mut peer = Peer::seated(&plan.binary, name, port, args, dir.path());
            if let Some(network) = &network {
                peer.run_under(network.wrapper(at));
            }
            peer.restart()?;
            peers.push(peer);
        }
        let mut cluster = Self {
            label: plan.label,
            peers,
            secure,
            metrics,
            network,
            dir,
        };
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Waits until every running member answers a linearizable read.
    pub async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WAIT;
        for peer in &mut self.peers {
            loop {
                if answers(peer, self.secure.as_ref()).await {
                    break;
                }
                if let Some(status) = peer.ended()? {
                    bail!(
                        "{} {} ended: {status}\n{}",
                        self.label,
                        peer.name,
                        peer.log_tail(15)
                    );
                }
                if Instant::now() > deadline {
                    bail!(
                        "{} {} not ready after {READY_WAIT:?}\n{}",
                        self.label,
                        peer.name,
                        peer.log_tail(15)
                    );
                }
                tokio::time::sleep(READY_POLL).await;
            }
        }
        Ok(())
    }

    /// Connects to a member.
    pub async fn connect(&self, member: usize) -> Result<Connection> {
        match self.peers.get(member) {
            Some(peer) => Connection::open(peer, self.secure.as_ref()).await,
            None => bail!("there is no member {member}"),
        }
    }

    /// A place for one more member, which is not started; it is told only its data directory.
    pub fn seat(&mut self, binary: &Path, name: String, ports: (u16, u16)) {
        let data = data_dir(&name, self.dir.path());
        let args = vec![format!("--data-dir={}", data.display())];
        let peer = Peer::seated(binary, name, ports, args, self.dir.path());
        self.peers.push(peer);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory of a member.
    pub fn data_dir(&self, member: usize) -> PathBuf {
        data_dir(&format!("m{member}"), self.dir.path())
    }

    /// All client URLs, comma separated, as `--endpoints` of etcdctl takes them.
    pub fn endpoints(&self) -> String {
        let urls: Vec<String> = self.peers.iter().map(Peer::client_url).collect();
        urls.join(",")
    }

    /// `--endpoints` and what else a command needs to talk to the members.
    pub fn command_flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--endpoints={}", self.endpoints())];
        flags.extend(self.secure.iter().flat_map(Secure::command_flags));
        flags
    }

    /// Where a member speaks HTTP/1.1 with clients.
    pub fn door(&self, member: usize) -> Door {
        let web = self.secure.as_ref().map(|secure| secure.web.clone());
        Door::new(self.peers[member].client_port, web)
    }

    /// Why a member is no longer running, if one ended by itself.
    pub fn casualty(&mut self) -> Option<String> {
        for peer in &mut self.peers {
            if let Ok(Some(status)) = peer.ended() {
                let tail = peer.log_tail(25);
                return Some(format!(
                    "{} {} ended: {status}\n{tail}",
                    self.label, peer.name
                ));
            }
        }
        None
    }

    pub async fn stop(mut self) -> Result<()> {
        for peer in &mut self.peers {
            peer.kill().await?;
        }
        Ok(())
    }
}

/// Whether a flag has a member ask its clients for certificates.
fn is_of_clients(flag: &str) -> bool {
    flag.starts_with("--client-cert-auth") || flag.starts_with("--trusted-ca-file")
}

fn data_dir(name: &str, dir: &Path) -> PathBuf {
    dir.join(format!("{name}.data"))
}

fn member_args(
    name: &str,
    place: &str,
    port: (u16, u16),
    initial: &str,
    dir: &Path,
) -> Vec<String> {
    let client = format!("{place}:{}", port.0);
    let peer = format!("{place}:{}", port.1);
    let data = data_dir(name, dir);
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={initial}"),
        "--initial-cluster-state=new".to_owned(),
    ]
}

async fn answers(peer: &Peer, secure: Option<&Secure>) -> bool {
    let attempt = async {
        let mut kv = Connection::open(peer, secure).await.ok()?.kv;
        let request = RangeRequest {
            key: "ready".into(),
            ..RangeRequest::default()
        };
        match kv.range(request).await {
            Ok(_) => Some(()),
            // A member with users has read before it asks who wants to know.
            Err(status) => status
                .message()
                .contains("user name is empty")
                .then_some(()),
        }
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(2), attempt).await,
        Ok(Some(()))
    )
}
