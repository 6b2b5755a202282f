//! Snapshots between members: a flushed copy of the store, sent file by file.
//!
//! To openraft a snapshot is only a position: everything up to it is in RocksDB's files, so the
//! log before it may go. The files themselves are linked when a snapshot is to be sent, and may
//! then stand a little further than the position that openraft asked for; the receiver is told
//! the position that the files really have.

pub mod pins;
pub mod receive;
pub mod send;

use std::io;
use std::path::PathBuf;

use mainstay_mvcc::{SnapshotInfo, Store};
use openraft::storage::RaftSnapshotBuilder;

use crate::applied;
use crate::snapshot::receive::Inbox;
use crate::types::{Snapshot, SnapshotMeta, TypeConfig};

pub enum SnapshotData {
    /// This member's own store.
    Own(Source),
    /// Files that have come in whole, in a directory of their own.
    Received { inbox: Inbox, info: SnapshotInfo },
}

/// Where an own snapshot is cut from, and where its links may lie meanwhile.
#[derive(Clone)]
pub struct Source {
    pub store: Store,
    pub scratch: PathBuf,
}

/// Reports how far RocksDB's files have come. The keeper flushes when they lag; a flush of its own
/// is needed only where nothing has been flushed yet.
pub struct Builder {
    pub source: Source,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        if let Some(snapshot) = current(&self.source)? {
            return Ok(snapshot);
        }
        let store = self.source.store.clone();
        tokio::task::spawn_blocking(move || store.flush())
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        current(&self.source)?.ok_or_else(|| io::Error::other("nothing has been applied yet"))
    }
}

/// The snapshot that RocksDB's files make right now.
pub fn current(source: &Source) -> Result<Option<Snapshot>, io::Error> {
    let flushed = source.store.flushed_applied().map_err(io::Error::other)?;
    let Some(blob) = flushed else {
        return Ok(None);
    };
    let (last_log_id, last_membership) = applied::positions_of(&blob)?;
    Ok(Some(Snapshot {
        meta: SnapshotMeta {
            last_log_id,
            last_membership,
        },
        snapshot: SnapshotData::Own(source.clone()),
    }))
}
