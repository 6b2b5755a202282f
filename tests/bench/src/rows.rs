//! The loads. Each runs the same requests on whichever side is up and notes what it saw.

use anyhow::{Result, bail};

use crate::reading::Readings;
use crate::side::Running;

/// Bytes of every value, as issue and table say.
const VALUE: &str = "256";
/// Keys of the big store, and operations in each transaction that fills it.
const MILLION: f64 = 1_000_000.0;
const OPERATIONS: f64 = 100.0;
/// The list load: keys under one prefix, and keys a page.
const LISTED: usize = 10_000;
const PAGE: usize = 500;

/// What a load needs to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A fresh cluster.
    Small,
    /// A fresh cluster with TLS on both sides of every member, and certificates asked for.
    Secure,
    /// A cluster that holds a million keys.
    Million,
}

/// A load of the table.
pub struct Row {
    pub name: &'static str,
    pub load: &'static str,
    pub stage: Stage,
    pub run: fn(&mut Running, &mut Readings) -> Result<()>,
}

/// In the order they run: `restart` ends the cluster's first life, so it is the last of its stage.
pub const ROWS: &[Row] = &[
    Row {
        name: "put",
        load: "put, 100/1000, 1M random keys",
        stage: Stage::Small,
        run: put,
    },
    Row {
        name: "put-one",
        load: "put, one client",
        stage: Stage::Small,
        run: put_one,
    },
    Row {
        name: "range",
        load: "range of one key, 100/1000",
        stage: Stage::Small,
        run: range,
    },
    Row {
        name: "list",
        load: "10,000 keys by pages of 500",
        stage: Stage::Small,
        run: list,
    },
    Row {
        name: "watch",
        load: "100 x 100 watchers of a key",
        stage: Stage::Small,
        run: watch,
    },
    Row {
        name: "put-tls",
        load: "put, 100/1000, over TLS with client certificates",
        stage: Stage::Secure,
        run: put_tls,
    },
    Row {
        name: "memory",
        load: "RSS with 1M keys",
        stage: Stage::Million,
        run: memory,
    },
    Row {
        name: "count",
        load: "count-only of 1M keys",
        stage: Stage::Million,
        run: count,
    },
    Row {
        name: "restart",
        load: "start with 1M keys",
        stage: Stage::Million,
        run: restart,
    },
];

fn put(side: &mut Running, readings: &mut Readings) -> Result<()> {
    puts(
        side,
        readings,
        ["put.rate", "put.cpu", "put.p50", "put.p99"],
    )
}

fn put_tls(side: &mut Running, readings: &mut Readings) -> Result<()> {
    let keys = ["put-tls.rate", "put-tls.cpu", "put-tls.p50", "put-tls.p99"];
    puts(side, readings, keys)
}

/// Notes throughput, CPU time, median and p99 under the keys given.
fn puts(side: &mut Running, readings: &mut Readings, keys: [&'static str; 4]) -> Result<()> {
    let [rate, per_put, median, high] = keys;
    let warm_up = side.scaled(3_000.0);
    let total = side.scaled(60_000.0);
    let arguments = [
        "put",
        "--key-space-size",
        "1000000",
        "--val-size",
        VALUE,
        "--total",
    ];
    side.client.load(
        100,
        1000,
        &[&arguments[..], &[warm_up.to_string().as_str()]].concat(),
    )?;
    let (summary, cpu) = side.timed(
        100,
        1000,
        &[&arguments[..], &[total.to_string().as_str()]].concat(),
    )?;
    readings.set(rate, summary.per_second);
    readings.set(per_put, cpu / total as f64 * 1e6);
    readings.set(median, summary.p50 * 1e3);
    if let Some(p99) = summary.p99 {
        readings.set(high, p99 * 1e3);
    }
    Ok(())
}

fn put_one(side: &mut Running, readings: &mut Readings) -> Result<()> {
    let total = side.scaled(3_000.0).to_string();
    let (summary, _) = side.timed(
        1,
        1,
        &[
            "put",
            "--key-space-size",
            "1000000",
            "--val-size",
            VALUE,
            "--total",
            &total,
        ],
    )?;
    readings.set("put-one.p50", summary.p50 * 1e3);
    readings.set("put-one.rate", summary.per_second);
    Ok(())
}

fn range(side: &mut Running, readings: &mut Readings) -> Result<()> {
    let total = side.scaled(80_000.0);
    side.client.put_numbered("one/", 1, &"v".repeat(256))?;
    let (summary, cpu) = side.timed(
        100,
        1000,
        &["range", "one/00000000", "--total", &total.to_string()],
    )?;
    readings.set("range.rate", summary.per_second);
    readings.set("range.cpu", cpu / total as f64 * 1e6);
    Ok(())
}

/// `benchmark` repeats one range, so each page of the list is a load of its own; the time of a
/// list is the sum over its pages of the time a request took.
fn list(side: &mut Running, readings: &mut Readings) -> Result<()> {
    let repeats = side.scaled(200.0);
    side.client
        .put_numbered("list/", LISTED, &"v".repeat(256))?;
    let (mut seconds, mut cpu) = (0.0, 0.0);
    for first in (0..LISTED).step_by(PAGE) {
        let start = format!("list/{first:08}");
        let limit = PAGE.to_string();
        let arguments = [
            "range",
            &start,
            "list0",
            "--limit",
            &limit,
            "--total",
            &repeats.to_string(),
        ];
        let (summary, page_cpu) = side.timed(10, 10, &arguments)?;
        seconds += 1.0 / summary.per_second;
        cpu += page_cpu / repeats as f64;
    }
    readings.set("list.rate", 1.0 / seconds);
    readings.set("list.cpu", cpu * 1e3);
    Ok(())
}

fn watch(side: &mut Running, readings: &mut Readings) -> Result<()> {
    const WATCHERS: f64 = 10_000.0;
    let puts = side.scaled(150.0);
    let arguments = [
        "watch",
        "--streams",
        "100",
        "--watch-per-stream",
        "100",
        "--watched-key-total",
        "1",
        "--put-total",
        &puts.to_string(),
    ];
    let (summary, cpu) = side.timed(100, 100, &arguments)?;
    readings.set("watch.rate", summary.per_second);
    readings.set("watch.cpu", cpu / (puts as f64 * WATCHERS) * 1e6);
    Ok(())
}

/// Fills the store for the stage [`Stage::Million`].
pub fn fill(side: &mut Running) -> Result<()> {
    let keys = side.scaled(MILLION);
    let transactions = (keys as f64 / OPERATIONS) as u64;
    let arguments = [
        "txn-put",
        "--txn-ops",
        &(OPERATIONS as u64).to_string(),
        "--val-size",
        VALUE,
        "--key-space-size",
        &keys.to_string(),
        "--total",
        &transactions.to_string(),
    ];
    side.client.load(8, 16, &arguments)?;
    Ok(())
}

/// The mean over the members, right after the fill.
fn memory(side: &mut Running, readings: &mut Readings) -> Result<()> {
    let resident = side.resident()?;
    let Some(count) = u32::try_from(resident.len())
        .ok()
        .filter(|count| *count > 0)
    else {
        bail!("no member runs");
    };
    let sum: u64 = resident.iter().sum();
    readings.set(
        "memory.rss",
        sum as f64 / f64::from(count) / f64::from(1 << 20),
    );
    Ok(())
}

/// A side that counts quickly gets more requests, so that its CPU time, which the kernel tells in
/// steps of 10 ms, can be read.
fn count(side: &mut Running, readings: &mut Readings) -> Result<()> {
    const SECONDS: f64 = 3.0;
    const MOST: f64 = 20_000.0;
    let mut total = side.scaled(40.0);
    let mut load = |total: u64| {
        let total = total.to_string();
        side.timed(
            4,
            4,
            &["range", "--prefix", "--count-only", "--total", &total],
        )
    };
    let (mut summary, mut cpu) = load(total)?;
    if summary.total < SECONDS / 3.0 {
        total = (SECONDS * summary.per_second).min(MOST) as u64;
        (summary, cpu) = load(total)?;
    }
    readings.set("count.rate", summary.per_second);
    readings.set("count.cpu", cpu / total as f64 * 1e3);
    Ok(())
}

/// All members at once, until the slowest serves.
fn restart(side: &mut Running, readings: &mut Readings) -> Result<()> {
    readings.set("restart.time", side.restart()?.as_secs_f64());
    Ok(())
}
