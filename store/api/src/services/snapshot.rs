//! Snapshot: this member's store as a file of etcd's form, streamed.
//!
//! The file is written to disk first, off the thread that carries raft: its form cannot be
//! streamed from the beginning, and a slow client must not hold a RocksDB snapshot. It has no name
//! there, so it goes with its last handle, a crash included.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_mvcc::Store;
use mainstay_proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use mainstay_snapshot::{Cancel, export, trailer::Sum};
use prost::Message;
use tonic::Status;

use super::leader;
use crate::context::Context;
use crate::dispatch::Incoming;
use crate::error::Error;
use crate::grpc::{MessageStream, Messages};
use crate::limits::{SNAPSHOT_BLOB_BYTES, SNAPSHOT_READ_BYTES, SNAPSHOT_SPARE_BYTES};
use crate::metadata::Caller;

/// Opens the stream; whatever goes wrong comes at a receive, as with any stream.
pub async fn snapshot<B: Incoming>(
    context: Arc<Context>,
    mut messages: Messages<B>,
    caller: Caller,
) -> Result<MessageStream, Status> {
    let _: SnapshotRequest = messages.only().await?;
    let blobs = blobs(context.clone());
    Ok(leader::guard(context, caller, Box::pin(blobs)))
}

fn blobs(context: Arc<Context>) -> impl futures::Stream<Item = Result<Bytes, Status>> + Send {
    async_stream::try_stream! {
        let mut backup = build(&context).await?;
        loop {
            let (next, read) = on_pool(move || {
                let mut backup = backup;
                let read = backup.read()?;
                Ok((backup, read))
            })
            .await?;
            backup = next;
            if read.is_empty() {
                break;
            }
            for message in read {
                yield message;
            }
        }
        // The checksum closes the stream in a message of its own.
        let sum = Bytes::copy_from_slice(&std::mem::take(&mut backup.sum).finish());
        yield backup.message(0, sum);
    }
}

/// A file on its way to the client.
struct Backup {
    file: File,
    bytes: u64,
    sent: u64,
    sum: Sum,
    /// The version every message names.
    version: String,
}

impl Backup {
    /// Without a header, as etcd sends it.
    fn message(&self, remaining_bytes: u64, blob: Bytes) -> Bytes {
        let response = SnapshotResponse {
            header: None,
            remaining_bytes,
            blob,
            version: self.version.clone(),
        };
        response.encode_to_vec().into()
    }
}

/// Ends the work on the pool when the stream is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn build(context: &Context) -> Result<Backup, Status> {
    let Ok(place) = context.snapshots.clone().acquire_owned().await else {
        return Err(Error::Stopped.into());
    };
    let (store, scratch) = (context.store(), context.scratch_dir.clone());
    check_room(&store, &scratch)?;
    warn_of_users(context);
    let cancel = CancelOnDrop(Cancel::default());
    let watched = cancel.0.clone();
    let version = context.storage_version();
    let backup = on_pool(move || {
        // Given back once the file is there: a client that takes its time keeps nobody waiting.
        let _place = place;
        let file = tempfile::tempfile_in(&scratch)?;
        let file = export(&store, file, &watched)?;
        let bytes = file.metadata()?.len();
        Ok(Backup {
            file,
            bytes,
            sent: 0,
            sum: Sum::default(),
            version,
        })
    })
    .await?;
    tracing::info!(bytes = backup.bytes, "sending a backup of the store");
    Ok(backup)
}

/// Names those who could not log in to an etcd that restored this backup: it knows bcrypt only.
fn warn_of_users(context: &Context) {
    let users = context.logins.registry().user_names_by_hash(b"$argon2");
    if !users.is_empty() {
        tracing::warn!(?users, "etcd cannot verify the passwords of these users");
    }
}

/// Refuses a backup that might fill the disk up. Its file has about as many bytes as its records,
/// and twice as many where each value takes a little more than half a page.
fn check_room(store: &Store, scratch: &Path) -> Result<(), Status> {
    let records = u64::try_from(store.size().logical_bytes).unwrap_or(0);
    let needed = records
        .saturating_mul(2)
        .saturating_add(SNAPSHOT_SPARE_BYTES);
    let free = match rustix::fs::statvfs(scratch) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            tracing::warn!(%error, "the room on the disk is not known");
            return Ok(());
        }
    };
    if free < needed {
        tracing::warn!(free, needed, "no room for a backup");
        return Err(Error::NoRoomForBackup.into());
    }
    Ok(())
}

impl Backup {
    /// The next messages, none at the end.
    fn read(&mut self) -> Result<Vec<Bytes>, mainstay_snapshot::Error> {
        let left = self.bytes.saturating_sub(self.sent);
        let want = usize::try_from(left).unwrap_or(usize::MAX);
        let mut buffer = vec![0; want.min(SNAPSHOT_READ_BYTES)];
        self.file.read_exact_at(&mut buffer, self.sent)?;
        self.sum.add(&buffer);
        let mut read = Bytes::from(buffer);
        let mut messages = Vec::with_capacity(read.len().div_ceil(SNAPSHOT_BLOB_BYTES));
        while !read.is_empty() {
            let blob = read.split_to(read.len().min(SNAPSHOT_BLOB_BYTES));
            self.sent += blob.len() as u64;
            messages.push(self.message(self.bytes - self.sent, blob));
        }
        Ok(messages)
    }
}

async fn on_pool<T, F>(work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, mainstay_snapshot::Error> + Send + 'static,
{
    let failed = |error: String| {
        tracing::error!(error, "a backup failed");
        Status::from(Error::Storage)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        // Nobody is left to hear it.
        Ok(Err(mainstay_snapshot::Error::Cancelled)) => Err(Error::ContextCanceled.into()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
