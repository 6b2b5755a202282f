//! Ends connections whose clients ping too often, by the rules and with the word of grpc-go: GOAWAY
//! `ENHANCE_YOUR_CALM`, `too_many_pings`.
//!
//! hyper answers pings and tells nobody of them, so the frames are counted where they pass, between
//! the socket and hyper: only their heads are looked at, and of the bytes none is changed. What does
//! not begin with the preface of HTTP/2 is let through unseen.

mod frames;

use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use frames::{Frames, Head, Kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What every connection of HTTP/2 begins with has this length, and no method of HTTP/1 is `PRI`.
const PREFACE_BYTES: usize = 24;
const PREFACE_BEGINS: &[u8] = b"PRI";

/// Pings that come too early and are let pass (grpc-go: `maxPingStrikes`).
const STRIKES_MAX: u32 = 2;
/// While no call is under way there is nothing to be kept alive (grpc-go: `defaultPingTimeout`).
const IDLE_MIN_TIME: Duration = Duration::from_secs(2 * 60 * 60);
/// What grpc-go takes for `--grpc-keepalive-min-time=0`.
const DEFAULT_MIN_TIME: Duration = Duration::from_secs(5 * 60);

/// GOAWAY of 22 bytes on stream 0: no stream is named, as all of them end; code 11; the reason.
const GOAWAY: &[u8] = b"\0\0\x16\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0btoo_many_pings";

/// A connection whose pings are counted.
pub struct Pinged<I> {
    io: I,
    incoming: Frames,
    outgoing: Frames,
    protocol: Protocol,
    pings: Pings,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes of what only HTTP/2 begins with have been seen.
    Unknown(usize),
    Http2,
    Other,
}

impl<I> Pinged<I> {
    /// `min_time` is what a client has to wait between two pings.
    pub fn new(io: I, min_time: Duration) -> Pinged<I> {
        Pinged {
            io,
            incoming: Frames::after(PREFACE_BYTES),
            outgoing: Frames::after(0),
            protocol: Protocol::Unknown(0),
            pings: Pings::new(min_time),
        }
    }

    /// Looks at what has come in; false once it was too much.
    fn received(&mut self, bytes: &[u8]) -> bool {
        if let Protocol::Unknown(seen) = self.protocol {
            let rest = PREFACE_BEGINS.get(seen..).unwrap_or_default();
            let alike = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            self.protocol = match seen + alike {
                all if all == PREFACE_BEGINS.len() => Protocol::Http2,
                some if alike == bytes.len() => Protocol::Unknown(some),
                _ => Protocol::Other,
            };
        }
        if self.protocol == Protocol::Other {
            return true;
        }
        let (pings, mut fine) = (&mut self.pings, true);
        self.incoming
            .pass(bytes, |head| fine &= pings.received(head));
        fine
    }

    fn sent(&mut self, bytes: &[u8]) {
        if self.protocol == Protocol::Http2 {
            let pings = &mut self.pings;
            self.outgoing.pass(bytes, |head| pings.sent(head));
        }
    }
}

impl<I: AsyncWrite + Unpin> Pinged<I> {
    /// Says why, if that can be said at once and at the end of a frame, and that nothing follows.
    fn farewell(&mut self, cx: &mut Context<'_>) -> io::Error {
        if self.outgoing.is_between() {
            let mut left = GOAWAY;
            while let Poll::Ready(Ok(written @ 1..)) = Pin::new(&mut self.io).poll_write(cx, left) {
                left = left.get(written..).unwrap_or_default();
            }
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
        let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        io::Error::other("the client pings too often")
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Pinged<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(match self.received(came) {
            true => Ok(()),
            false => Err(self.farewell(cx)),
        })
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Pinged<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.sent(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        let mut left = written;
        for piece in pieces {
            let part = piece.get(..left.min(piece.len())).unwrap_or_default();
            self.sent(part);
            left = left.saturating_sub(part.len());
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The pings of one connection.
struct Pings {
    min_time: Duration,
    last: Option<Instant>,
    strikes: u32,
    /// Something of a call has gone out since the last ping, so a ping may as well come.
    answered: bool,
    /// Calls under way, by stream; as many as the transport lets a client open.
    open: HashSet<u32>,
    newest: u32,
}

impl Pings {
    fn new(min_time: Duration) -> Pings {
        let min_time = match min_time.is_zero() {
            true => DEFAULT_MIN_TIME,
            false => min_time,
        };
        Pings {
            min_time,
            last: None,
            strikes: 0,
            answered: false,
            open: HashSet::new(),
            newest: 0,
        }
    }

    /// False for the ping that is one too many.
    fn received(&mut self, head: Head) -> bool {
        match head.kind {
            // Streams are numbered upwards; trailers have the number of theirs.
            Kind::Headers if head.stream > self.newest => {
                self.newest = head.stream;
                self.open.insert(head.stream);
            }
            Kind::Reset => {
                self.open.remove(&head.stream);
            }
            Kind::Ping if !head.is_ack() => return self.ping(Instant::now()),
            _ => {}
        }
        true
    }

    fn sent(&mut self, head: Head) {
        match head.kind {
            Kind::Headers | Kind::Data => {
                self.answered = true;
                if head.ends_stream() {
                    self.open.remove(&head.stream);
                }
            }
            Kind::Reset => {
                self.open.remove(&head.stream);
            }
            Kind::Ping | Kind::Other => {}
        }
    }

    fn ping(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.answered) {
            self.strikes = 0;
            return true;
        }
        let min_time = match self.open.is_empty() {
            true => IDLE_MIN_TIME,
            false => self.min_time,
        };
        if last.is_some_and(|last| now.duration_since(last) < min_time) {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.strikes <= STRIKES_MAX
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    /// HEADERS of stream 1 with nothing in them.
    const CALL: &[u8] = b"\0\0\0\x01\x04\0\0\0\x01";
    /// The answer to it, and its end.
    const ANSWER: &[u8] = b"\0\0\x02\0\0\0\0\0\x01ab";
    const END: &[u8] = b"\0\0\0\x01\x05\0\0\0\x01";

    /// What a server reads and writes of a connection, until it ends.
    async fn server(io: tokio::io::DuplexStream, answers: &[&[u8]]) -> (usize, io::Result<()>) {
        let mut io = Pinged::new(io, Duration::from_secs(5));
        for answer in answers {
            let mut call = [0; 64];
            let got = io.read(&mut call).await.unwrap();
            assert!(got > 0);
            io.write_all(answer).await.unwrap();
        }
        let (mut all, mut one) = (0, [0; 1]);
        loop {
            match io.read(&mut one).await {
                Ok(0) => return (all, Ok(())),
                Ok(read) => all += read,
                Err(error) => return (all, Err(error)),
            }
        }
    }

    async fn said(mut client: tokio::io::DuplexStream) -> Vec<u8> {
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        said
    }

    #[tokio::test]
    async fn the_fourth_ping_of_an_idle_client_is_too_many() {
        let (mut client, io) = tokio::io::duplex(4096);
        client.write_all(PREFACE).await.unwrap();
        for _ in 0..4 {
            client.write_all(PING).await.unwrap();
        }
        let (_, ended) = server(io, &[]).await;
        assert!(ended.is_err());
        assert_eq!(said(client).await, GOAWAY);
    }

    #[tokio::test]
    async fn three_pings_and_what_is_no_http2_pass() {
        for bytes in [
            &[PREFACE, PING, PING, PING].concat()[..],
            b"PRIVATE",
            b"GET / ",
        ] {
            let (mut client, io) = tokio::io::duplex(4096);
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let (read, ended) = server(io, &[]).await;
            assert_eq!((read, ended.is_ok()), (bytes.len(), true));
        }
    }

    #[tokio::test]
    async fn in_the_middle_of_a_frame_nothing_is_said() {
        let (mut client, io) = tokio::io::duplex(4096);
        client.write_all(&[PREFACE, CALL].concat()).await.unwrap();
        let half = &ANSWER[..10];
        let pinging = async {
            // The first follows an answer and is forgiven.
            for _ in 0..4 {
                client.write_all(PING).await.unwrap();
            }
            said(client).await
        };
        let answers = [half];
        let (served, said) = tokio::join!(server(io, &answers), pinging);
        assert!(served.1.is_err());
        assert_eq!(said, half);
    }

    #[test]
    fn a_call_under_way_may_be_kept_alive() {
        let mut pings = Pings::new(Duration::from_secs(5));
        let head = |bytes: &[u8]| {
            let mut heads = Vec::new();
            Frames::after(0).pass(bytes, |head| heads.push(head));
            heads[0]
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(pings.received(head(CALL)));
        for second in [0, 5, 10, 15, 20, 25] {
            assert!(pings.ping(at(second)), "{second}");
        }
        // Too early, but then something goes out.
        assert!(pings.ping(at(26)) && pings.ping(at(27)));
        pings.sent(head(ANSWER));
        assert!(pings.ping(at(28)) && pings.ping(at(29)) && pings.ping(at(30)));
        assert!(!pings.ping(at(31)));
        // Once the call is over, every ping is too early.
        let mut idle = Pings::new(Duration::from_secs(5));
        assert!(idle.received(head(CALL)));
        idle.sent(head(END));
        for second in [0, 10, 20] {
            assert!(idle.ping(at(second)), "{second}");
        }
        assert!(!idle.ping(at(30)));
    }
}
