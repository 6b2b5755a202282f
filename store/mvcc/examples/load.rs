//! What a put, a read and a key cost: `cargo run -p mainstay-mvcc --example load -- <dir> <keys>`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay_mvcc::{Options, Store};
use mainstay_proto::etcdserverpb::RangeRequest;

/// Entries of one commit, as many as a busy member applies at once.
const BATCH: u64 = 64;
const VALUE_BYTES: usize = 256;

fn key(number: u64) -> String {
    format!(
        "/registry/pods/ns/{:016x}",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

/// Processor time of this process so far. On a busy machine it says more than the clock.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Prints what `work` took by the clock and of the processor, divided by `times`.
fn measure(
    name: &str,
    times: u64,
    work: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (begun, before) = (Instant::now(), cpu());
    work()?;
    let each = u32::try_from(times)?;
    let (clock, cpu) = (begun.elapsed() / each, (cpu() - before) / each);
    println!(
        "{name:<16}{clock:>10.1?} {cpu:>10.1?} cpu, RSS {} MB",
        resident_mb()
    );
    Ok(())
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kb = line
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kb| kb.parse().ok());
    kb.unwrap_or(0u64) / 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("name a directory")?;
    let keys: u64 = args.next().ok_or("name a number of keys")?.parse()?;
    let begun = Instant::now();
    let (store, mut writer) = Store::open(Options::new(dir))?;
    println!(
        "open {:.1?} at revision {}",
        begun.elapsed(),
        store.revision()
    );
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    for round in ["create", "update"] {
        measure(round, keys, || {
            for first in (0..keys).step_by(BATCH as usize) {
                let mut batch = writer.begin();
                for number in first..keys.min(first + BATCH) {
                    let mut mutation = batch.mutate();
                    mutation.put(key(number).as_bytes(), value.clone(), 0, false)?;
                    mutation.finish();
                }
                batch.commit(Bytes::from_static(b"applied"))?;
            }
            Ok(())
        })?;
    }
    let reads = keys.min(100_000);
    measure("get", reads, || {
        for number in 0..reads {
            let key = key(number * 7 % keys).into();
            store.range(&RangeRequest {
                key,
                ..RangeRequest::default()
            })?;
        }
        Ok(())
    })?;
    let zero = Bytes::from_static(b"\0");
    let all = RangeRequest {
        key: zero.clone(),
        range_end: zero,
        ..RangeRequest::default()
    };
    let older = store.revision() - 1000;
    let lists = [
        (
            "count",
            RangeRequest {
                count_only: true,
                ..all.clone()
            },
        ),
        (
            "list 500",
            RangeRequest {
                limit: 500,
                ..all.clone()
            },
        ),
        (
            "list 500, keys",
            RangeRequest {
                limit: 500,
                keys_only: true,
                ..all.clone()
            },
        ),
        (
            "list 500, older",
            RangeRequest {
                limit: 500,
                revision: older,
                ..all.clone()
            },
        ),
        (
            "last key",
            RangeRequest {
                limit: 1,
                sort_order: 2,
                ..all
            },
        ),
    ];
    for (name, request) in lists {
        measure(name, 20, || {
            (0..20).try_for_each(|_| Ok(store.range(&request).map(drop)?))
        })?;
    }
    measure("compaction", 1, || {
        let mut batch = writer.begin();
        batch.compact(store.revision())?;
        batch.commit(Bytes::from_static(b"applied"))?;
        Ok(store.wait_compacted(store.revision())?)
    })?;
    measure("index copy", 1, || Ok(store.checkpoint_index()?))?;
    println!("{:?}", store.stats());
    Ok(())
}
