//! The listener's side: takes connections, as many as there is room for.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::serve::{Service, serve};

/// Peer connections served at a time: three a member, and room for strangers to be turned away.
const PEER_CONNECTIONS_MAX: usize = 256;
/// What keeps the listener from spinning, were the process out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub async fn accept(listener: TcpListener, service: Arc<Service>) {
    let places = Arc::new(tokio::sync::Semaphore::new(PEER_CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%from, %error, "peer connection lost at once");
                    continue;
                }
                let (reader, writer) = stream.into_split();
                let service = service.clone();
                tokio::spawn(async move {
                    serve(service, reader, writer, from.to_string()).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a peer connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
