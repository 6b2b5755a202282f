//! The store's side of a set: its keys read, and changes carried out by compare-and-swap.

use std::collections::BTreeSet;

use bytes::Bytes;
use mainstay_client::kv::{Compare, Op, Outcome, Txn};
use mainstay_client::{Client, Error, KeyValue};

use super::compare::{Change, Held, Store};

/// Steps of one transaction; a member takes 128.
const STEPS: usize = 100;
/// Bytes of values in one transaction; a member takes 1.5 MiB.
const BYTES: usize = 512 * 1024;

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
    /// What the store said, if it did not take a change. What follows was not tried.
    pub failed: Option<Error>,
}

/// Carries out changes, many in one transaction. Where one of many does not hold any more, each is
/// tried by itself.
pub async fn write(client: &Client, changes: &[Change]) -> Written {
    let mut written = Written::default();
    for batch in batches(changes) {
        let outcome = attempt(client, batch).await;
        let single = matches!(outcome, Ok(false)) && batch.len() > 1;
        if !single {
            take(&mut written, batch, outcome);
        } else {
            for change in batch {
                let change = std::slice::from_ref(change);
                let outcome = attempt(client, change).await;
                take(&mut written, change, outcome);
                if written.failed.is_some() {
                    break;
                }
            }
        }
        if written.failed.is_some() {
            break;
        }
    }
    written
}

fn take(written: &mut Written, batch: &[Change], outcome: Result<bool, Error>) {
    match outcome {
        Ok(true) => written
            .done
            .extend(batch.iter().map(|change| change.key.clone())),
        Ok(false) => written.lost += batch.len(),
        Err(error) => written.failed = Some(error),
    }
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
}
