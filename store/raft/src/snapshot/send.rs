//! Sending a snapshot: begin with the list of files, then chunks in order, then one answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mainstay_mvcc::SnapshotInfo;
use mainstay_proto::peer;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::pins::Pins;
use super::{SnapshotData, Source};
use crate::applied;
use crate::codec;
use crate::peer::dial::{Connection, Target, dial};
use crate::peer::frame::{Kind, Lane, put_frame, read_frame, send};
use crate::peer::{PeerError, SharedTraffic};
use crate::types::{Snapshot, Vote};

/// Bytes of a file in one frame; with the socket's buffers this is all the memory that sending a
/// snapshot of any size takes.
const CHUNK_BYTES: usize = 1 << 20;

/// A receiver that takes no bytes for this long is lost.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);
/// The receiver verifies, installs and opens the files before it answers.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("snapshot files: {0}")]
    Io(#[from] std::io::Error),
    #[error("snapshot could not be cut: {0}")]
    Store(#[from] mainstay_mvcc::Error),
    #[error("receiver refused the snapshot: {0}")]
    Refused(String),
    #[error("receiver fell silent")]
    Silent,
    #[error("a received snapshot is not for sending on")]
    NotOwn,
}

/// Links in a directory that goes away however the sending ends.
struct Cut {
    dir: PathBuf,
    info: SnapshotInfo,
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "snapshot links were left behind");
        }
    }
}

/// Tells the append stream to the same member that a snapshot is under way.
struct UnderWay(SharedTraffic);

impl UnderWay {
    fn new(traffic: &SharedTraffic) -> UnderWay {
        traffic.snapshots.fetch_add(1, Ordering::Relaxed);
        UnderWay(traffic.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.snapshots.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Delivers the store as it is now and returns the receiver's vote.
pub async fn send_snapshot(
    target: Target,
    traffic: SharedTraffic,
    pins: &Arc<Pins>,
    vote: Vote,
    snapshot: Snapshot,
) -> Result<Vote, SendError> {
    let SnapshotData::Own(source) = snapshot.snapshot else {
        return Err(SendError::NotOwn);
    };
    let Connection {
        mut reader,
        mut writer,
    } = dial(&target, Lane::Snapshot).await?;
    // What openraft goes on with afterwards, even where the files stand further.
    let _under_way = UnderWay::new(&traffic);
    let _held = pins.hold(snapshot.meta.last_log_id.map_or(0, |id| id.index));
    let cut = cut(source).await?;
    let (last, membership) = applied::positions_of(&cut.info.applied)?;
    tracing::info!(
        member = format!("{:x}", target.to),
        files = cut.info.files.len(),
        bytes = cut.info.files.iter().map(|file| file.size).sum::<u64>(),
        "sending a snapshot"
    );
    let begin = peer::SnapshotBegin {
        vote: Some(codec::vote_out(&vote)),
        meta: Some(peer::SnapshotMeta {
            last: last.as_ref().map(codec::log_id_out),
            membership: Some(codec::stored_membership_out(&membership)),
            applied: cut.info.applied.clone(),
            revision: cut.info.revision,
        }),
        files: cut
            .info
            .files
            .iter()
            .map(|file| peer::SnapshotFile {
                name: file.name.clone(),
                size: file.size,
                crc32c: file.crc32c,
            })
            .collect(),
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, Kind::SnapshotBegin, 0, &begin);
    write(&mut writer, &out).await?;
    for (number, file) in cut.info.files.iter().enumerate() {
        send_file(&mut writer, &traffic, &cut, number, &file.name).await?;
    }
    out.clear();
    put_frame(
        &mut out,
        Kind::SnapshotEnd,
        0,
        &peer::SnapshotEnd::default(),
    );
    write(&mut writer, &out).await?;
    let member = target.to;
    let answer = timeout(INSTALL_TIMEOUT, read_frame(&mut reader))
        .await
        .map_err(|_| SendError::Silent)??
        .ok_or(PeerError::Lost { member })?;
    let end = peer::SnapshotEnd::decode(answer.payload)
        .map_err(|source| PeerError::Decode { member, source })?;
    if !end.error.is_empty() {
        return Err(SendError::Refused(end.error));
    }
    codec::vote_in(end.vote).map_err(|error| SendError::Refused(error.to_string()))
}

async fn cut(source: Source) -> Result<Cut, SendError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&source.scratch)?;
        let dir = source.scratch.join(format!("send-{number}"));
        let info = source.store.snapshot_to(&dir)?;
        Ok(Cut { dir, info })
    })
    .await
    .map_err(std::io::Error::other)?
}

async fn send_file<W: AsyncWrite + Unpin>(
    writer: &mut W,
    traffic: &SharedTraffic,
    cut: &Cut,
    number: usize,
    name: &str,
) -> Result<(), SendError> {
    let mut file = tokio::fs::File::open(cut.dir.join(name)).await?;
    let mut offset = 0_u64;
    let mut out = BytesMut::new();
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        while chunk.len() < CHUNK_BYTES && file.read_buf(&mut chunk).await? > 0 {}
        if chunk.is_empty() {
            return Ok(());
        }
        let data: Bytes = chunk.freeze();
        let length = data.len() as u64;
        out.clear();
        let message = peer::SnapshotChunk {
            file: u32::try_from(number).unwrap_or(u32::MAX),
            offset,
            data,
        };
        put_frame(&mut out, Kind::SnapshotChunk, 0, &message);
        traffic.sent(out.len());
        write(writer, &out).await?;
        offset = offset.saturating_add(length);
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> Result<(), SendError> {
    timeout(CHUNK_TIMEOUT, send(writer, bytes))
        .await
        .map_err(|_| SendError::Silent)?
        .map_err(SendError::Io)
}
