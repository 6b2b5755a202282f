//! A local copy of a range of keys that follows the cluster: a list, then a watch from where the
//! list ended, and another list when the watch can no longer go on.
//!
//! ```no_run
#![doc = include_str!("../examples/reflector.rs")]
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_proto::mvccpb::event::EventType;
use mainstay_proto::mvccpb::{Event, KeyValue};
use parking_lot::RwLock;
use tokio::sync::watch as state;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::watch::{Seen, Watch};

/// Between two tries to list.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// What became of one key of the copy.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Put {
        now: Arc<KeyValue>,
        before: Option<Arc<KeyValue>>,
    },
    Deleted {
        before: Arc<KeyValue>,
    },
    /// The copy is whole as of this revision: once after the first list, and after each other one.
    Synced {
        revision: i64,
    },
}

/// Follows a range and keeps the copy. [`Reflector::next`] must be called for as long as the copy is
/// to be kept: it changes only there.
#[derive(Debug)]
pub struct Reflector {
    client: Client,
    range: Range,
    cache: Cache,
    watch: Option<Watch>,
    queued: VecDeque<Change>,
    backoff: Backoff,
    lists: u64,
}

/// The keys from `key` on that come before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    key: Bytes,
    /// None: all that begin with `key`.
    end: Option<Bytes>,
}

/// The copy, to read from any task.
#[derive(Clone, Debug)]
pub struct Cache {
    held: Arc<RwLock<Held>>,
    synced: Arc<state::Sender<bool>>,
}

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<Bytes, Arc<KeyValue>>,
    revision: i64,
}

impl Client {
    /// A local copy of all keys that begin with `prefix`.
    pub fn reflect(&self, prefix: impl AsRef<[u8]>) -> Reflector {
        let key = Bytes::copy_from_slice(prefix.as_ref());
        Reflector::new(self.clone(), Range { key, end: None })
    }

    /// A local copy of the keys from `key` on that come before `end`.
    pub fn reflect_range(&self, key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> Reflector {
        let range = Range {
            key: Bytes::copy_from_slice(key.as_ref()),
            end: Some(Bytes::copy_from_slice(end.as_ref())),
        };
        Reflector::new(self.clone(), range)
    }
}

impl Reflector {
    fn new(client: Client, range: Range) -> Reflector {
        let synced = Arc::new(state::channel(false).0);
        Reflector {
            client,
            range,
            cache: Cache {
                held: Arc::default(),
                synced,
            },
            watch: None,
            queued: VecDeque::new(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            lists: 0,
        }
    }

    pub fn cache(&self) -> Cache {
        self.cache.clone()
    }

    /// How often the range was listed: more than once means that a watch could not go on.
    pub fn lists(&self) -> u64 {
        self.lists
    }

    /// What changed next. The copy holds it already, and maybe what comes after it too.
    ///
    /// It may be dropped while it waits, and nothing is lost. Members that cannot be reached are
    /// waited for.
    ///
    /// # Errors
    /// [`Error::Refused`], if the user may not read or watch the range, and other errors that
    /// another try would not mend; the call after it tries again.
    pub async fn next(&mut self) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.queued.pop_front() {
                return Ok(change);
            }
            let Some(watch) = &mut self.watch else {
                self.list().await?;
                continue;
            };
            match watch.next().await {
                Some(Ok(Seen::Events { revision, events })) => self.apply(revision, events),
                Some(Ok(Seen::Progress { revision })) => {
                    self.cache.held.write().revision = revision;
                }
                Some(Err(Error::Compacted { revision })) => {
                    tracing::info!(revision, "what came next is compacted, listing again");
                    self.watch = None;
                }
                Some(Err(error)) => {
                    self.watch = None;
                    return Err(error);
                }
                None => self.watch = None,
            }
        }
    }

    fn apply(&mut self, revision: i64, events: Vec<Event>) {
        let mut held = self.cache.held.write();
        held.revision = revision;
        for event in events {
            let Some(kv) = event.kv else { continue };
            if event.r#type == EventType::Put as i32 {
                let now = Arc::new(kv);
                let before = held.keys.insert(now.key.clone(), now.clone());
                self.queued.push_back(Change::Put { now, before });
            } else if let Some(before) = held.keys.remove(&kv.key) {
                self.queued.push_back(Change::Deleted { before });
            }
        }
    }

    /// Reads the whole range at one revision, watches from there, and tells what differs from the
    /// copy as it was.
    async fn list(&mut self) -> Result<(), Error> {
        match self.try_list().await {
            Ok(()) => {
                self.backoff.reset();
                self.lists += 1;
                self.cache.synced.send_replace(true);
                Ok(())
            }
            Err(error @ (Error::Refused { .. } | Error::Malformed { .. } | Error::Tls(_))) => {
                // Whoever calls again at once shall not ask without a pause.
                tokio::time::sleep(self.backoff.next()).await;
                Err(error)
            }
            Err(error) => {
                tracing::debug!(%error, "the list failed and is begun again");
                tokio::time::sleep(self.backoff.next()).await;
                Ok(())
            }
        }
    }

    async fn try_list(&mut self) -> Result<(), Error> {
        let get = self.client.get(&self.range.key);
        let mut pages = match &self.range.end {
            Some(end) => get.until(end).pages(),
            None => get.prefix().pages(),
        };
        let mut fresh = BTreeMap::new();
        while let Some(page) = pages.next().await? {
            for kv in page {
                fresh.insert(kv.key.clone(), Arc::new(kv));
            }
        }
        let revision = pages.revision();
        let watching = self.client.watch(&self.range.key);
        let watching = match &self.range.end {
            Some(end) => watching.until(end),
            None => watching.prefix(),
        };
        let watch = watching.from_revision(revision + 1).await?;
        self.replace(fresh, revision);
        self.watch = Some(watch);
        Ok(())
    }

    fn replace(&mut self, fresh: BTreeMap<Bytes, Arc<KeyValue>>, revision: i64) {
        let mut held = self.cache.held.write();
        for (key, before) in &held.keys {
            if !fresh.contains_key(key) {
                let before = before.clone();
                self.queued.push_back(Change::Deleted { before });
            }
        }
        for (key, now) in &fresh {
            let before = held.keys.get(key).cloned();
            let same = |before: &Arc<KeyValue>| before.mod_revision == now.mod_revision;
            if !before.as_ref().is_some_and(same) {
                let now = now.clone();
                self.queued.push_back(Change::Put { now, before });
            }
        }
        *held = Held {
            keys: fresh,
            revision,
        };
        self.queued.push_back(Change::Synced { revision });
    }
}

impl Cache {
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Arc<KeyValue>> {
        self.held.read().keys.get(key.as_ref()).cloned()
    }

    /// All keys, in their order, as of one revision.
    pub fn all(&self) -> Vec<Arc<KeyValue>> {
        self.held.read().keys.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.held.read().keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The revision that the copy shows.
    pub fn revision(&self) -> i64 {
        self.held.read().revision
    }

    /// Waits until the first list is done.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as this does.
        let _ = synced.wait_for(|synced| *synced).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reflector() -> Reflector {
        let client = Client::builder().endpoint("localhost").build().unwrap();
        client.reflect("p/")
    }

    fn kv(key: &'static str, mod_revision: i64) -> KeyValue {
        KeyValue {
            key: Bytes::from_static(key.as_bytes()),
            mod_revision,
            ..KeyValue::default()
        }
    }

    fn fresh(kvs: &[KeyValue]) -> BTreeMap<Bytes, Arc<KeyValue>> {
        let kvs = kvs.iter().cloned();
        kvs.map(|kv| (kv.key.clone(), Arc::new(kv))).collect()
    }

    fn event(kind: EventType, kv: KeyValue) -> Event {
        Event {
            r#type: kind.into(),
            kv: Some(kv),
            prev_kv: None,
        }
    }

    #[tokio::test]
    async fn a_second_list_tells_only_what_differs() {
        let mut reflector = reflector();
        reflector.replace(fresh(&[kv("p/a", 1), kv("p/b", 2), kv("p/c", 3)]), 3);
        assert_eq!(reflector.queued.len(), 4, "three puts and the end");
        reflector.queued.clear();
        reflector.replace(fresh(&[kv("p/b", 5), kv("p/c", 3), kv("p/d", 6)]), 7);
        let told: Vec<String> = reflector.queued.iter().map(word).collect();
        assert_eq!(
            told,
            ["deleted p/a", "put p/b over 2", "put p/d", "synced 7"]
        );
    }

    #[tokio::test]
    async fn a_delete_of_what_is_not_there_is_not_told() {
        let mut reflector = reflector();
        reflector.replace(fresh(&[kv("p/a", 1)]), 1);
        reflector.queued.clear();
        let events = vec![
            event(EventType::Delete, kv("p/x", 2)),
            event(EventType::Put, kv("p/x", 3)),
            event(EventType::Delete, kv("p/a", 4)),
        ];
        reflector.apply(4, events);
        let told: Vec<String> = reflector.queued.iter().map(word).collect();
        assert_eq!(told, ["put p/x", "deleted p/a"]);
        assert_eq!(reflector.cache().revision(), 4);
        assert_eq!(reflector.cache().len(), 1);
    }

    fn word(change: &Change) -> String {
        let name = |kv: &KeyValue| String::from_utf8_lossy(&kv.key).into_owned();
        match change {
            Change::Put { now, before: None } => format!("put {}", name(now)),
            Change::Put {
                now,
                before: Some(before),
            } => format!("put {} over {}", name(now), before.mod_revision),
            Change::Deleted { before } => format!("deleted {}", name(before)),
            Change::Synced { revision } => format!("synced {revision}"),
        }
    }
}
