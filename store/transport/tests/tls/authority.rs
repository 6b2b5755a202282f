//! A pair of sides that use the files of a CA.

use std::net::SocketAddr;
use std::path::Path;

use mainstay_pki::{Authority, Leaf, replace};
use mainstay_transport::{Accepted, Files, Guarded, Policy, Refused, Resolver, Side, Tls};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

/// A certificate of this CA, its key and the bundle that verifies the other side.
pub fn files(authority: &Authority, dir: &Path, name: &str, leaf: &Leaf, trusted: &str) -> Files {
    let pair = authority.write(dir, name, leaf).unwrap();
    let ca = dir.join(format!("{name}.ca"));
    replace(&ca, trusted).unwrap();
    Files {
        cert: pair.cert,
        key: pair.key,
        trusted_ca: Some(ca),
        ..Files::default()
    }
}

pub fn open(files: Files, policy: Policy) -> Tls {
    Tls::open(Side::Peer, files, policy, Resolver::system().unwrap()).unwrap()
}

pub type Dialled = Result<Guarded<TlsStream<TcpStream>>, Refused>;

/// One connection from `from` to `to`, and how each side saw it.
pub async fn meet(to: &Tls, from: &Tls, host: &str) -> (Result<Accepted, Refused>, Dialled) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let accept = async {
        let (stream, peer) = listener.accept().await.unwrap();
        to.accept(stream, peer).await
    };
    let connect = async {
        let stream = TcpStream::connect(address).await.unwrap();
        from.connect(stream, host).await
    };
    tokio::join!(accept, connect)
}
