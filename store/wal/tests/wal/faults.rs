//! The planted fault does what it says, so that a suite which misses it is at fault itself.

use std::sync::Arc;

use mainstay_wal::storage::PowerCut;
use mainstay_wal::{Faults, Options, Wal};
use tempfile::tempdir;

use crate::support::{all, append, entries, open, options};

#[test]
fn acknowledging_before_the_sync_loses_entries_in_a_power_cut() {
    for ack_before_sync in [false, true] {
        let dir = tempdir().unwrap();
        let power = PowerCut::new();
        let (storage, faults) = (Arc::new(power.clone()), Faults { ack_before_sync });
        let wal = Wal::open(Options {
            storage,
            faults,
            ..options(dir.path())
        })
        .unwrap();
        for index in 0..10 {
            append(&wal, entries(1, index..index + 1, 100));
        }
        power.cut();
        drop(wal);
        let lost = all(&open(dir.path())).len() < 10;
        assert_eq!(lost, ack_before_sync);
    }
}
