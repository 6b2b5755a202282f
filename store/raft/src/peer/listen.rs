//! The listener's side: takes connections, as many as there is room for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mainstay_transport::Tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::serve::{Service, serve};

/// Peer connections served at a time: three a member, and room for strangers to be turned away.
const PEER_CONNECTIONS_MAX: usize = 256;
/// What keeps the listener from spinning, were the process out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where other members connect to, and what must be spoken there.
pub struct PeerListener {
    pub socket: TcpListener,
    /// `None` where the URL says http.
    pub tls: Option<Tls>,
}

pub async fn accept(listener: PeerListener, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX));
    loop {
        // Handshakes have a bound of their own, and connections that never come to the end of one
        // must not keep members out: with TLS a place is taken only after it.
        let place = match listener.tls {
            Some(_) => None,
            None => places.clone().acquire_owned().await.ok(),
        };
        match listener.socket.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%from, %error, "peer connection lost at once");
                    continue;
                }
                let service = service.clone();
                match listener.tls.clone() {
                    Some(tls) => {
                        tokio::spawn(over_tls(service, tls, places.clone(), stream, from));
                    }
                    None => {
                        tokio::spawn(in_plain(service, place, stream, from));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a peer connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn in_plain(
    service: Arc<Service>,
    _place: Option<OwnedSemaphorePermit>,
    stream: TcpStream,
    from: SocketAddr,
) {
    let (reader, writer) = stream.into_split();
    serve(service, reader, writer, from.to_string()).await;
}

async fn over_tls(
    service: Arc<Service>,
    tls: Tls,
    places: Arc<Semaphore>,
    stream: TcpStream,
    from: SocketAddr,
) {
    let accepted = match tls.accept(stream, from).await {
        Ok(accepted) => accepted,
        Err(refused) => {
            let reason = refused.label();
            tracing::warn!(%from, reason, error = %refused, "peer handshake refused");
            return;
        }
    };
    let Ok(_place) = places.try_acquire() else {
        tracing::warn!(%from, "too many peer connections");
        return;
    };
    let (reader, writer) = tokio::io::split(accepted.stream);
    serve(service, reader, writer, from.to_string()).await;
}
