//! Readers beside the writer: whatever rolls, is purged or recycled, they see only right entries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mainstay_wal::{Options, Wal};
use tempfile::tempdir;

use crate::support::{append, entries, entry, id, options, wait};

#[test]
fn readers_never_see_a_wrong_entry_while_segments_are_recycled() {
    let dir = tempdir().unwrap();
    // No tail, so that every durable entry is read from disk.
    let options = Options {
        tail_bytes_max: 0,
        sync: false,
        prepare: true,
        ..options(dir.path())
    };
    let wal = Wal::open(options).unwrap();
    append(&wal, entries(1, 0..1, 500));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let from = wal.state().purged.map_or(0, |purged| purged.index + 1);
                        let found = wal.read(from, from + 40, usize::MAX).unwrap();
                        for (index, found) in (from..).zip(&found) {
                            assert_eq!(*found, entry(1, index, 500));
                        }
                        seen += found.len();
                    }
                    seen
                })
            })
            .collect();
        for round in 0..400 {
            let next = 1 + round * 10;
            append(&wal, entries(1, next..next + 10, 500));
            if round % 5 == 4 {
                wait(|done| wal.purge(id(1, next - 10), done)).unwrap();
            }
        }
        stop.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

#[test]
fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let options = Options {
        queue_bytes_max: 1000,
        ..options(dir.path())
    };
    let wal = Wal::open(options).unwrap();
    for index in 0..200 {
        wal.append(
            entries(1, index..index + 1, 700),
            Box::new(|result| result.unwrap()),
        )
        .unwrap();
    }
    wal.clone().close();
    assert_eq!(
        wal.read(0, 200, usize::MAX).unwrap(),
        entries(1, 0..200, 700)
    );
}
