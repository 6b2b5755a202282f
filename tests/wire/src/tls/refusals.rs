use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstay_pki::{Authority, Leaf, Pair};
use time::Duration as Validity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{config, dial};
use super::site::{REVOKED, Site, client_leaf};
use xtask::tally::Tally;

/// How long a member may take to close a connection it refuses, its handshake timeout included.
const CLOSE_WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// A ClientHello of TLS 1.1 with one cipher suite and no extension (RFC 4346, 7.4.1.2).
const HELLO_TLS_1_1: &[u8] = &[
    0x16, 0x03, 0x01, 0x00, 0x2d, 0x01, 0x00, 0x00, 0x29, 0x03, 0x02, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 0x00,
    0x00, 0x02, 0x00, 0x2f, 0x01, 0x00,
];

/// What somebody does at the door, and the reason for which it must stay shut.
enum Visit {
    Shows(Option<Pair>),
    /// Its handshake offers this protocol.
    Offers(&'static [u8]),
    /// Sends bytes and no handshake of ours.
    Sends(&'static [u8]),
}

/// A listener to knock at.
struct Door {
    /// Follows the name of the case; the client port needs none.
    place: &'static str,
    member: usize,
    port: u16,
    /// Whose certificates it takes, as the metric names them.
    side: &'static str,
}

/// Each must be refused, counted and logged by its reason, on every listener.
pub async fn run(site: &Site, tally: &mut Tally) -> Result<()> {
    let door = |place, member: usize, port, side| Door {
        place,
        member,
        port,
        side,
    };
    let doors = [
        door("", 0, site.peers[0].client_port, "client"),
        door(" on the HTTP port", 1, site.http, "client"),
        door(" on the metrics port", 0, site.secure_metrics[0], "client"),
        door(" on the peer port", 0, site.peers[0].peer_port, "peer"),
    ];
    for door in &doors {
        for (name, reason, visit) in visits(site, door)? {
            let since = Instant::now();
            let name = format!("tls refuses {name}{}", door.place);
            match refused(site, door, reason, &visit).await {
                Ok(()) => tally.pass(&name, since),
                Err(error) => tally.fail(&name, &format!("  {error:#}")),
            }
        }
    }
    let since = Instant::now();
    match without_alpn(site).await {
        Ok(()) => tally.pass("tls serves HTTP/1 without ALPN", since),
        Err(error) => tally.fail("tls serves HTTP/1 without ALPN", &format!("  {error:#}")),
    }
    Ok(())
}

/// Who must not come in by this door, and the reason.
fn visits(site: &Site, door: &Door) -> Result<Vec<(&'static str, &'static str, Visit)>> {
    let strangers = Authority::new("strangers")?;
    let shown = |name: &str, authority: &Authority, leaf: &Leaf| -> Result<Visit> {
        let name = format!("{name}.{}", door.side);
        let pair = authority.write(site.dir(), &name, leaf)?;
        Ok(Visit::Shows(Some(pair)))
    };
    let ours = match door.side {
        "peer" => &site.members,
        _ => &site.clients,
    };
    let leaf = client_leaf(2);
    let expired = Leaf {
        until: Validity::minutes(-1),
        ..leaf.clone()
    };
    let early = Leaf {
        from: Validity::hours(1),
        ..leaf.clone()
    };
    let server_only = Leaf {
        for_servers: true,
        for_clients: false,
        ..leaf.clone()
    };
    let elsewhere = Leaf {
        names: vec!["192.0.2.1".into()],
        ..leaf.clone()
    };
    let named_elsewhere = shown("elsewhere", ours, &elsewhere)?;
    let mut visits = vec![
        (
            "another CA",
            "unknown_authority",
            shown("stranger", &strangers, &leaf)?,
        ),
        ("expired", "expired", shown("expired", ours, &expired)?),
        (
            "not valid yet",
            "not_yet_valid",
            shown("early", ours, &early)?,
        ),
        (
            "for servers only",
            "wrong_purpose",
            shown("purpose", ours, &server_only)?,
        ),
        ("no certificate", "no_certificate", Visit::Shows(None)),
        ("TLS 1.1", "incompatible", Visit::Sends(HELLO_TLS_1_1)),
        (
            "plain HTTP",
            "not_tls",
            Visit::Sends(b"GET /health HTTP/1.1\r\n\r\n"),
        ),
    ];
    // The list of revoked certificates is the clients', and so is the list of names; a member must
    // come from where its certificate says. And members speak a protocol of their own.
    match door.side {
        "peer" => visits.extend([
            ("another's name", "wrong_name", named_elsewhere),
            (
                "a client's certificate",
                "unknown_authority",
                Visit::Shows(Some(site.client.clone())),
            ),
        ]),
        _ => visits.extend([
            ("another's name", "not_allowed", named_elsewhere),
            (
                "revoked",
                "revoked",
                shown("revoked", ours, &client_leaf(REVOKED))?,
            ),
            ("another protocol", "no_protocol", Visit::Offers(b"spdy/3")),
        ]),
    }
    Ok(visits)
}

async fn refused(site: &Site, door: &Door, reason: &str, visit: &Visit) -> Result<()> {
    let (member, side) = (door.member, door.side);
    let sample = format!("mainstay_tls_refused_total{{side=\"{side}\",reason=\"{reason}\"}}");
    let before = site.metric(member, &sample).await?;
    let closed = tokio::time::timeout(CLOSE_WAIT, knock(site, door, visit)).await;
    match closed {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => bail!("it was answered"),
        Ok(Err(error)) => return Err(error),
        Err(_) => bail!("the connection stays open"),
    }
    // The other side may see the end before it is counted and told here.
    let peer = &site.peers[member];
    let line = format!("\"reason\":\"{reason}\"");
    let deadline = Instant::now() + CLOSE_WAIT;
    loop {
        let counted = site.metric(member, &sample).await? > before;
        let told = std::fs::read_to_string(peer.log_path())?.contains(&line);
        match (counted, told) {
            (true, true) => return Ok(()),
            _ if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            (false, _) => bail!("{sample} does not count it\n{}", peer.log_tail(5)),
            (true, false) => bail!("no line of the log says {reason:?}"),
        }
    }
}

/// True if the door stayed shut.
async fn knock(site: &Site, door: &Door, visit: &Visit) -> Result<bool> {
    let port = door.port;
    let trusted = match door.side {
        "peer" => site.path("members.ca"),
        _ => site.trusted(),
    };
    let (pair, alpn): (Option<&Pair>, &[&[u8]]) = match visit {
        Visit::Shows(pair) => (pair.as_ref(), &[]),
        Visit::Offers(name) => (Some(&site.client), &[name]),
        Visit::Sends(bytes) => {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(bytes).await?;
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).await;
            // At most an alert: a record of type 21.
            return Ok(read.is_err() || answer.first().is_none_or(|kind| *kind == 21));
        }
    };
    // In TLS 1.3 a client is done before the server has looked at its certificate.
    let Ok(mut stream) = dial(port, config(&trusted, pair, alpn)?).await else {
        return Ok(true);
    };
    let _ = stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let mut answer = [0; 64];
    Ok(!matches!(stream.read(&mut answer).await, Ok(read) if read > 0))
}

async fn without_alpn(site: &Site) -> Result<()> {
    let config = config(&site.trusted(), Some(&site.client), &[])?;
    let mut stream = dial(site.peers[0].client_port, config).await?;
    let request = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    // Go's server too may leave out TLS's own farewell.
    let _ = stream.read_to_string(&mut answer).await;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => bail!("{answer:?}"),
    }
}
