use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstay_pki::{Authority, Leaf, Pair, replace};
use tempfile::TempDir;
use time::Duration as Validity;

use crate::peer::Peer;
use crate::plain_http;
use crate::ports::free_port;

const READY_WAIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

/// What members sign the tokens of users with: HS256 asks for 32 bytes at least.
const TOKENS_KEY: &str = "a key of the tests alone, no secret of anybody's";

/// The name that a client's certificate must hold.
const CLIENTS_NAME: &str = "localhost";

/// Serial number of the client that a rotation revokes.
pub const REVOKED_LATER: u64 = 99;
/// Serial number that is revoked from the start.
pub const REVOKED: u64 = 13;

/// Members, their certificates, and the authorities that made those: one for clients, another for
/// members.
pub struct Site {
    pub clients: Authority,
    pub members: Authority,
    pub peers: Vec<Peer>,
    /// Ports of the plain listeners for metrics.
    pub metrics: Vec<u16>,
    /// Ports of the listeners for metrics over TLS.
    pub secure_metrics: Vec<u16>,
    /// Where member 1 answers all that is not gRPC: its client port answers gRPC alone.
    pub http: u16,
    /// A client that is let in.
    pub client: Pair,
    dir: TempDir,
}

impl Site {
    fn empty() -> Result<Site> {
        let dir = tempfile::Builder::new().prefix("mainstay-tls-").tempdir()?;
        let (clients, members) = (Authority::new("clients")?, Authority::new("members")?);
        let client = clients.write(dir.path(), "client", &client_leaf(1))?;
        Ok(Site {
            clients,
            members,
            peers: Vec::new(),
            metrics: Vec::new(),
            secure_metrics: Vec::new(),
            http: free_port()?,
            client,
            dir,
        })
    }

    /// Starts them and waits until each says that it is ready.
    pub async fn start(binary: &Path) -> Result<Site> {
        Site::start_with(binary, true).await
    }

    /// The same without a list of names, and without one of revoked certificates, which etcd takes in
    /// another form.
    pub async fn start_without_lists(binary: &Path) -> Result<Site> {
        Site::start_with(binary, false).await
    }

    async fn start_with(binary: &Path, lists: bool) -> Result<Site> {
        let mut site = Site::certified()?;
        replace(&site.path("clients.crl"), &site.clients.revoke(&[REVOKED])?)?;
        site.spawn(binary, |dir, name| {
            let mut flags = certificates(dir, name);
            flags.push(format!(
                "--trusted-ca-file={}",
                dir.join("clients.ca").display()
            ));
            flags.push("--client-cert-auth".into());
            if lists {
                flags.push(format!("--client-cert-allowed-hostname={CLIENTS_NAME}"));
                let revoked = dir.join("clients.crl");
                flags.push(format!("--client-crl-file={}", revoked.display()));
            }
            flags
        })
        .await?;
        Ok(site)
    }

    /// The same for clients that show no certificate. Users get signed tokens where these are
    /// asked for.
    pub async fn without_client_certificates(binary: &Path, signed_tokens: bool) -> Result<Site> {
        let mut site = Site::certified()?;
        replace(&site.path("tokens.key"), TOKENS_KEY)?;
        site.spawn(binary, |dir, name| {
            let mut flags = certificates(dir, name);
            if signed_tokens {
                let key = dir.join("tokens.key");
                flags.push(format!(
                    "--auth-token=jwt,sign-method=HS256,ttl=10m,priv-key={}",
                    key.display()
                ));
            }
            flags
        })
        .await?;
        Ok(site)
    }

    /// The authorities and the members' certificates are in place, nothing runs yet.
    fn certified() -> Result<Site> {
        let site = Site::empty()?;
        replace(&site.path("clients.ca"), &site.clients.pem())?;
        replace(&site.path("members.ca"), &site.members.pem())?;
        for number in 0..3 {
            let name = format!("m{number}");
            site.clients
                .write(site.dir.path(), &name, &Leaf::default())?;
            let peer = format!("{name}.peer");
            site.members
                .write(site.dir.path(), &peer, &Leaf::default())?;
        }
        Ok(site)
    }

    async fn spawn(
        &mut self,
        binary: &Path,
        flags: impl Fn(&Path, &str) -> Vec<String>,
    ) -> Result<()> {
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push((free_port()?, free_port()?));
            self.metrics.push(free_port()?);
            self.secure_metrics.push(free_port()?);
        }
        let initial: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(at, port)| format!("m{at}=https://127.0.0.1:{}", port.1))
            .collect();
        for (at, port) in ports.into_iter().enumerate() {
            let name = format!("m{at}");
            let client = format!("https://127.0.0.1:{}", port.0);
            let peer = format!("https://127.0.0.1:{}", port.1);
            let mut args = vec![
                format!("--name={name}"),
                format!(
                    "--data-dir={}",
                    self.dir.path().join(format!("{name}.data")).display()
                ),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", initial.join(",")),
                format!(
                    "--listen-metrics-urls=http://127.0.0.1:{},https://127.0.0.1:{}",
                    self.metrics[at], self.secure_metrics[at]
                ),
            ];
            if at == 1 {
                let url = format!("https://127.0.0.1:{}", self.http);
                args.push(format!("--listen-client-http-urls={url}"));
            }
            args.extend(flags(self.dir.path(), &name));
            self.peers
                .push(Peer::start(binary, name, port, args, self.dir.path())?);
        }
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WAIT;
        for at in 0..self.peers.len() {
            while !ready(self.metrics[at]).await {
                let peer = &mut self.peers[at];
                if let Some(status) = peer.ended()? {
                    bail!("{} ended: {status}\n{}", peer.name, peer.log_tail(15));
                }
                if Instant::now() > deadline {
                    bail!("{} is not ready\n{}", peer.name, peer.log_tail(15));
                }
                tokio::time::sleep(READY_POLL).await;
            }
        }
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The bundle that members verify clients by, and clients members.
    pub fn trusted(&self) -> PathBuf {
        self.path("clients.ca")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn endpoints(&self) -> String {
        let urls = self.peers.iter();
        let urls: Vec<String> = urls
            .map(|peer| format!("https://127.0.0.1:{}", peer.client_port))
            .collect();
        urls.join(",")
    }

    /// A sample of a member's metrics; 0 if it is not there.
    pub async fn metric(&self, member: usize, sample: &str) -> Result<f64> {
        let page = plain_http::call(self.metrics[member], "GET", "/metrics").await?;
        let line = page.body.lines().find_map(|line| line.strip_prefix(sample));
        Ok(line
            .and_then(|rest| rest.trim().parse().ok())
            .unwrap_or(0.0))
    }
}

/// Flags for what a member shows its clients, and for TLS between members.
fn certificates(dir: &Path, name: &str) -> Vec<String> {
    let path = |file: String| dir.join(file).display().to_string();
    vec![
        format!("--cert-file={}", path(format!("{name}.crt"))),
        format!("--key-file={}", path(format!("{name}.key"))),
        format!("--peer-cert-file={}", path(format!("{name}.peer.crt"))),
        format!("--peer-key-file={}", path(format!("{name}.peer.key"))),
        format!("--peer-trusted-ca-file={}", path("members.ca".into())),
        "--peer-client-cert-auth".into(),
    ]
}

/// A client's certificate: no name that a server could have.
pub fn client_leaf(serial: u64) -> Leaf {
    Leaf {
        serial,
        common_name: format!("client-{serial}"),
        names: vec![CLIENTS_NAME.into()],
        from: Validity::hours(-1),
        for_servers: false,
        ..Leaf::default()
    }
}

/// Members that make their own certificates.
pub async fn automatic(binary: &Path) -> Result<Site> {
    let mut site = Site::empty()?;
    let flags = ["--auto-tls", "--peer-auto-tls"].map(str::to_owned);
    site.spawn(binary, |_, _| flags.to_vec()).await?;
    Ok(site)
}

/// Whether the member serves: its check of a linearizable read passes.
async fn ready(port: u16) -> bool {
    let answer = plain_http::call(port, "GET", "/readyz").await;
    answer.is_ok_and(|answer| answer.status == 200)
}
