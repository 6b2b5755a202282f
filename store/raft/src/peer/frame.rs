//! Frames between members: a preamble once a connection, then length-prefixed frames.
//!
//! ```text
//! preamble  "MSTY"  version u8  kind u8  cluster u64  from u64  to u64        30 bytes, big endian
//! frame     length u32 (of what follows)  kind u8  id u64  payload
//! ```
//!
//! Both sides send a preamble; a version, cluster or member that does not fit closes the
//! connection, so a misdirected or foreign stream never reaches raft.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Raised when frames change in a way an older member would misread.
pub const VERSION: u8 = 1;
/// Largest frame accepted. Appends are cut near 4 MiB and a command is at most the request limit,
/// so this leaves room for a raised `--max-request-bytes`.
pub const FRAME_BYTES_MAX: usize = 256 << 20;
/// A length above this is believed only as far as bytes really arrive.
const RESERVE_BYTES_MAX: usize = 1 << 20;
const MAGIC: &[u8; 4] = b"MSTY";
const PREAMBLE_BYTES: usize = 30;
const HEAD_BYTES: usize = 9;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lane {
    /// Questions and answers by id, in any order.
    Control = 1,
    /// Appends in order, answers in the same order.
    Append = 2,
    /// One snapshot.
    Snapshot = 3,
    /// A question of one who is about to join: it names no cluster and no member.
    Inquiry = 4,
    /// Only as an answer: whoever dialled has been removed from the cluster for good.
    Removed = 5,
}

impl Lane {
    fn from_byte(byte: u8) -> Option<Lane> {
        match byte {
            1 => Some(Lane::Control),
            2 => Some(Lane::Append),
            3 => Some(Lane::Snapshot),
            4 => Some(Lane::Inquiry),
            5 => Some(Lane::Removed),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    pub lane: Lane,
    pub cluster: u64,
    pub from: u64,
    pub to: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Append = 1,
    Vote = 2,
    PreVote = 3,
    Transfer = 4,
    ReadIndex = 5,
    Forward = 6,
    LeaseRenew = 7,
    LeaseTtl = 8,
    LeaseList = 9,
    Probe = 10,
    SnapshotBegin = 11,
    SnapshotChunk = 12,
    SnapshotEnd = 13,
    MoveLeader = 14,
    Change = 15,
    Members = 16,
    Hash = 17,
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::*;
        const ALL: [Kind; 17] = [
            Append,
            Vote,
            PreVote,
            Transfer,
            ReadIndex,
            Forward,
            LeaseRenew,
            LeaseTtl,
            LeaseList,
            Probe,
            SnapshotBegin,
            SnapshotChunk,
            SnapshotEnd,
            MoveLeader,
            Change,
            Members,
            Hash,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: Kind,
    pub id: u64,
    pub payload: Bytes,
}

pub async fn write_preamble<W: AsyncWrite + Unpin>(
    to: &mut W,
    preamble: &Preamble,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(PREAMBLE_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.push(preamble.lane as u8);
    bytes.extend_from_slice(&preamble.cluster.to_be_bytes());
    bytes.extend_from_slice(&preamble.from.to_be_bytes());
    bytes.extend_from_slice(&preamble.to.to_be_bytes());
    send(to, &bytes).await
}

pub async fn read_preamble<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Preamble> {
    let mut magic = [0; 4];
    from.read_exact(&mut magic).await?;
    if &magic != MAGIC {
        return Err(invalid(
            "the other side does not speak mainstay's peer protocol",
        ));
    }
    let version = from.read_u8().await?;
    if version != VERSION {
        return Err(invalid(&format!(
            "peer protocol version {version}, this member speaks {VERSION}"
        )));
    }
    let lane = from.read_u8().await?;
    Ok(Preamble {
        lane: Lane::from_byte(lane).ok_or_else(|| invalid("connection kind is not known"))?,
        cluster: from.read_u64().await?,
        from: from.read_u64().await?,
        to: from.read_u64().await?,
    })
}

/// Writes frames so that they are on their way on return. TLS keeps what the socket had no room for
/// and hands it on with the next write or a flush: the other side may be waiting for just that.
pub async fn send<W: AsyncWrite + Unpin>(to: &mut W, frames: &[u8]) -> io::Result<()> {
    to.write_all(frames).await?;
    to.flush().await
}

/// Appends the frame to `out`; the caller decides when to write.
pub fn put_frame(out: &mut BytesMut, kind: Kind, id: u64, message: &impl prost::Message) {
    let length = HEAD_BYTES + message.encoded_len();
    out.reserve(4 + length);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&[kind as u8]);
    out.extend_from_slice(&id.to_be_bytes());
    // A BytesMut grows as needed, so encoding into it cannot run out of room.
    let _ = message.encode(out);
}

/// The next frame, or `None` at a clean end. Each frame gets an allocation of its own, so keeping
/// an entry keeps its frame and not the connection's read buffer.
pub async fn read_frame<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<Frame>> {
    let length = match from.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Err(invalid(&format!(
            "a frame of {length} bytes is out of bounds"
        )));
    }
    let kind = from.read_u8().await?;
    let kind =
        Kind::from_byte(kind).ok_or_else(|| invalid(&format!("frame kind {kind} is not known")))?;
    let id = from.read_u64().await?;
    let mut left = length - HEAD_BYTES;
    let mut payload = BytesMut::with_capacity(left.min(RESERVE_BYTES_MAX));
    while left > 0 {
        let read = from.take(left as u64).read_buf(&mut payload).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= read;
    }
    Ok(Some(Frame {
        kind,
        id,
        payload: payload.freeze(),
    }))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_proto::peer;
    use prost::Message;

    #[tokio::test]
    async fn frames_survive_the_round_trip_and_end_cleanly() {
        let mut out = BytesMut::new();
        let message = peer::ReadIndexResponse {
            index: 7,
            confirmed: true,
        };
        put_frame(&mut out, Kind::ReadIndex, 42, &message);
        put_frame(&mut out, Kind::Probe, 43, &peer::Empty {});
        let mut input = &out[..];
        let first = read_frame(&mut input).await.unwrap().unwrap();
        assert_eq!((first.kind, first.id), (Kind::ReadIndex, 42));
        assert_eq!(
            peer::ReadIndexResponse::decode(first.payload).unwrap(),
            message
        );
        assert_eq!(read_frame(&mut input).await.unwrap().unwrap().id, 43);
        assert!(read_frame(&mut input).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_sent_does_not_wait_for_the_next_frame() {
        let (near, mut far) = tokio::io::duplex(64);
        // It keeps what it is given until it is flushed, as TLS may.
        let mut writer = tokio::io::BufWriter::new(near);
        send(&mut writer, b"all of it").await.unwrap();
        let mut read = [0; 9];
        let reading = far.read_exact(&mut read);
        let limit = std::time::Duration::from_secs(5);
        tokio::time::timeout(limit, reading).await.unwrap().unwrap();
        assert_eq!(&read, b"all of it");
    }

    #[tokio::test]
    async fn a_length_out_of_bounds_and_a_cut_frame_are_errors() {
        let mut huge = &u32::MAX.to_be_bytes()[..];
        assert!(read_frame(&mut huge).await.is_err());
        let mut out = BytesMut::new();
        put_frame(&mut out, Kind::Probe, 1, &peer::ProbeRequest { member: 9 });
        let mut cut = &out[..out.len() - 1];
        assert!(read_frame(&mut cut).await.is_err());
    }

    #[tokio::test]
    async fn a_stranger_is_refused_at_the_preamble() {
        let mut http = &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n              "[..];
        assert!(read_preamble(&mut http).await.is_err());
        let mut out = Vec::new();
        let ours = Preamble {
            lane: Lane::Append,
            cluster: 1,
            from: 2,
            to: 3,
        };
        write_preamble(&mut out, &ours).await.unwrap();
        assert_eq!(read_preamble(&mut &out[..]).await.unwrap(), ours);
        out[4] = VERSION + 1;
        assert!(read_preamble(&mut &out[..]).await.is_err());
    }
}
