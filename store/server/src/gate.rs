//! The client ports of a process that is no member yet: they answer that it lives and is not ready.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use mainstay_api::Waiting;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::listeners::Bound;
use mainstay_transport::Tls;

/// Connections served at a time; probes need a few.
const CONNECTIONS_MAX: usize = 64;

/// Answers on these ports until it is dropped, which cuts the connections.
pub async fn answer(bounds: &[&Bound], waiting: Waiting) {
    tracing::warn!(reason = waiting.reason, "not ready");
    let waiting = Arc::new(waiting);
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, from, tls) = accept(bounds).await;
        let waiting = waiting.clone();
        connections.spawn(async move {
            let _place = place;
            match tls {
                None => mainstay_api::serve_waiting(stream, waiting).await,
                Some(tls) => match tls.accept(stream, from).await {
                    Ok(accepted) => mainstay_api::serve_waiting(accepted.stream, waiting).await,
                    Err(refused) => {
                        tracing::debug!(%from, error = %refused, "client handshake refused");
                    }
                },
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The next connection to any of them.
async fn accept(bounds: &[&Bound]) -> (TcpStream, std::net::SocketAddr, Option<Tls>) {
    poll_fn(|context| {
        for bound in bounds {
            match bound.socket.poll_accept(context) {
                Poll::Ready(Ok((stream, from))) => {
                    return Poll::Ready((stream, from, bound.tls.clone()));
                }
                // The next look comes with the next connection.
                Poll::Ready(Err(error)) => tracing::debug!(%error, "a probe could not be accepted"),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::listeners;
    use crate::settings::ListenUrl;

    #[tokio::test]
    async fn every_port_says_why() {
        let url = ListenUrl {
            address: ([127, 0, 0, 1], 0).into(),
            tls: false,
        };
        let bound = listeners::bind(&[url, url], None).unwrap();
        let ports: Vec<_> = bound
            .iter()
            .map(|b| b.socket.local_addr().unwrap())
            .collect();
        let all: Vec<&Bound> = bound.iter().collect();
        let asked = async {
            for port in ports {
                let mut stream = TcpStream::connect(port).await.unwrap();
                let request = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
                stream.write_all(request).await.unwrap();
                let mut page = String::new();
                stream.read_to_string(&mut page).await.unwrap();
                assert!(page.starts_with("HTTP/1.1 503"), "{page}");
                assert!(page.contains("membership failed: held"), "{page}");
            }
        };
        tokio::select! {
            () = answer(&all, Waiting::because("held")) => panic!("it goes on until it is dropped"),
            () = asked => {}
        }
    }
}
