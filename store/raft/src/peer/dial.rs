//! Opening a connection to another member: every dialler of this crate goes through here, so that
//! names, timeouts and TLS are treated in one place.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use mainstay_proto::peer;
use mainstay_transport::{Resolver, Tls};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::PeerError;
use super::frame::{self, Kind, Lane, Preamble};
use super::reach::Reach;
use crate::membership::removal::Removal;

/// Longest wait for one address to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Read buffer of a connection; frames are copied out of it.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// etcd's peer port, for a URL that names none.
const PEER_PORT: u16 = 2380;

/// The way to any member: how names resolve, and what is spoken where the URL says https.
#[derive(Clone)]
pub struct Dialler {
    pub resolver: Resolver,
    pub tls: Option<Tls>,
}

/// Who dials, and whom.
#[derive(Clone)]
pub struct Target {
    pub dialler: Dialler,
    pub cluster: u64,
    pub from: u64,
    pub to: u64,
    pub urls: Urls,
    /// Told if the other side says that this member was removed.
    pub removal: Removal,
    pub reach: Reach,
}

/// The peer URLs of a member as they are now: whoever holds them dials the new ones once the member
/// has been updated.
#[derive(Clone, Debug, Default)]
pub struct Urls(Arc<Mutex<Vec<String>>>);

impl Urls {
    pub fn set(&self, urls: &[String]) {
        let mut kept = self.0.lock();
        if *kept != urls {
            *kept = urls.to_vec();
        }
    }

    pub fn get(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// The two directions of a connection, whatever carries it.
pub type Incoming = Box<dyn AsyncRead + Send + Unpin>;
pub type Outgoing = Box<dyn AsyncWrite + Send + Unpin>;

pub struct Connection {
    pub reader: BufReader<Incoming>,
    pub writer: Outgoing,
}

/// Tries the member's URLs in order and returns the first that answers with the right preamble.
pub async fn dial(target: &Target, lane: Lane) -> Result<Connection, PeerError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no peer url");
    let urls = target.urls.get();
    for url in &urls {
        match timeout(CONNECT_TIMEOUT, dial_url(target, url, lane)).await {
            Ok(Ok(connection)) => {
                target.reach.is_reached(target.to);
                return Ok(connection);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    let reason = last.to_string();
    target.reach.is_not_reached(target.to, &urls, &reason);
    Err(PeerError::Unreachable {
        member: target.to,
        source: last,
    })
}

async fn dial_url(target: &Target, url: &str, lane: Lane) -> io::Result<Connection> {
    let (reader, mut writer) = open(&target.dialler, &address_of(url)?).await?;
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let preamble = Preamble {
        lane,
        cluster: target.cluster,
        from: target.from,
        to: target.to,
    };
    frame::write_preamble(&mut writer, &preamble).await?;
    let answer = frame::read_preamble(&mut reader).await?;
    if answer.lane == Lane::Removed && answer.cluster == target.cluster {
        target.removal.told();
        return Err(io::Error::other(
            "this member has been permanently removed from the cluster",
        ));
    }
    if answer.cluster != target.cluster || answer.from != target.to {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{url} is member {:x} of cluster {:x}, expected member {:x} of cluster {:x}",
                answer.from, answer.cluster, target.to, target.cluster
            ),
        ));
    }
    Ok(Connection { reader, writer })
}

/// Asks whoever listens at the URL which cluster it is of and who its members are.
pub async fn inquire(dialler: &Dialler, url: &str) -> io::Result<peer::MembersResponse> {
    let (reader, mut writer) = open(dialler, &address_of(url)?).await?;
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let nobody = Preamble {
        lane: Lane::Inquiry,
        cluster: 0,
        from: 0,
        to: 0,
    };
    frame::write_preamble(&mut writer, &nobody).await?;
    frame::read_preamble(&mut reader).await?;
    let mut question = BytesMut::new();
    frame::put_frame(&mut question, Kind::Members, 0, &peer::MembersRequest {});
    frame::send(&mut writer, &question).await?;
    let answer = frame::read_frame(&mut reader).await?;
    let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
    peer::MembersResponse::decode(answer.payload).map_err(io::Error::other)
}

async fn open(dialler: &Dialler, address: &Address) -> io::Result<(Incoming, Outgoing)> {
    let found = dialler.resolver.lookup(&address.host).await;
    let mut last = io::Error::other("it has no address");
    for ip in found.map_err(io::Error::other)? {
        let stream = match TcpStream::connect((ip, address.port)).await {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        stream.set_nodelay(true)?;
        if !address.tls {
            let (reader, writer) = stream.into_split();
            return Ok((Box::new(reader), Box::new(writer)));
        }
        let Some(tls) = &dialler.tls else {
            return Err(io::Error::other("no certificate is given for https peers"));
        };
        let stream = tls.connect(stream, &address.host).await;
        let (reader, writer) = tokio::io::split(stream.map_err(io::Error::other)?);
        return Ok((Box::new(reader), Box::new(writer)));
    }
    Err(last)
}

/// What a peer URL says.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
    tls: bool,
}

fn address_of(url: &str) -> io::Result<Address> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let parsed = Url::parse(url).map_err(|error| invalid(format!("peer url {url}: {error}")))?;
    let tls = match parsed.scheme() {
        "http" => false,
        "https" => true,
        scheme => {
            return Err(invalid(format!(
                "peer url {url}: scheme {scheme} is not supported"
            )));
        }
    };
    let host = parsed
        .host_str()
        .ok_or_else(|| invalid(format!("peer url {url} names no host")))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = parsed.port().unwrap_or(PEER_PORT);
    Ok(Address { host, port, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_url_gives_host_and_port() {
        let check = |url: &str, host: &str, port, tls| {
            let host = host.to_owned();
            assert_eq!(address_of(url).unwrap(), Address { host, port, tls });
        };
        check("http://127.0.0.1:12380", "127.0.0.1", 12380, false);
        check("https://[::1]:2380", "::1", 2380, true);
        check("http://member-0.members", "member-0.members", 2380, false);
        assert!(address_of("unix:///x").is_err());
        assert!(address_of("nonsense").is_err());
    }
}
