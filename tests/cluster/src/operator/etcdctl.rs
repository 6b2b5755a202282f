//! etcdctl as people use it: through the client Service, with the certificate of a Secret.
//!
//! Names of Services do not resolve outside of the node, so a relay on loopback stands for
//! `kubectl port-forward`: members' certificates name loopback for that.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cluster::Cluster;
use crate::tools;

/// Longer than a leader takes to be replaced on a busy machine.
const TIMEOUT: &str = "--command-timeout=15s";

/// The address of a Service may still lead to a pod that is gone, which answers nothing; the next
/// connection may lead to another one.
const CONNECT: Duration = Duration::from_secs(1);

/// A client of one cluster. Its files go with it.
pub struct Etcdctl {
    program: PathBuf,
    folder: PathBuf,
    relay: Relay,
}

impl Etcdctl {
    /// With the certificate that the operator has made for people.
    pub fn open(cluster: &Cluster) -> Result<Self> {
        Self::with(cluster, &format!("{}-client-tls", cluster.name))
    }

    /// With the certificate in this Secret, as it is now.
    pub fn with(cluster: &Cluster, secret: &str) -> Result<Self> {
        let service = format!("{}-client", cluster.name);
        let address = cluster.field("service", &service, "{.spec.clusterIP}")?;
        Self::to(cluster, secret, &address)
    }

    /// Of one member alone, past the Service.
    pub fn of_pod(cluster: &Cluster, pod: &str) -> Result<Self> {
        let address = cluster.field("pod", pod, "{.status.podIP}")?;
        Self::to(cluster, &format!("{}-client-tls", cluster.name), &address)
    }

    fn to(cluster: &Cluster, secret: &str, address: &str) -> Result<Self> {
        let folder = folder()?;
        let parts = cluster.credentials(secret)?;
        for (name, part) in ["ca.crt", "tls.crt", "tls.key"].iter().zip(parts) {
            let path = folder.join(name);
            let written = fs::write(&path, part);
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        let programs = cluster.kubectl.program.parent();
        Ok(Self {
            program: programs.context("kubectl lies nowhere")?.join("etcdctl"),
            folder,
            relay: Relay::open(format!("{address}:2379").parse()?)?,
        })
    }

    pub fn run(&self, words: &[&str]) -> Result<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(&self.program);
        command.args([
            format!("--endpoints=https://{}", self.relay.address),
            format!("--cacert={}", file("ca.crt")),
            format!("--cert={}", file("tls.crt")),
            format!("--key={}", file("tls.key")),
            TIMEOUT.to_owned(),
        ]);
        tools::output(command.args(words))
    }

    /// Where the cluster is reached, on loopback.
    pub fn address(&self) -> SocketAddr {
        self.relay.address
    }

    pub fn put(&self, key: &str, value: &str) -> Result<()> {
        self.run(&["put", key, value]).map(drop)
    }

    /// An error unless the key has this value.
    pub fn expect(&self, key: &str, value: &str) -> Result<()> {
        let found = self.run(&["get", "--print-value-only", key])?;
        match found.trim() == value {
            true => Ok(()),
            false => bail!("{key} is {found:?} and should be {value:?}"),
        }
    }

    /// An error unless the command fails with these words.
    pub fn refused(&self, words: &[&str], why: &str) -> Result<()> {
        match self.run(words) {
            Ok(answer) => bail!("{words:?} was answered: {answer}"),
            Err(error) if format!("{error:#}").contains(why) => Ok(()),
            Err(error) => Err(error.context(format!("it should be refused by {why:?}"))),
        }
    }
}

impl Drop for Etcdctl {
    fn drop(&mut self) {
        // What stays behind is a test's certificate in a temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new folder for nobody else.
fn folder() -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("mainstay-etcdctl-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let made = DirBuilder::new().mode(0o700).create(&path);
    made.with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// Hands connections to a port on loopback on to another address.
struct Relay {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Relay {
    fn open(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port on loopback")?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        thread::spawn(move || {
            for incoming in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // Whoever is not let through sees its connection end, and holds up nobody else.
                thread::spawn(move || {
                    let outgoing = TcpStream::connect_timeout(&target, CONNECT);
                    outgoing.and_then(|outgoing| join(incoming, outgoing))
                });
            }
        });
        Ok(Self { address, ended })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // It notices with the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

/// Copies both ways until either side ends.
fn join(one: TcpStream, other: TcpStream) -> io::Result<()> {
    for stream in [&one, &other] {
        // A small answer must not wait for the next one.
        stream.set_nodelay(true)?;
    }
    for (mut from, mut to) in [(one.try_clone()?, other.try_clone()?), (other, one)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            for stream in [from, to] {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
    Ok(())
}
