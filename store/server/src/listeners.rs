//! Every socket this process listens on is made here, so that TLS will have one place to come to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mainstay_api::{Api, Connection, Context, Limits, Listener};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::open_files;
use crate::settings::Settings;

/// Client connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 20_000;
/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept: most often the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A peer that is silent this long is probed by the kernel, so that a vanished one is noticed.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// Listens on each address; a port in use names itself.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    addresses.iter().map(|address| bind_one(*address)).collect()
}

fn bind_one(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        // Lets a restarted member have its port although old connections linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = listen().with_context(|| format!("listen tcp {address}"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "listening without TLS on an address others can reach");
    }
    Ok(listener)
}

/// The limits of the API that flags decide.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        request_bytes: settings.max_request_bytes,
        txn_ops: settings.max_txn_ops,
        election_timeout: settings.election_timeout,
        concurrent_streams: settings.max_concurrent_streams,
        keepalive_interval: settings.keepalive.interval,
        keepalive_timeout: settings.keepalive.timeout,
    }
}

/// The listeners while they take clients in. Dropping it closes them and tells every connection
/// to end with the requests it has.
pub struct Clients {
    accepting: JoinSet<()>,
    _open: watch::Sender<()>,
}

/// Starts taking clients in.
pub fn serve(
    clients: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
    context: &Arc<Context>,
    _settings: &Settings,
) -> Clients {
    let api = Api::new(context.clone());
    let places = CONNECTIONS_MAX.min(open_files::connections_max());
    let places = Arc::new(Semaphore::new(places));
    let (open, closed) = watch::channel(());
    let mut accepting = JoinSet::new();
    let clients = clients.into_iter().map(|socket| (socket, Listener::Client));
    let metrics = metrics
        .into_iter()
        .map(|socket| (socket, Listener::Metrics));
    for (socket, listener) in clients.chain(metrics) {
        let door = Door {
            api: api.clone(),
            listener,
            places: places.clone(),
            closed: closed.clone(),
        };
        accepting.spawn(door.accept(socket));
    }
    Clients {
        accepting,
        _open: open,
    }
}

impl Clients {
    /// Ends only when a listener has ended, which none does by itself.
    pub async fn run(mut self) -> Result<()> {
        match self.accepting.join_next().await {
            Some(Err(error)) => Err(error).context("a listener died"),
            _ => bail!("a listener has ended"),
        }
    }
}

/// What is behind one listener.
struct Door {
    api: Api,
    listener: Listener,
    places: Arc<Semaphore>,
    closed: watch::Receiver<()>,
}

impl Door {
    async fn accept(self, socket: TcpListener) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return;
            };
            let stream = match socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            tune(&stream);
            let (api, listener) = (self.api.clone(), self.listener);
            let mut closed = self.closed.clone();
            tokio::spawn(async move {
                // The channel carries nothing; it ends when the listeners are closed.
                let stop = async move { while closed.changed().await.is_ok() {} };
                if let Connection::Broken(reason) = api.serve(stream, listener, stop).await {
                    tracing::debug!(reason, "a client connection broke");
                }
                drop(place);
            });
        }
    }
}

/// Answers are small and waited for: nothing is held back to fill a packet.
fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_IDLE)
        .with_interval(TCP_IDLE);
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = tuned {
        // The client has gone already; the connection will find out.
        tracing::debug!(%error, "a client connection could not be tuned");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = bind(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let taken = first[0].local_addr().unwrap();
        let refused = bind(&[taken]).unwrap_err();
        assert!(
            format!("{refused:#}").contains(&taken.to_string()),
            "{refused:#}"
        );
    }
}
