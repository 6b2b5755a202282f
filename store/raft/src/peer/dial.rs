//! Opening a connection to another member: every dialler of this crate goes through here, so that
//! names, timeouts and (with the next issue) TLS are treated in one place.

use std::io;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use url::Url;

use super::PeerError;
use super::frame::{self, Lane, Preamble};

/// Longest wait for one address to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Read buffer of a connection; frames are copied out of it.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// etcd's peer port, for a URL that names none.
const PEER_PORT: u16 = 2380;

/// Who dials, and whom.
#[derive(Clone, Debug)]
pub struct Target {
    pub cluster: u64,
    pub from: u64,
    pub to: u64,
    pub urls: Vec<String>,
}

pub struct Connection {
    pub reader: BufReader<OwnedReadHalf>,
    pub writer: OwnedWriteHalf,
}

/// Tries the member's URLs in order and returns the first that answers with the right preamble.
pub async fn dial(target: &Target, lane: Lane) -> Result<Connection, PeerError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no peer url");
    for url in &target.urls {
        match timeout(CONNECT_TIMEOUT, dial_url(target, url, lane)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(PeerError::Unreachable {
        member: target.to,
        source: last,
    })
}

async fn dial_url(target: &Target, url: &str, lane: Lane) -> io::Result<Connection> {
    let stream = TcpStream::connect(address_of(url)?).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let preamble = Preamble {
        lane,
        cluster: target.cluster,
        from: target.from,
        to: target.to,
    };
    frame::write_preamble(&mut writer, &preamble).await?;
    let answer = frame::read_preamble(&mut reader).await?;
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

/// Host and port of a peer URL.
pub fn address_of(url: &str) -> io::Result<(String, u16)> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let parsed = Url::parse(url).map_err(|error| invalid(format!("peer url {url}: {error}")))?;
    if parsed.scheme() != "http" {
        return Err(invalid(format!(
            "peer url {url}: scheme {} is not supported",
            parsed.scheme()
        )));
    }
    let host = parsed
        .host_str()
        .ok_or_else(|| invalid(format!("peer url {url} names no host")))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    Ok((host, parsed.port().unwrap_or(PEER_PORT)))
}

#[cfg(test)]
mod tests {
    use super::address_of;

    #[test]
    fn a_peer_url_gives_host_and_port() {
        let check = |url: &str, host: &str, port| {
            assert_eq!(address_of(url).unwrap(), (host.to_owned(), port));
        };
        check("http://127.0.0.1:12380", "127.0.0.1", 12380);
        check("http://[::1]:2380", "::1", 2380);
        check("http://member-0.members", "member-0.members", 2380);
        assert!(address_of("unix:///x").is_err());
        assert!(address_of("nonsense").is_err());
    }
}
