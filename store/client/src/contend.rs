//! Who is next: the order that locks and elections stand on.
//!
//! Each contender puts a key `<name>/<lease in hex>` under its lease; whose key was made first has
//! the turn, the others wait for the one before them to go. The keys are those of etcd's
//! `concurrency` package and of its lock and election services, so that all of them may contend
//! with each other.
//!
//! ```no_run
#![doc = include_str!("../examples/contend.rs")]
//! ```

mod election;
mod lock;

use std::future::IntoFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::kv::{Compare, Op};
use crate::lease::Lease;
use crate::watch::Seen;

pub use election::{Election, Observer, Proclaimed, Reign};
pub use lock::Lock;

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);

/// A contender's key. It goes when this is dropped, as far as that can be; with the lease it goes
/// for certain.
#[derive(Debug)]
pub(crate) struct Contender {
    client: Client,
    name: Bytes,
    key: Bytes,
    /// At which the key was made: the place in the queue.
    revision: i64,
    lease: i64,
    gone: AtomicBool,
}

impl Contender {
    /// Takes a place in the queue, or the one that an earlier try with this lease has.
    pub(crate) async fn enter(
        client: &Client,
        name: &[u8],
        value: Vec<u8>,
        lease: &Lease,
    ) -> Result<Contender, Error> {
        let prefix = Bytes::from([name, b"/"].concat());
        let key = Bytes::from([&prefix[..], format!("{:x}", lease.id()).as_bytes()].concat());
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let revision = loop {
            let put = Op::put_leased(&key, value.clone(), lease.id());
            let txn = client.txn().when(Compare::missing(&key));
            let entered = held(lease, txn.then(put).otherwise(Op::get(&key))).await?;
            match entered {
                Ok(outcome) if outcome.succeeded => break outcome.revision,
                Ok(outcome) => match outcome.found().and_then(|found| found.first()) {
                    Some(kv) if kv.value == value => break kv.create_revision,
                    // What it says is old: it makes place and comes again.
                    Some(kv) => {
                        let mine = Compare::created_at(&key, kv.create_revision);
                        let leave = client.txn().when(mine).then(Op::delete(&key));
                        let _ = held(lease, leave).await?;
                    }
                    None => {}
                },
                // It is done once however often it is asked for: the key is this lease's own.
                Err(error) if error.may_have_happened() => {
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Contender {
            client: client.clone(),
            name: prefix,
            key,
            revision,
            lease: lease.id(),
            gone: AtomicBool::new(false),
        })
    }

    /// Waits until no earlier key is left and this one still stands.
    pub(crate) async fn turn(&self, lease: &Lease) -> Result<(), Error> {
        loop {
            let before = self.client.get(&self.name).prefix().limit(1);
            let before = before
                .created_until(self.revision - 1)
                .sorted(SortTarget::Create, SortOrder::Descend);
            let found = held(lease, before).await??;
            let Some(earlier) = found.first() else {
                return self.stands(lease).await;
            };
            let watching = self.client.watch(&earlier.key);
            let watching = watching.without_puts().from_revision(found.revision + 1);
            let mut watch = held(lease, watching).await??;
            loop {
                match held(lease, watch.next()).await? {
                    Some(Ok(Seen::Events { .. })) | None => break,
                    Some(Ok(Seen::Progress { .. })) => {}
                    // It looks again.
                    Some(Err(Error::Compacted { .. })) => break,
                    Some(Err(error)) => return Err(error),
                }
            }
        }
    }

    /// The lease may have run out while it waited, and its key with it.
    async fn stands(&self, lease: &Lease) -> Result<(), Error> {
        let found = held(lease, self.client.get(&self.key)).await??;
        match found.first() {
            Some(kv) if kv.create_revision == self.revision => Ok(()),
            _ => Err(Error::LeaseLost {
                id: self.lease,
                reason: "the key is gone".to_owned(),
            }),
        }
    }

    /// Gives the place up.
    pub(crate) async fn leave(self) -> Result<(), Error> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let result = loop {
            match self.removal().await {
                // Taking it away twice is as good as once.
                Err(error) if error.may_have_happened() => {
                    tokio::time::sleep(backoff.next()).await;
                }
                result => break result.map(|_| ()),
            }
        };
        self.gone.store(result.is_ok(), Ordering::Relaxed);
        result
    }

    fn removal(&self) -> crate::kv::Txn {
        let mine = Compare::created_at(&self.key, self.revision);
        self.client.txn().when(mine).then(Op::delete(&self.key))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let removal = self.removal();
            runtime.spawn(async move {
                if let Err(error) = removal.await {
                    tracing::debug!(%error, "a contender's key is left to its lease");
                }
            });
        }
    }
}

/// Does something for as long as the lease is held.
async fn held<F: IntoFuture>(lease: &Lease, work: F) -> Result<F::Output, Error> {
    let work = std::pin::pin!(work.into_future());
    let lost = std::pin::pin!(lease.lost());
    match futures::future::select(work, lost).await {
        futures::future::Either::Left((output, _)) => Ok(output),
        futures::future::Either::Right((lost, _)) => Err(lost),
    }
}
