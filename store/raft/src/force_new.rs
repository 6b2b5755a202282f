//! `--force-new-cluster`: the last survivor of a cluster that lost its quorum goes on alone, with
//! its data.
//!
//! One entry is appended to the log of a member that does not run: a membership of this member
//! alone. Raft takes the last membership of its log for the one in force, so the member elects
//! itself, commits what its log holds, and applying that entry removes the others for good.

use std::io;

use mainstay_apply::AppliedState;
use mainstay_proto::peer;
use mainstay_wal::{Entry, EntryId, Wal};
use prost::Message;
use tokio::sync::oneshot;

use crate::codec::KIND_MEMBERSHIP;

/// Entries of the log looked through at once, in bytes.
const READ_BYTES_MAX: usize = 4 << 20;

/// Returns once the entry is on disk. Where the member is alone already nothing is done.
pub async fn stand_alone(wal: &Wal, applied: &AppliedState, own: u64) -> io::Result<()> {
    let state = wal.state();
    let applied_to = applied.log.map(|log| EntryId {
        term: log.term,
        index: log.index,
    });
    let by_index = |id: &EntryId| id.index;
    let last = [state.last, state.purged, applied_to];
    let Some(last) = last.into_iter().flatten().max_by_key(by_index) else {
        return Err(io::Error::other("there is no data to make a cluster of"));
    };
    // A store that was restored or sent has no log before it; the log goes on behind it.
    if state.last.is_none_or(|kept| kept.index < last.index) {
        done(|told| wal.purge(last, told)).await?;
    }
    let membership = last_membership(wal, applied, last.index)?;
    let node = membership.nodes.iter().find(|node| node.id == own);
    let Some(node) = node else {
        return Err(io::Error::other(
            "this member is not in the cluster of its data",
        ));
    };
    let alone = peer::Membership {
        configs: vec![peer::Voters { ids: vec![own] }],
        nodes: vec![node.clone()],
    };
    if membership == alone {
        return Ok(());
    }
    let entry = Entry {
        id: EntryId {
            term: last.term,
            index: last.index.saturating_add(1),
        },
        kind: KIND_MEMBERSHIP,
        payload: alone.encode_to_vec().into(),
    };
    done(|told| wal.append(vec![entry], told)).await?;
    tracing::warn!(
        members_before = membership.nodes.len(),
        "this member is a cluster of its own from now on"
    );
    Ok(())
}

/// The last one in the log, or the one that is applied.
fn last_membership(wal: &Wal, applied: &AppliedState, last: u64) -> io::Result<peer::Membership> {
    let mut found = applied.membership.as_ref().map(|(_, bytes)| bytes.clone());
    let mut from = applied.index().saturating_add(1);
    if applied.log.is_none() {
        from = 0;
    }
    while from <= last {
        let entries = wal.read(from, last.saturating_add(1), READ_BYTES_MAX);
        let entries = entries.map_err(io::Error::other)?;
        let Some(end) = entries.last().map(|entry| entry.id.index) else {
            break;
        };
        for entry in entries.iter().filter(|entry| entry.kind == KIND_MEMBERSHIP) {
            found = Some(entry.payload.clone());
        }
        from = end.saturating_add(1);
    }
    let found = found.ok_or_else(|| io::Error::other("the data names no member"))?;
    peer::Membership::decode(found).map_err(io::Error::other)
}

async fn done(
    start: impl FnOnce(mainstay_wal::Done) -> Result<(), mainstay_wal::Error>,
) -> io::Result<()> {
    let (told, durable) = oneshot::channel();
    start(Box::new(move |result| drop(told.send(result)))).map_err(io::Error::other)?;
    let result = durable.await.map_err(io::Error::other)?;
    result.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use mainstay_apply::LogPosition;
    use mainstay_wal::Options;

    use super::*;

    fn membership(ids: &[u64]) -> peer::Membership {
        let node = |id: &u64| peer::Node {
            id: *id,
            peer_urls: vec![format!("http://m{id}:1")],
            ..peer::Node::default()
        };
        peer::Membership {
            configs: vec![peer::Voters { ids: ids.to_vec() }],
            nodes: ids.iter().map(node).collect(),
        }
    }

    fn entry(index: u64, kind: u8, payload: Vec<u8>) -> Entry {
        Entry {
            id: EntryId { term: 3, index },
            kind,
            payload: payload.into(),
        }
    }

    #[tokio::test]
    async fn the_survivor_is_alone_behind_all_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(Options::new(dir.path())).unwrap();
        let three = membership(&[1, 2, 3]).encode_to_vec();
        let entries = vec![
            entry(0, KIND_MEMBERSHIP, three),
            entry(1, 1, b"a command".to_vec()),
        ];
        done(|told| wal.append(entries, told)).await.unwrap();
        let nothing = AppliedState::default();
        for _ in 0..2 {
            // The second time there is nothing left to do.
            stand_alone(&wal, &nothing, 2).await.unwrap();
            let last = wal.state().last.unwrap();
            assert_eq!((last.term, last.index), (3, 2));
        }
        let written = wal.read(2, 3, usize::MAX).unwrap();
        let alone = peer::Membership::decode(written[0].payload.clone()).unwrap();
        assert_eq!(alone.nodes.len(), 1);
        assert_eq!(alone.configs[0].ids, [2]);
        assert_eq!(alone.nodes[0].peer_urls, ["http://m2:1"]);
        assert!(stand_alone(&wal, &nothing, 9).await.is_err());
    }

    #[tokio::test]
    async fn a_store_without_a_log_goes_on_behind_what_it_was_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(Options::new(dir.path())).unwrap();
        assert!(
            stand_alone(&wal, &AppliedState::default(), 1)
                .await
                .is_err()
        );
        let position = LogPosition { term: 1, index: 3 };
        let bytes = membership(&[1, 2, 3]).encode_to_vec().into();
        let restored = AppliedState {
            log: Some(position),
            membership: Some((position, bytes)),
        };
        stand_alone(&wal, &restored, 1).await.unwrap();
        assert_eq!(wal.state().last.map(|last| last.index), Some(4));
    }
}
