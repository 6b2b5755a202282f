//! Receiving a snapshot into a directory of its own. Nothing is trusted before every file has
//! come whole and its checksum has been verified, which `mvcc::install` does once more on disk.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use mainstay_mvcc::{SnapshotFile, SnapshotInfo};
use mainstay_proto::peer;
use prost::Message;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::SnapshotData;
use crate::codec::{self, DecodeError};
use crate::peer::frame::{Frame, Kind, put_frame, read_frame, send};
use crate::types::{Raft, Snapshot, SnapshotMeta, Vote, term_of};

/// Files in one snapshot; RocksDB holds a few hundred for hundreds of gigabytes.
const FILES_MAX: usize = 100_000;
/// The sender flushes and checksums its files before it names them, which takes as long as they
/// are large.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(600);
/// Between two chunks. A sender that fell silent would otherwise leave its files here for good.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("snapshot connection: {0}")]
    Io(#[from] std::io::Error),
    #[error("snapshot message: {0}")]
    Decode(#[from] DecodeError),
    #[error("snapshot message: {0}")]
    Prost(#[from] prost::DecodeError),
    #[error("snapshot sender fell silent")]
    Silent,
    #[error("snapshot is out of order: {0}")]
    Order(&'static str),
    #[error("snapshot names a file outside its directory: {0:?}")]
    Name(String),
    #[error("raft did not take the snapshot: {0}")]
    Raft(String),
}

/// Serves one snapshot connection: receives, installs, answers.
pub async fn serve<R, W>(
    raft: &Raft,
    scratch: &Path,
    reader: &mut R,
    writer: &mut W,
) -> Result<(), ReceiveError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let end = match receive(raft, scratch, reader).await {
        Ok(vote) => peer::SnapshotEnd {
            vote: Some(codec::vote_out(&vote)),
            error: String::new(),
        },
        Err(error) => {
            tracing::warn!(%error, "a snapshot was not taken");
            peer::SnapshotEnd {
                vote: None,
                error: error.to_string(),
            }
        }
    };
    let mut out = BytesMut::new();
    put_frame(&mut out, Kind::SnapshotEnd, 0, &end);
    send(writer, &out).await?;
    Ok(())
}

async fn receive<R: AsyncRead + Unpin>(
    raft: &Raft,
    scratch: &Path,
    reader: &mut R,
) -> Result<Vote, ReceiveError> {
    let first = next(reader, BEGIN_TIMEOUT).await?;
    if first.kind != Kind::SnapshotBegin {
        return Err(ReceiveError::Order("it does not begin"));
    }
    let begin = peer::SnapshotBegin::decode(first.payload)?;
    let vote = codec::vote_in(begin.vote)?;
    let meta = begin.meta.ok_or(DecodeError::Missing("meta"))?;
    let info = info_of(&meta, begin.files)?;
    let inbox = Inbox::create(scratch).await?;
    tracing::info!(
        files = info.files.len(),
        bytes = info
            .files
            .iter()
            .fold(0, |sum: u64, file| sum.saturating_add(file.size)),
        "receiving a snapshot"
    );
    files(reader, &inbox.dir, &info).await?;
    let stored = meta.membership.ok_or(DecodeError::Missing("membership"))?;
    let last = meta.last.map(codec::log_id_in);
    if last.is_some_and(|last| term_of(&last) > vote.leader_id.term) {
        return Err(DecodeError::Order.into());
    }
    let snapshot = Snapshot {
        meta: SnapshotMeta {
            last_log_id: last,
            last_membership: codec::stored_membership_in(stored)?,
        },
        snapshot: SnapshotData::Received { inbox, info },
    };
    let response = raft
        .install_full_snapshot(vote, snapshot)
        .await
        .map_err(|error| ReceiveError::Raft(error.to_string()))?;
    Ok(response.vote)
}

fn info_of(
    meta: &peer::SnapshotMeta,
    files: Vec<peer::SnapshotFile>,
) -> Result<SnapshotInfo, ReceiveError> {
    if files.len() > FILES_MAX {
        return Err(ReceiveError::Order("it has too many files"));
    }
    let files = files
        .into_iter()
        .map(|file| {
            // Only a bare name: a path could leave the directory.
            let mut parts = Path::new(&file.name).components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(_)), None) => Ok(SnapshotFile {
                    name: file.name,
                    size: file.size,
                    crc32c: file.crc32c,
                }),
                _ => Err(ReceiveError::Name(file.name)),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(SnapshotInfo {
        applied: meta.applied.clone(),
        revision: meta.revision,
        files,
    })
}

/// A directory that goes away unless its files have been moved out of it. It travels with the
/// snapshot into the installing thread: nobody else may clear it while its files are moved.
pub struct Inbox {
    pub dir: PathBuf,
}

impl Inbox {
    async fn create(scratch: &Path) -> Result<Inbox, ReceiveError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = scratch.join(format!("receive-{number}"));
        tokio::fs::create_dir_all(&dir).await?;
        Ok(Inbox { dir })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, dir = %self.dir.display(), "a received snapshot was left behind");
        }
    }
}

/// Writes the chunks. They come file by file and in order, so one file is open at a time.
async fn files<R: AsyncRead + Unpin>(
    reader: &mut R,
    dir: &Path,
    info: &SnapshotInfo,
) -> Result<(), ReceiveError> {
    let mut open: Option<(usize, File, u64)> = None;
    for file in &info.files {
        // Empty files have no chunk of their own.
        File::create(dir.join(&file.name)).await?;
    }
    loop {
        let frame = next(reader, CHUNK_TIMEOUT).await?;
        if frame.kind == Kind::SnapshotEnd {
            break;
        }
        if frame.kind != Kind::SnapshotChunk {
            return Err(ReceiveError::Order("a frame is neither chunk nor end"));
        }
        let chunk = peer::SnapshotChunk::decode(frame.payload)?;
        let number = chunk.file as usize;
        let expected = info
            .files
            .get(number)
            .ok_or(ReceiveError::Order("a chunk belongs to no file"))?;
        if open.as_ref().is_none_or(|(current, ..)| *current != number) {
            close(open.take()).await?;
            open = Some((number, File::create(dir.join(&expected.name)).await?, 0));
        }
        let Some((_, file, written)) = open.as_mut() else {
            continue;
        };
        let after = written.saturating_add(chunk.data.len() as u64);
        if chunk.offset != *written || after > expected.size {
            return Err(ReceiveError::Order("a chunk is not the next one"));
        }
        file.write_all(&chunk.data).await?;
        *written = after;
    }
    close(open).await
}

async fn close(open: Option<(usize, File, u64)>) -> Result<(), ReceiveError> {
    if let Some((_, mut file, _)) = open {
        file.flush().await?;
    }
    Ok(())
}

async fn next<R: AsyncRead + Unpin>(
    reader: &mut R,
    limit: Duration,
) -> Result<Frame, ReceiveError> {
    timeout(limit, read_frame(reader))
        .await
        .map_err(|_| ReceiveError::Silent)??
        .ok_or(ReceiveError::Order("it ends before its end"))
}
