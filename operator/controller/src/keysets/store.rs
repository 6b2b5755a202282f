//! The store's side of a set: its keys read, and changes carried out by compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay_client::access::Refusal;
use mainstay_client::kv::{Compare, Op, Outcome, Txn};
use mainstay_client::{Client, Error, KeyValue};
use mainstay_operator_api::keyset::KEYS_MAX;

use super::compare::{Change, Held, Store};

/// Steps of one transaction; a member takes 128.
const STEPS: usize = 100;
/// Bytes of values in one transaction; a member takes 1.5 MiB.
const BYTES: usize = 512 * 1024;
/// So many changes may be refused before no more is tried; as many keys as a set may declare, which
/// come before those that it deletes.
pub const REFUSED_MAX: usize = KEYS_MAX;
/// Transactions of one go. Each is synced to the members' disks, and a pass has a limit.
const TRIES: usize = 200;

/// What was there, and the revision from which on nothing of it is known.
#[derive(Debug)]
pub struct Read {
    pub store: Store,
    pub revision: i64,
}

/// Reads these keys, or with `all` whatever is there. `client` knows the keys without the prefix.
pub async fn read(client: &Client, keys: &BTreeSet<Bytes>, all: bool) -> Result<Read, Error> {
    match all {
        true => read_all(client).await,
        false => read_some(client, keys).await,
    }
}

async fn read_all(client: &Client) -> Result<Read, Error> {
    let mut pages = client.get("").prefix().pages();
    let mut store = Store::new();
    while let Some(page) = pages.next().await? {
        store.extend(page.into_iter().map(held));
    }
    let revision = pages.revision();
    Ok(Read { store, revision })
}

async fn read_some(client: &Client, keys: &BTreeSet<Bytes>) -> Result<Read, Error> {
    let keys: Vec<&Bytes> = keys.iter().collect();
    let (mut store, mut revision) = (Store::new(), None);
    for keys in keys.chunks(STEPS) {
        let txn = keys
            .iter()
            .fold(client.txn(), |txn, key| txn.then(Op::get(key)));
        let answer = txn.await?;
        revision.get_or_insert(answer.revision);
        for outcome in answer.outcomes {
            if let Outcome::Found(found) = outcome {
                store.extend(found.kvs.into_iter().map(held));
            }
        }
    }
    let revision = match revision {
        Some(revision) => revision,
        // Nothing is declared; the set still must be let in, and know where to begin.
        None => client.get("").prefix().count_only().await?.revision,
    };
    Ok(Read { store, revision })
}

fn held(kv: KeyValue) -> (Bytes, Held) {
    let held = Held {
        value: kv.value,
        mod_revision: kv.mod_revision,
        leased: kv.lease != 0,
    };
    (kv.key, held)
}

/// What has come of changes.
#[derive(Debug, Default)]
pub struct Written {
    pub done: BTreeSet<Bytes>,
    /// Keys that were changed by another since they were looked at.
    pub lost: usize,
    /// Changes that the store does not take, and what it said.
    pub refused: BTreeMap<Bytes, Error>,
    /// Keys that were not come to.
    pub untried: BTreeSet<Bytes>,
    /// Why no more was tried: the store does not answer.
    pub failed: Option<Error>,
}

impl Written {
    /// Whether the key was certainly not written.
    pub fn is_left(&self, key: &str) -> bool {
        self.refused.contains_key(key.as_bytes()) || self.untried.contains(key.as_bytes())
    }
}

/// Carries out changes, many in one transaction, until so many are refused.
pub async fn write(client: &Client, changes: &[Change], refused_max: usize) -> Written {
    write_by(changes, refused_max, |batch| attempt(client, batch)).await
}

/// A transaction of which one change does not hold any more, or is refused, is tried in halves, so
/// that the others are carried out.
async fn write_by<'a, F>(
    changes: &'a [Change],
    refused_max: usize,
    attempt: impl Fn(&'a [Change]) -> F,
) -> Written
where
    F: Future<Output = Result<bool, Error>>,
{
    let mut written = Written::default();
    let mut left = batches(changes);
    left.reverse();
    for _ in 0..TRIES {
        let Some(batch) = left.pop() else {
            break;
        };
        let outcome = attempt(batch).await;
        match (outcome, batch) {
            (Ok(true), _) => {
                let keys = batch.iter().map(|change| change.key.clone());
                written.done.extend(keys);
            }
            (Ok(false), [_]) => written.lost += 1,
            // It is not about the keys.
            (Err(error), _) if error.refusal() == Some(Refusal::WrongPassword) => {
                written.failed = Some(error);
                break;
            }
            (Err(error @ Error::Refused { .. }), [change]) => {
                written.refused.insert(change.key.clone(), error);
                if written.refused.len() >= refused_max {
                    break;
                }
            }
            (Ok(false) | Err(Error::Refused { .. }), _) => {
                let (first, rest) = batch.split_at(batch.len() / 2);
                left.extend([rest, first]);
            }
            (Err(error), _) => {
                written.failed = Some(error);
                break;
            }
        }
    }
    let untried = left.into_iter().flatten();
    written.untried = untried.map(|change| change.key.clone()).collect();
    written
}

async fn attempt(client: &Client, batch: &[Change]) -> Result<bool, Error> {
    let txn = batch.iter().fold(client.txn(), |txn: Txn, change| {
        let when = Compare::unchanged_since(&change.key, change.since);
        let step = match &change.value {
            Some(value) => Op::put(&change.key, value.to_vec()),
            None => Op::delete(&change.key),
        };
        txn.when(when).then(step)
    });
    txn.await.map(|answer| answer.succeeded)
}

/// Changes that go together.
fn batches(changes: &[Change]) -> Vec<&[Change]> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0_usize);
    for (at, change) in changes.iter().enumerate() {
        let size = change.key.len() + change.value.as_ref().map_or(0, Bytes::len);
        if at > begin && (at - begin >= STEPS || bytes.saturating_add(size) > BYTES) {
            batches.extend(changes.get(begin..at));
            (begin, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(size);
    }
    batches.extend(changes.get(begin..).filter(|rest| !rest.is_empty()));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_within_what_a_member_takes() {
        let change = |size: usize| Change {
            key: Bytes::from_static(b"k"),
            value: Some(Bytes::from(vec![0; size])),
            since: 0,
            is_drift: false,
        };
        let sizes = |changes: &[Change]| -> Vec<usize> {
            batches(changes).iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&vec![change(1); 250]), [100, 100, 50]);
        assert_eq!(
            sizes(&[change(10), change(BYTES), change(10), change(10)]),
            [1, 1, 2]
        );
    }

    fn named(key: &str) -> Change {
        Change {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Some(Bytes::from_static(b"v")),
            since: 0,
            is_drift: false,
        }
    }

    /// Writes to a store in which changes of these keys do not hold, and of those are refused.
    async fn written(changes: &[Change], lost: &[&str], refused: &[&str]) -> (Written, usize) {
        let asked = std::cell::Cell::new(0);
        let of = |batch: &[Change], keys: &[&str]| {
            let mut batch = batch.iter();
            batch.any(|change| keys.iter().any(|key| change.key == key.as_bytes()))
        };
        let written = write_by(changes, REFUSED_MAX, |batch| {
            asked.set(asked.get() + 1);
            let answer = match of(batch, refused) {
                true => Err(Error::Refused {
                    call: "Txn",
                    code: mainstay_client::Code::PermissionDenied,
                    message: "etcdserver: permission denied".to_owned(),
                }),
                false => Ok(!of(batch, lost)),
            };
            std::future::ready(answer)
        });
        (written.await, asked.get())
    }

    #[tokio::test]
    async fn what_is_refused_holds_up_nothing_else() {
        let names: Vec<String> = (0..250).map(|at| format!("{at:03}")).collect();
        let changes: Vec<Change> = names.iter().map(|name| named(name)).collect();
        let (written, asked) = written(&changes, &["042"], &["007", "249"]).await;
        let refused: Vec<&Bytes> = written.refused.keys().collect();
        assert_eq!(refused, ["007", "249"]);
        assert_eq!((written.lost, written.done.len()), (1, 247));
        assert!(written.failed.is_none() && !written.done.contains(&b"042"[..]));
        assert!(asked < 60, "{asked} transactions");
    }

    #[tokio::test]
    async fn what_one_go_does_not_come_to_is_told() {
        let names: Vec<String> = (0..1000).map(|at| format!("{at:04}")).collect();
        let changes: Vec<Change> = names.iter().map(|name| named(name)).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let (written, asked) = written(&changes, &[], &all).await;
        assert_eq!((asked, written.done.len()), (TRIES, 0));
        let (refused, untried) = (written.refused.len(), written.untried.len());
        assert!(
            refused > 50 && refused + untried == 1000,
            "{refused} {untried}"
        );
        assert!(written.is_left("0000") && written.is_left("0999"));
    }

    #[tokio::test]
    async fn after_as_many_refusals_as_may_be_nothing_more_is_tried() {
        let changes = [named("a"), named("b"), named("c")];
        let asked = std::cell::Cell::new(0);
        let written = write_by(&changes, 1, |_| {
            asked.set(asked.get() + 1);
            std::future::ready(Err(Error::Refused {
                call: "Txn",
                code: mainstay_client::Code::PermissionDenied,
                message: "etcdserver: permission denied".to_owned(),
            }))
        });
        let written = written.await;
        assert_eq!((written.refused.len(), written.untried.len()), (1, 2));
        assert_eq!(asked.get(), 2, "all of them, then the first");
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_asked_once() {
        let changes = [named("a"), named("b")];
        let asked = std::cell::Cell::new(0);
        let written = write_by(&changes, REFUSED_MAX, |_| {
            asked.set(asked.get() + 1);
            std::future::ready(Err(Error::OutcomeUnknown {
                call: "Txn",
                reason: "cut off".to_owned(),
            }))
        });
        let written = written.await;
        assert!(written.failed.is_some() && written.refused.is_empty());
        assert_eq!(asked.get(), 1);
    }
}
