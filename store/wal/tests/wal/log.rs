//! What a log without accidents does.

use bytes::Bytes;
use mainstay_wal::{Error, Options, RECORD_BYTES_MAX, Wal};
use tempfile::tempdir;

use crate::support::{
    SEGMENT, all, append, entries, entry, id, ignore, open, options, segments, wait,
};

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    assert_eq!(wal.state().last, None);
    append(&wal, entries(1, 0..10, 100));
    append(&wal, entries(2, 10..12, 0));
    wait(|done| wal.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    wal.save_committed(Bytes::from_static(b"old hint")).unwrap();
    wal.save_committed(Bytes::from_static(b"hint")).unwrap();
    let before = wal.state();
    wal.close();

    let wal = open(dir.path());
    let state = wal.state();
    assert_eq!((state.purged, state.last), (None, Some(id(2, 11))));
    assert_eq!(
        (&state.vote, &state.committed),
        (&before.vote, &before.committed)
    );
    assert_eq!(state.committed.as_deref(), Some(&b"hint"[..]));
    assert_eq!((state.recovered.entries, state.recovered.cut), (12, None));
    let mut expected = entries(1, 0..10, 100);
    expected.extend(entries(2, 10..12, 0));
    assert_eq!(all(&wal), expected);
    assert_eq!(wal.id_of(9).unwrap(), Some(id(1, 9)));
    assert_eq!(wal.id_of(10).unwrap(), Some(id(2, 10)));
    assert_eq!(wal.id_of(12).unwrap(), None);
}

#[test]
fn dropping_the_last_handle_closes_as_well() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    wal.append(entries(1, 0..5, 10), ignore()).unwrap();
    let other = wal.clone();
    drop(wal);
    assert!(other.append(entries(1, 5..6, 10), ignore()).is_ok());
    drop(other);
    assert_eq!(all(&open(dir.path())), entries(1, 0..6, 10));
}

#[test]
fn restarts_alone_do_not_grow_the_log() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, entries(1, 0..3, 10));
    wal.close();
    let path = &segments(dir.path())[0];
    let first = std::fs::read(path).unwrap();
    for _ in 0..3 {
        open(dir.path()).close();
        assert!(std::fs::read(path).unwrap() == first);
    }
}

#[test]
fn entries_are_visible_before_they_are_durable_and_limits_hold() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    wal.append(entries(1, 5..15, 100), ignore()).unwrap();
    assert_eq!(wal.read(5, 15, usize::MAX).unwrap(), entries(1, 5..15, 100));
    assert_eq!(wal.read(7, 9, usize::MAX).unwrap(), entries(1, 7..9, 100));
    assert_eq!(wal.read(5, 15, 250).unwrap(), entries(1, 5..7, 100));
    assert_eq!(wal.read(5, 15, 0).unwrap(), entries(1, 5..6, 100));
    assert_eq!(wal.read(4, 15, usize::MAX).unwrap(), vec![]);
    assert_eq!(wal.read(15, 20, usize::MAX).unwrap(), vec![]);
    wal.close();
    let wal = open(dir.path()); // The same from disk.
    assert_eq!(wal.read(7, 9, usize::MAX).unwrap(), entries(1, 7..9, 100));
    assert_eq!(wal.read(5, 15, 250).unwrap(), entries(1, 5..7, 100));
    assert_eq!(wal.read(5, 15, 0).unwrap(), entries(1, 5..6, 100));
    assert_eq!(wal.read(4, 15, usize::MAX).unwrap(), vec![]);
}

#[test]
fn gaps_and_oversize_are_refused_and_change_nothing() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, entries(1, 3..5, 10));
    for bad in [
        entries(1, 4..5, 1),
        entries(1, 6..7, 1),
        vec![entry(1, 5, 1), entry(1, 7, 1)],
    ] {
        let error = wal.append(bad, ignore()).unwrap_err();
        assert!(matches!(error, Error::Gap { .. }), "{error}");
    }
    let payload = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
    assert!(matches!(
        wal.save_vote(payload, ignore()),
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(wal.state().last, Some(id(1, 4)));
    wait(|done| wal.purge(id(1, 4), done)).unwrap();
    let error = wal.truncate_after(Some(3), ignore()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry 3 of the raft log is below the purge point 4"
    );
    let error = wal.append(entries(1, 6..7, 1), ignore()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot append entry 6 to the raft log: next index is 5"
    );
}

#[test]
fn a_conflict_replaces_entries_even_while_they_are_queued() {
    let dir = tempdir().unwrap();
    let wal = Wal::open(Options {
        tail_bytes_max: 0,
        ..options(dir.path())
    })
    .unwrap();
    wal.append(entries(1, 0..10, 50), ignore()).unwrap();
    wal.truncate_after(Some(3), ignore()).unwrap();
    assert_eq!(wal.state().last, Some(id(1, 3)));
    append(&wal, entries(2, 4..8, 50));
    wait(|done| wal.truncate_after(Some(6), done)).unwrap();
    append(&wal, entries(4, 7..9, 50));
    wait(|done| wal.truncate_after(Some(100), done)).unwrap();
    let mut expected = entries(1, 0..4, 50);
    expected.extend(entries(2, 4..7, 50));
    expected.extend(entries(4, 7..9, 50));
    assert_eq!(all(&wal), expected);
    wal.close();
    let wal = open(dir.path());
    assert_eq!(all(&wal), expected);
    wait(|done| wal.truncate_after(None, done)).unwrap();
    assert_eq!(wal.state().last, None);
    append(&wal, entries(5, 0..2, 50));
    wal.close();
    assert_eq!(all(&open(dir.path())), entries(5, 0..2, 50));
}

#[test]
fn segments_roll_and_are_recycled_with_vote_and_positions() {
    let dir = tempdir().unwrap();
    let wal = Wal::open(Options {
        tail_bytes_max: 0,
        ..options(dir.path())
    })
    .unwrap();
    wait(|done| wal.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    for index in 0..200 {
        append(&wal, entries(1, index..index + 1, 3000));
        if index % 20 == 19 {
            wait(|done| wal.purge(id(1, index - 10), done)).unwrap();
            wal.save_committed(Bytes::from(index.to_string())).unwrap();
        }
    }
    assert_eq!(all(&wal), entries(1, 190..200, 3000));
    // Segments are given back after the callbacks, so look when the thread has ended.
    wal.close();
    let live = segments(dir.path());
    assert!(live.len() <= 3, "{live:?}");
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(
        files <= 5,
        "{files} files: more than the live segments and two spares"
    );

    let wal = open(dir.path());
    assert_eq!(all(&wal), entries(1, 190..200, 3000));
    let state = wal.state();
    assert_eq!(state.purged, Some(id(1, 189)));
    assert_eq!(state.vote.as_deref(), Some(&b"vote"[..]));
    assert_eq!(state.committed.as_deref(), Some(&b"199"[..]));
    assert_eq!(state.recovered.cut, None);
}

#[test]
fn what_is_longer_than_a_bound_is_told_by_whole_segments() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    assert_eq!(wal.surplus(0), None, "an empty log is not too long");
    // Some twenty entries a segment.
    for index in 0..100 {
        append(&wal, entries(1, index..index + 1, 3000));
    }
    let files = segments(dir.path()).len() as u64;
    assert!(files > 3);
    assert_eq!(wal.surplus(files * SEGMENT), None);
    let one = wal.surplus((files - 1) * SEGMENT).unwrap();
    let two = wal.surplus((files - 2) * SEGMENT).unwrap();
    assert!(one < two && two < 99);
    wait(|done| wal.purge(id(1, two), done)).unwrap();
    assert_eq!(wal.surplus((files - 2) * SEGMENT), None);
    // Not even a single segment is given up whole.
    assert!(wal.surplus(0).is_some_and(|last| last < 99));
}

#[test]
fn a_purge_beyond_the_end_empties_the_log_and_it_goes_on_after_it() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, entries(1, 0..40, 3000));
    wait(|done| wal.purge(id(3, 1000), done)).unwrap();
    wait(|done| wal.purge(id(3, 900), done)).unwrap();
    assert_eq!(wal.state().last, Some(id(3, 1000)));
    assert_eq!(wal.id_of(1000).unwrap(), Some(id(3, 1000)));
    wal.close();
    let wal = open(dir.path());
    assert_eq!(
        (wal.state().purged, wal.state().last),
        (Some(id(3, 1000)), Some(id(3, 1000)))
    );
    append(&wal, entries(3, 1001..1003, 10));
    wal.close();
    assert_eq!(all(&open(dir.path())), entries(3, 1001..1003, 10));
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_of_its_own_size() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    let mut given = entries(1, 0..3, 10);
    given.push(entry(1, 3, 300 << 10));
    given.extend(entries(1, 4..6, 10));
    append(&wal, given.clone());
    wal.close();
    let wal = open(dir.path());
    assert_eq!(all(&wal), given);
    wait(|done| wal.purge(id(1, 5), done)).unwrap();
    append(&wal, entries(1, 6..8, 10));
    wal.close();
    assert_eq!(all(&open(dir.path())), entries(1, 6..8, 10));
}

#[test]
fn the_helper_thread_prepares_a_segment_which_is_then_used() {
    let dir = tempdir().unwrap();
    let options = Options {
        segment_bytes: 4 << 20,
        ..Options::new(dir.path())
    };
    let wal = Wal::open(options.clone()).unwrap();
    // The starter of 1 MiB is left as soon as the helper is done; until then it is appended to.
    let mut index = 0;
    while segments(dir.path()).len() < 2 {
        append(&wal, entries(1, index..index + 1, 1000));
        index += 1;
    }
    wal.close();
    let wal = Wal::open(options).unwrap();
    assert_eq!(all(&wal), entries(1, 0..index, 1000));
}
