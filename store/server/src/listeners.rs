//! Every socket this process listens on is made here, and what comes in by it meets TLS here, or not
//! at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mainstay_api::{Api, Connection, Context, Limits, Listener, Origin, Serves};
use mainstay_transport::{Certificate, Tls};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::open_files;
use crate::settings::{ListenUrl, Settings};

/// Client connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 20_000;
/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept: most often the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A peer that is silent this long is probed by the kernel, so that a vanished one is noticed.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// A socket that listens, and what must be spoken there.
pub struct Bound {
    pub socket: TcpListener,
    /// `None` where the URL says http.
    pub tls: Option<Tls>,
}

/// Listens on each URL's address; a port in use names itself.
pub fn bind(urls: &[ListenUrl], tls: Option<&Tls>) -> Result<Vec<Bound>> {
    urls.iter().map(|url| bind_one(*url, tls)).collect()
}

fn bind_one(url: ListenUrl, tls: Option<&Tls>) -> Result<Bound> {
    let address = url.address;
    // The flags were refused if a URL is https and there is no TLS for it.
    let tls = match (url.tls, tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls.clone()),
        (true, None) => bail!("no certificate is given for https on {address}"),
    };
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
    let socket = listen().with_context(|| format!("listen tcp {address}"))?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "listening without TLS on an address others can reach");
    }
    Ok(Bound { socket, tls })
}

/// The limits of the API that flags decide.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        request_bytes: settings.max_request_bytes,
        txn_ops: settings.max_txn_ops,
        election_timeout: settings.election_timeout,
        concurrent_streams: settings.max_concurrent_streams,
        keepalive_min_time: settings.keepalive.min_time,
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

/// The ports for clients and for probes, listened on.
pub struct Doors {
    clients: Vec<Bound>,
    /// For all that is not gRPC, where that has URLs of its own.
    http: Vec<Bound>,
    metrics: Vec<Bound>,
}

impl Doors {
    pub fn bind(settings: &Settings, tls: Option<&Tls>) -> Result<Doors> {
        Ok(Doors {
            clients: bind(&settings.listen_client, tls)?,
            http: bind(&settings.listen_client_http, tls)?,
            metrics: bind(&settings.listen_metrics, tls)?,
        })
    }

    /// All on which a probe may come.
    pub fn all(&self) -> Vec<&Bound> {
        let doors = self.clients.iter().chain(&self.http);
        doors.chain(&self.metrics).collect()
    }
}

/// Starts taking clients in.
pub fn serve(doors: Doors, context: &Arc<Context>) -> Clients {
    let api = Api::new(context.clone());
    let places = CONNECTIONS_MAX.min(open_files::connections_max());
    let places = Arc::new(Semaphore::new(places));
    let (open, closed) = watch::channel(());
    let mut accepting = JoinSet::new();
    let of_clients = match doors.http.is_empty() {
        true => Serves::All,
        false => Serves::Grpc,
    };
    let client = |serves: Serves| {
        move |bound: Bound| {
            let secure = bound.tls.is_some();
            (bound, Listener::Client { secure, serves })
        }
    };
    let clients = doors.clients.into_iter().map(client(of_clients));
    let http = doors.http.into_iter().map(client(Serves::Http));
    let metrics = doors.metrics.into_iter();
    let metrics = metrics.map(|bound| (bound, Listener::Metrics));
    for (bound, listener) in clients.chain(http).chain(metrics) {
        let Bound { socket, tls } = bound;
        let door = Door {
            api: api.clone(),
            listener,
            tls,
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
#[derive(Clone)]
struct Door {
    api: Api,
    listener: Listener,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    closed: watch::Receiver<()>,
}

impl Door {
    async fn accept(self, socket: TcpListener) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return;
            };
            let (stream, from) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            tune(&stream);
            let door = self.clone();
            tokio::spawn(async move {
                door.enter(stream, from).await;
                drop(place);
            });
        }
    }

    async fn enter(self, stream: TcpStream, from: SocketAddr) {
        let local = stream.local_addr().ok();
        let Some(tls) = &self.tls else {
            let origin = Origin {
                address: Some(from.ip()),
                certificate_name: None,
                local,
            };
            return self.serve(stream, origin).await;
        };
        match tls.accept(stream, from).await {
            Ok(accepted) => {
                let name = |certificate: Certificate| certificate.common_name.unwrap_or_default();
                let origin = Origin {
                    address: Some(from.ip()),
                    certificate_name: accepted.certificate.map(name).map(Into::into),
                    local,
                };
                self.serve(accepted.stream, origin).await;
            }
            Err(refused) => {
                let reason = refused.label();
                tracing::warn!(%from, reason, error = %refused, "client handshake refused");
            }
        }
    }

    async fn serve<I>(mut self, stream: I, origin: Origin)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The channel carries nothing; it ends when the listeners are closed.
        let stop = async move { while self.closed.changed().await.is_ok() {} };
        let served = self.api.serve(stream, self.listener, origin, stop).await;
        if let Connection::Broken(reason) = served {
            tracing::debug!(reason, "a client connection broke");
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
        let url = |address| ListenUrl {
            address,
            tls: false,
        };
        let first = bind(&[url(([127, 0, 0, 1], 0).into())], None).unwrap();
        let taken = first[0].socket.local_addr().unwrap();
        let refused = bind(&[url(taken)], None).err().unwrap();
        assert!(
            format!("{refused:#}").contains(&taken.to_string()),
            "{refused:#}"
        );
    }
}
