//! openraft's state machine over `store/apply`: it batches what is ready and hands it on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use mainstay_apply::{AppliedEntry, Applier, Decoded, EntryPayload as ApplyPayload};
use mainstay_mvcc::{Options, Store};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftStateMachine};
use prost::Message;

use crate::applied;
use crate::codec;
use crate::snapshot::{self, Builder, SnapshotData, Source};
use crate::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, term_of};

/// Entries committed to the store in one batch. More would delay the first of them.
const BATCH_ENTRIES_MAX: usize = 1024;

pub struct Machine {
    /// Away while a long batch is applied on another thread.
    applier: Option<Applier>,
    source: Source,
    options: Options,
    committed: CommitObserver,
}

/// Told how long the store took to apply and commit a batch of entries.
pub type CommitObserver = Arc<dyn Fn(Duration) + Send + Sync>;

impl Machine {
    /// `options` open the store anew after a snapshot; `scratch` holds snapshots on their way;
    /// `committed` hears how long each batch took.
    pub fn new(
        applier: Applier,
        store: Store,
        options: Options,
        scratch: PathBuf,
        committed: CommitObserver,
    ) -> Machine {
        Machine {
            applier: Some(applier),
            source: Source { store, scratch },
            options,
            committed,
        }
    }

    async fn apply_batch(&mut self, entries: &[Entry]) -> io::Result<()> {
        let batch: Vec<AppliedEntry> = entries
            .iter()
            .map(|entry| AppliedEntry {
                term: term_of(&entry.log_id),
                index: entry.log_id.index,
                payload: match &entry.payload {
                    EntryPayload::Blank => ApplyPayload::Blank,
                    EntryPayload::Normal(command) => ApplyPayload::Command(command.0.clone()),
                    EntryPayload::Membership(membership) => ApplyPayload::Membership(
                        codec::membership_out(membership).encode_to_vec().into(),
                    ),
                },
            })
            .collect();
        let began = Instant::now();
        let decoded = Decoded::of(&batch).map_err(io::Error::other)?;
        if decoded.may_be_long() {
            // This thread carries raft: heartbeats and votes cannot wait for a million deletes.
            let mut applier = self.applier.take().ok_or_else(lost)?;
            let applied = tokio::task::spawn_blocking(move || {
                let applied = applier.apply_decoded(decoded);
                (applier, applied)
            });
            let (applier, applied) = applied.await.map_err(io::Error::other)?;
            self.applier = Some(applier);
            applied.map_err(io::Error::other)?;
        } else {
            let applied = self.applier()?.apply_decoded(decoded);
            applied.map_err(io::Error::other)?;
        }
        (self.committed)(began.elapsed());
        Ok(())
    }

    fn applier(&mut self) -> io::Result<&mut Applier> {
        self.applier.as_mut().ok_or_else(lost)
    }
}

/// The thread that applied has panicked; openraft stops, and the member with it.
fn lost() -> io::Error {
    io::Error::other("applying was broken off")
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        applied::positions(self.applier()?.applied())
    }

    /// One store batch for whatever has been committed together. An error here is final: openraft
    /// stops, and the server with it.
    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut chunks = entries.ready_chunks(BATCH_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            let mut batch = Vec::with_capacity(chunk.len());
            let mut responders = Vec::new();
            for item in chunk {
                let (entry, responder) = item?;
                batch.push(entry);
                responders.extend(responder);
            }
            self.apply_batch(&batch).await?;
            for responder in responders {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            source: self.source.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> Result<(), io::Error> {
        let SnapshotData::Received { inbox, info } = data else {
            return Err(io::Error::other("an own snapshot cannot be installed"));
        };
        tracing::info!(
            index = meta.last_log_id.map(|id| id.index),
            revision = info.revision,
            "installing a snapshot"
        );
        let options = self.options.clone();
        let retiring = self.source.store.clone();
        // Verifying and opening the files takes as long as the files are large.
        let (store, writer) = tokio::task::spawn_blocking(move || {
            // Its files are removed below, where its own threads must not make new ones.
            retiring.retire();
            // The files are moved out of the inbox, which is cleared here and no sooner.
            mainstay_mvcc::install(&options.dir, &inbox.dir, &info)?;
            drop(inbox);
            Store::open(options)
        })
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
        let old = std::mem::replace(&mut self.source.store, store.clone());
        let reset = self
            .applier()?
            .reset(store, writer)
            .map_err(io::Error::other);
        // Closing a large store takes seconds, in which this thread would answer nobody.
        drop(tokio::task::spawn_blocking(move || drop(old)));
        reset
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        snapshot::current(&self.source)
    }
}
