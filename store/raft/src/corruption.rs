//! Whether the members hold the same: each hashes its keys at one revision, and the hashes are
//! compared. What is found is told; acting on it is the caller's.
//!
//! A member that does not answer, is behind, or has compacted to another revision says nothing
//! about corruption and is left out of that comparison.

mod verdict;

use std::sync::Arc;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_mvcc::HashKv;
use mainstay_proto::peer;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::membership::Members;
use crate::peer::frame::Kind;
use crate::peers::Peers;
pub use verdict::{Finding, Hashed};

/// Longest wait for another member's hash: it reads its whole store for it.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a member that is behind waits to come to the revision asked for.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("the store could not be hashed: {0}")]
    Store(#[from] mainstay_mvcc::Error),
    #[error("hashing the store ended early")]
    Ended,
}

/// Hashes this member's own keys, one request at a time and off the thread that carries raft.
pub struct Hasher {
    view: View,
    place: Arc<Semaphore>,
}

impl Hasher {
    pub fn new(view: View) -> Hasher {
        Hasher {
            view,
            place: Arc::new(Semaphore::new(1)),
        }
    }

    /// The hash at a revision, 0 for the latest, and the store's revision.
    async fn hash(&self, revision: i64) -> Result<(HashKv, i64), HashError> {
        let place = self.place.clone().acquire_owned().await;
        let place = place.map_err(|_| HashError::Ended)?;
        let store = self.view.store();
        let hashing = tokio::task::spawn_blocking(move || {
            let _place = place;
            let hash = store.hash_kv(revision)?;
            Ok((hash, store.revision()))
        });
        hashing.await.map_err(|_| HashError::Ended)?
    }

    /// What another member gets to hear.
    pub async fn answer(&self, question: peer::HashRequest) -> peer::HashResponse {
        let reached = self.view.wait_applied(question.applied_index);
        if timeout(CATCH_UP_MAX, reached).await.is_err() {
            return peer::HashResponse::default();
        }
        match self.hash(question.revision).await {
            Ok((hash, revision)) => peer::HashResponse {
                hashed: true,
                hash: hash.hash,
                compact_revision: hash.compact_revision,
                revision,
            },
            Err(error) => {
                tracing::debug!(%error, "no hash for another member");
                peer::HashResponse::default()
            }
        }
    }
}

/// Compares this member with all others.
pub struct Corruption {
    pub members: Arc<Members>,
    pub peers: Arc<Peers>,
    pub hasher: Arc<Hasher>,
    pub view: View,
}

impl Corruption {
    /// Compares the keys as they are now.
    pub async fn compare_latest(&self) -> Result<Finding, HashError> {
        let applied = self.view.applied_index();
        let (own, _) = self.hasher.hash(0).await?;
        Ok(self.compare(own, applied).await)
    }

    /// Compares what the newest compactions left, newest first, down to but without revision
    /// `checked`. Ends with the first that all members could be asked about, or that differs.
    pub async fn compare_compactions(&self, checked: i64) -> Option<Finding> {
        let hashes = self.view.store().compaction_hashes();
        let mut last = None;
        for own in hashes
            .into_iter()
            .filter(|hash| hash.hash_revision > checked)
        {
            let found = self.compare(own, 0).await;
            let ends = found.is_conclusive();
            last = Some(found);
            if ends {
                break;
            }
        }
        last
    }

    async fn compare(&self, own: HashKv, applied_index: u64) -> Finding {
        let others = self.members.others();
        let asked = others.iter().map(|(member, node)| {
            let caller = self.peers.caller(*member, node);
            let question = peer::HashRequest {
                revision: own.hash_revision,
                applied_index,
            };
            async move {
                let answer: Result<peer::HashResponse, _> =
                    caller.call(Kind::Hash, &question, ANSWER_MAX).await;
                let comparable = answer.ok().filter(|answer| {
                    answer.hashed && answer.compact_revision == own.compact_revision
                });
                (*member, comparable.map(|answer| answer.hash))
            }
        });
        let answers = futures::future::join_all(asked).await;
        let own_hash = (self.members.own(), Some(own.hash));
        let hashes = std::iter::once(own_hash).chain(answers);
        Finding {
            revision: own.hash_revision,
            hashes: hashes
                .map(|(member, hash)| Hashed { member, hash })
                .collect(),
        }
    }
}
