//! Puts by the megabyte, and steady writers whose acknowledged writes must never be lost. Nothing
//! is recorded but the last acknowledged number of each key.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;

use crate::{connection::Connection, convert};

/// Bytes of one value. They are random, so that RocksDB's files are as large as what was put.
pub const VALUE_BYTES: usize = 8 << 10;

const POOL_BYTES: usize = 4 << 20;

/// Puts on their way at a time.
const FILLERS: u64 = 32;

/// Bytes of a steady writer's value.
const STEADY_BYTES: usize = 1 << 10;

const PUT_TIMEOUT: Duration = Duration::from_secs(10);

/// A writer that was refused waits this long.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// Random bytes to cut values from.
#[derive(Clone, Debug)]
pub struct Pool(Bytes);

impl Pool {
    #[must_use]
    pub fn new(seed: u64) -> Pool {
        let mut bytes = vec![0; POOL_BYTES];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        Pool(bytes.into())
    }

    /// The same kibibyte again and again, for puts that nobody will read.
    #[must_use]
    pub fn kibibyte(&self) -> Bytes {
        self.0.slice(..1 << 10)
    }

    fn value(&self, length: usize, random: &mut StdRng) -> Bytes {
        let at = random.random_range(0..POOL_BYTES - length);
        self.0.slice(at..at + length)
    }
}

/// Puts `count` values under keys of their own, through all connections in turn.
///
/// # Errors
/// If a put fails: the members that are asked must serve all the while.
pub async fn fill(
    connections: &[Connection],
    pool: &Pool,
    prefix: &str,
    count: u64,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for filler in 0..FILLERS {
        let connection = &connections[filler as usize % connections.len()];
        let (mut kv, pool, next) = (connection.kv(), pool.clone(), Arc::clone(&next));
        let (prefix, mut random) = (prefix.to_owned(), StdRng::seed_from_u64(filler));
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let put = pb::PutRequest {
                    key: Bytes::from(format!("{prefix}/{number:09}")),
                    value: pool.value(VALUE_BYTES, &mut random),
                    ..Default::default()
                };
                tokio::time::timeout(PUT_TIMEOUT, kv.put(put)).await??;
            }
        }));
    }
    for task in tasks {
        task.await?.context("a put of the fill failed")?;
    }
    Ok(())
}

/// Writers that go on through faults.
#[derive(Debug)]
pub struct Steady {
    acknowledged: Arc<Mutex<BTreeMap<String, u64>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Steady {
    /// One writer a connection, each with a key of its own, a put every `pause`.
    #[must_use]
    pub fn spawn(connections: &[Connection], pool: &Pool, pause: Duration) -> Steady {
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (writer, connection) in connections.iter().enumerate() {
            let (mut kv, pool) = (connection.kv(), pool.clone());
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                let key = format!("steady/{writer}");
                let mut random = StdRng::seed_from_u64(writer as u64);
                for number in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut value = format!("{number} ").into_bytes();
                    value.extend_from_slice(&pool.value(STEADY_BYTES, &mut random));
                    let put = pb::PutRequest {
                        key: key.clone().into(),
                        value: value.into(),
                        ..Default::default()
                    };
                    let done = tokio::time::timeout(PUT_TIMEOUT, kv.put(put)).await;
                    let done = matches!(done, Ok(Ok(_)));
                    if done {
                        acknowledged
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(key.clone(), number);
                    }
                    tokio::time::sleep(if done { pause } else { PAUSE_AFTER_ERROR }).await;
                }
            }));
        }
        Steady {
            acknowledged,
            stop,
            tasks,
        }
    }

    /// Puts acknowledged so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        let all = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.values().sum()
    }

    /// Every key holds its last acknowledged number, or a later one, on the member that is asked.
    ///
    /// # Errors
    /// Names the key that went back.
    pub async fn nothing_lost(&self, connection: &Connection) -> anyhow::Result<()> {
        let all = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (key, acknowledged) in all {
            let get = convert::range(&key, "", 0, 0, false);
            let kvs = connection.kv().range(get).await?.into_inner().kvs;
            let value = kvs.first().map(|kv| kv.value.clone()).unwrap_or_default();
            let head = value.split(|byte| *byte == b' ').next().unwrap_or_default();
            let held: u64 = std::str::from_utf8(head)?.parse().unwrap_or(0);
            if held < acknowledged {
                bail!("{key} holds {held}, but {acknowledged} was acknowledged");
            }
        }
        Ok(())
    }

    /// Ends the writers and waits for their last answers.
    ///
    /// # Errors
    /// If one panicked.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            task.await?;
        }
        Ok(())
    }
}
