//! What a put, a read and a key cost: `cargo run -p mainstay-mvcc --example load -- <dir> <keys>`.

use std::time::Instant;

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
        "open          {:>10.1?}  revision {}",
        begun.elapsed(),
        store.revision()
    );
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    for round in ["create", "update"] {
        let begun = Instant::now();
        for first in (0..keys).step_by(BATCH as usize) {
            let mut batch = writer.begin();
            for number in first..keys.min(first + BATCH) {
                let mut mutation = batch.mutate();
                mutation.put(key(number).as_bytes(), value.clone(), 0, false)?;
                mutation.finish();
            }
            batch.commit(Bytes::from_static(b"applied"))?;
        }
        let each = begun.elapsed() / u32::try_from(keys)?;
        println!(
            "{round}        {each:>10.1?}  a put, RSS {} MB",
            resident_mb()
        );
    }
    let begun = Instant::now();
    let reads = keys.min(100_000);
    for number in 0..reads {
        let key = key(number * 7 % keys).into();
        store.range(&RangeRequest {
            key,
            ..RangeRequest::default()
        })?;
    }
    println!(
        "get           {:>10.1?}",
        begun.elapsed() / u32::try_from(reads)?
    );
    let all = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..RangeRequest::default()
    };
    let begun = Instant::now();
    let count = store
        .range(&RangeRequest {
            count_only: true,
            ..all.clone()
        })?
        .count;
    println!("count {count:>8}{:>10.1?}", begun.elapsed());
    let begun = Instant::now();
    store.range(&RangeRequest {
        limit: 500,
        ..all.clone()
    })?;
    println!("list of 500   {:>10.1?}", begun.elapsed());
    let begun = Instant::now();
    store.range(&RangeRequest {
        limit: 500,
        revision: store.revision() - 1000,
        ..all
    })?;
    println!("an older one  {:>10.1?}", begun.elapsed());
    let begun = Instant::now();
    let mut batch = writer.begin();
    batch.compact(store.revision())?;
    batch.commit(Bytes::from_static(b"applied"))?;
    store.wait_compacted(store.revision())?;
    println!(
        "compaction    {:>10.1?}  {:?}",
        begun.elapsed(),
        store.stats()
    );
    let begun = Instant::now();
    store.checkpoint_index()?;
    println!(
        "index copy    {:>10.1?}  RSS {} MB",
        begun.elapsed(),
        resident_mb()
    );
    drop((store, writer));
    Ok(())
}
