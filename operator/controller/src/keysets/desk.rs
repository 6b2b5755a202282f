//! What is at hand for each set between its passes: what has happened since, what is kept in memory
//! so that a drift is put right without asking the API server, and who refers to which object.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures::channel::mpsc::UnboundedSender;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use mainstay_client::Error as StoreError;
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::MainstayKeySetStatus;
use parking_lot::Mutex;
use tokio::sync::watch as state;

use super::fights::Fights;
use super::follow::Follower;
use super::roster::Roster;
use super::wanted::{Data, Kind, Source, Wanted};
use super::{KIND, claims};
use crate::context::Context;
use crate::metrics::Object;
use crate::sessions::Session;

pub type Guarded = DeserializeGuard<MainstayKeySet>;

/// What a set may refer to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    Source(String, Source),
    Cluster(Object),
    User(Object),
}

/// One set: what others tell it.
#[derive(Debug)]
pub struct Desk {
    named: Object,
    /// Something that the set is made of has changed: everything is to be read anew.
    stirred: AtomicBool,
    /// Another set may claim other keys than before.
    claimed: AtomicBool,
    /// A pass has been asked for by the store's side and has not begun.
    pending: AtomicBool,
    /// When the first of the events came that no pass has looked at yet.
    seen: Mutex<Option<Instant>>,
    trigger: UnboundedSender<ObjectRef<Guarded>>,
    /// Only a pass takes it, and there is one at a time.
    pub memory: tokio::sync::Mutex<Memory>,
}

/// What a pass leaves to the next one.
#[derive(Default)]
pub struct Memory {
    pub uid: Option<String>,
    pub generation: Option<i64>,
    /// As it was last written. The API server's may be older in this process's cache.
    pub status: MainstayKeySetStatus,
    pub wanted: Option<Arc<Wanted>>,
    /// Which state of the spec and of its sources `wanted` was made of.
    pub version: String,
    /// Which of those the store has had since this process knows the set, but for what it refuses.
    pub settled: Option<String>,
    pub session: Option<Session>,
    /// When it was last asked whether the cluster asks for users.
    pub asked: Option<Instant>,
    pub follower: Option<Follower>,
    pub fights: Fights,
    /// Keys that the status has been given and that have not been written since: a pass may be given up
    /// between the two.
    pub unwritten: BTreeSet<String>,
    /// Changes that the store refuses, and why; not tried again before all is read anew.
    pub refused: BTreeMap<Bytes, StoreError>,
    /// Whether they are to be tried now, and when they last were.
    pub retry: bool,
    pub tried: Option<Instant>,
    /// When everything was last read anew.
    pub looked: Option<Instant>,
    /// When to look again, whatever happens.
    pub due: Option<Instant>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// What has happened since the last pass began.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub stirred: bool,
    pub claimed: bool,
    pub seen: Option<Instant>,
}

impl Desk {
    /// Something of the store is not as it should be.
    pub fn seen(&self) {
        self.seen.lock().get_or_insert_with(Instant::now);
        if !self.pending.swap(true, Ordering::AcqRel) {
            // The other end is gone only when the process ends.
            let _ = self.trigger.unbounded_send(reference(&self.named));
        }
    }

    /// Looks at what came; what comes from now on is the next pass's.
    pub fn news(&self) -> News {
        self.pending.store(false, Ordering::Release);
        News {
            stirred: self.stirred.swap(false, Ordering::AcqRel),
            claimed: self.claimed.swap(false, Ordering::AcqRel),
            seen: self.seen.lock().take(),
        }
    }

    /// The next pass reads everything anew.
    pub fn stir(&self) {
        self.stirred.store(true, Ordering::Release);
    }
}

pub fn reference(named: &Object) -> ObjectRef<Guarded> {
    ObjectRef::new(&named.name).within(&named.namespace)
}

#[derive(Debug, Default)]
struct Known {
    sets: BTreeSet<(String, String)>,
    /// Its state, so that what does not matter is not told.
    state: Option<u64>,
    /// Grows with each change: what was read before it is not kept.
    epoch: u64,
    data: Option<(Arc<Data>, String)>,
}

/// All sets of a scope.
pub struct Desks {
    pub context: Arc<Context>,
    trigger: UnboundedSender<ObjectRef<Guarded>>,
    desks: Mutex<HashMap<Object, Arc<Desk>>>,
    known: Mutex<HashMap<Reference, Known>>,
    /// What every set claims.
    roster: Mutex<Roster>,
    /// Whether all sets that there are have been seen.
    synced: state::Sender<bool>,
}

impl Desks {
    pub fn new(context: Arc<Context>, trigger: UnboundedSender<ObjectRef<Guarded>>) -> Desks {
        Desks {
            context,
            trigger,
            desks: Mutex::default(),
            known: Mutex::default(),
            roster: Mutex::default(),
            synced: state::channel(false).0,
        }
    }

    pub fn desk(&self, named: &Object) -> Arc<Desk> {
        let mut desks = self.desks.lock();
        let desk = desks.entry(named.clone()).or_insert_with(|| {
            Arc::new(Desk {
                named: named.clone(),
                stirred: AtomicBool::new(true),
                claimed: AtomicBool::new(true),
                pending: AtomicBool::new(false),
                seen: Mutex::default(),
                trigger: self.trigger.clone(),
                memory: tokio::sync::Mutex::default(),
            })
        });
        desk.clone()
    }

    /// A set is there, as it is now; who has to look again.
    pub fn set_changed(&self, set: MainstayKeySet) -> Vec<ObjectRef<Guarded>> {
        let set = Arc::new(set);
        let claims_anew = self.roster.lock().watched(named(&*set), set.clone());
        match claims_anew {
            true => self.overlapping(&set),
            false => Vec::new(),
        }
    }

    /// A pass works on a set with this status. Others know what it claims from now on, and look again
    /// if that is news.
    pub fn set_written(&self, set: &MainstayKeySet, status: &MainstayKeySetStatus) {
        let claims_anew = self.roster.lock().written(named(set), set, status);
        if !claims_anew {
            return;
        }
        for touched in self.overlapping(set) {
            // The other end is gone only when the process ends.
            let _ = self.trigger.unbounded_send(touched);
        }
    }

    /// A set is gone, and with it all that is kept of it.
    pub fn set_gone(&self, set: &MainstayKeySet) -> Vec<ObjectRef<Guarded>> {
        let gone = named(set);
        self.roster.lock().gone(&gone, set);
        self.desks.lock().remove(&gone);
        self.refer(&gone, &HashSet::new());
        self.context.metrics.forget_keyset(&gone);
        self.context.metrics.declare(KIND, &gone, None);
        self.overlapping(set)
    }

    /// All sets are about to be listed.
    pub fn sets_listing(&self) {
        self.roster.lock().listing();
    }

    /// Keeps only these; who has to look again for it.
    pub fn sets_are(&self, there: &HashSet<Object>) -> Vec<ObjectRef<Guarded>> {
        let missing = self.roster.lock().missing(there);
        self.synced.send_replace(true);
        let gone = missing.iter().flat_map(|set| self.set_gone(set));
        gone.collect()
    }

    /// Waits until what every set claims is known: before that a younger one might take what an
    /// older one has.
    pub async fn synced(&self) {
        // The sender lives as long as this does.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    fn overlapping(&self, set: &MainstayKeySet) -> Vec<ObjectRef<Guarded>> {
        let others = self.namespace(set);
        let touched = others
            .iter()
            .filter(|other| other.metadata.uid != set.metadata.uid && claims::overlap(set, other));
        let touched = touched.map(|other| {
            let named = named(&**other);
            self.desk(&named).claimed.store(true, Ordering::Release);
            reference(&named)
        });
        touched.collect()
    }

    /// All sets of the namespace of this one.
    pub fn namespace(&self, set: &MainstayKeySet) -> Vec<Arc<MainstayKeySet>> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        self.roster.lock().namespace(namespace)
    }

    /// What a set refers to from now on. To be told before it is read: what changes afterwards is
    /// told to the set.
    pub fn refer(&self, named: &Object, references: &HashSet<Reference>) {
        let by = (named.namespace.clone(), named.name.clone());
        let mut known = self.known.lock();
        known.retain(|reference, known| {
            if !references.contains(reference) {
                known.sets.remove(&by);
            }
            !known.sets.is_empty()
        });
        for reference in references {
            known
                .entry(reference.clone())
                .or_default()
                .sets
                .insert(by.clone());
        }
    }

    /// An object is in this state, or gone; who has to look again.
    pub fn touched(&self, reference: &Reference, state: Option<u64>) -> Vec<ObjectRef<Guarded>> {
        let sets = {
            let mut all = self.known.lock();
            let Some(known) = all.get_mut(reference) else {
                return Vec::new();
            };
            if state.is_some() && known.state == state {
                return Vec::new();
            }
            known.state = state;
            known.epoch += 1;
            known.data = None;
            known.sets.clone()
        };
        let sets = sets.into_iter().map(|(namespace, name)| {
            let named = Object { namespace, name };
            self.desk(&named).stir();
            self::reference(&named)
        });
        sets.collect()
    }

    /// Objects of a kind that are referred to, to tell which of them are gone.
    pub fn referred(&self, of_kind: impl Fn(&Reference) -> bool) -> Vec<Reference> {
        let known = self.known.lock();
        known
            .keys()
            .filter(|reference| of_kind(reference))
            .cloned()
            .collect()
    }

    /// What is known of an object, and its epoch.
    pub fn data(&self, reference: &Reference) -> (Option<(Arc<Data>, String)>, u64) {
        let known = self.known.lock();
        let known = known.get(reference);
        known.map_or((None, 0), |known| (known.data.clone(), known.epoch))
    }

    /// Keeps what was read, unless the object has changed since.
    pub fn keep(&self, reference: &Reference, epoch: u64, data: (Arc<Data>, String)) {
        if let Some(known) = self.known.lock().get_mut(reference)
            && known.epoch == epoch
        {
            known.data = Some(data);
        }
    }

    /// Ends the watches of all sets.
    pub async fn close(&self) {
        let desks: Vec<Arc<Desk>> = self.desks.lock().drain().map(|(_, desk)| desk).collect();
        for desk in desks {
            desk.memory.lock().await.follower = None;
        }
    }

    /// Reads this object anew whatever is known.
    pub fn drop_data(&self, reference: &Reference) {
        if let Some(known) = self.known.lock().get_mut(reference) {
            known.data = None;
        }
    }
}

impl Reference {
    pub fn is_source(&self, of: Kind) -> bool {
        matches!(self, Reference::Source(_, source) if source.kind == of)
    }
}

pub fn named(object: &impl ResourceExt) -> Object {
    Object {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

#[cfg(test)]
mod tests;
