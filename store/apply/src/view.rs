//! What others may read of the applied state.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use mainstay_mvcc::Store;
use mainstay_proto::{etcdserverpb::AlarmMember, peer::Membership};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::LogPosition;

/// What a member has told about itself once started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    pub name: String,
    pub client_urls: Vec<String>,
}

/// The readers' side of apply: cheap to clone, never ahead of what is in the store.
#[derive(Clone)]
pub struct View(Arc<Shared>);

struct Shared {
    tables: RwLock<Tables>,
    applied: watch::Sender<LogPosition>,
}

struct Tables {
    store: Store,
    alarms: Vec<AlarmMember>,
    membership: Arc<Membership>,
    removed: Arc<HashSet<u64>>,
    attributes: HashMap<u64, Attributes>,
    cluster_version: Option<String>,
    downgrade_target: Option<String>,
}

impl View {
    pub(crate) fn new(store: Store) -> View {
        let attributes = HashMap::new();
        let tables = Tables {
            store,
            alarms: Vec::new(),
            membership: Arc::default(),
            removed: Arc::default(),
            attributes,
            cluster_version: None,
            downgrade_target: None,
        };
        let (applied, _) = watch::channel(LogPosition { term: 0, index: 0 });
        View(Arc::new(Shared {
            tables: RwLock::new(tables),
            applied,
        }))
    }

    /// The store as of now. An installed snapshot replaces it, so nobody keeps it over a request.
    pub fn store(&self) -> Store {
        self.0.tables.read().store.clone()
    }

    /// Alarms that stand, sorted by type and member.
    pub fn alarms(&self) -> Vec<AlarmMember> {
        self.0.tables.read().alarms.clone()
    }

    /// The members as of the last membership applied; without any before the first.
    pub fn membership(&self) -> Arc<Membership> {
        self.0.tables.read().membership.clone()
    }

    /// Whether a member of this id was removed. It never comes back.
    pub fn is_removed(&self, member: u64) -> bool {
        self.0.tables.read().removed.contains(&member)
    }

    /// What the member has published; `None` before it has started for the first time.
    pub fn attributes(&self, member: u64) -> Option<Attributes> {
        self.0.tables.read().attributes.get(&member).cloned()
    }

    /// The replicated cluster version, once one is decided.
    pub fn cluster_version(&self) -> Option<String> {
        self.0.tables.read().cluster_version.clone()
    }

    /// The version a downgrade job goes down to; `None` while there is no such job.
    pub fn downgrade_target(&self) -> Option<String> {
        self.0.tables.read().downgrade_target.clone()
    }

    /// Index of the last entry whose effects can be read; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.0.applied.borrow().index
    }

    pub fn applied_term(&self) -> u64 {
        self.0.applied.borrow().term
    }

    /// Returns once the effects of the entry of that index can be read here. Has no limit of its
    /// own: the caller sets its deadline.
    pub async fn wait_applied(&self, index: u64) {
        let mut applied = self.0.applied.subscribe();
        // The sender lives in `self`, so waiting can only end with the index reached.
        drop(applied.wait_for(|position| position.index >= index).await);
    }

    /// Returns once `holds` is true of what has been applied. As [`View::wait_applied`], without a
    /// limit of its own.
    pub async fn wait_until(&self, mut holds: impl FnMut(&View) -> bool) {
        let mut applied = self.0.applied.subscribe();
        loop {
            applied.mark_unchanged();
            if holds(self) || applied.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn set_store(&self, store: Store) {
        self.0.tables.write().store = store;
    }

    pub(crate) fn set_alarms(&self, alarms: Vec<AlarmMember>) {
        self.0.tables.write().alarms = alarms;
    }

    pub(crate) fn set_membership(&self, membership: Arc<Membership>, removed: Arc<HashSet<u64>>) {
        let mut tables = self.0.tables.write();
        tables.membership = membership;
        tables.removed = removed;
    }

    pub(crate) fn set_attributes(&self, attributes: HashMap<u64, Attributes>) {
        self.0.tables.write().attributes = attributes;
    }

    pub(crate) fn set_versions(&self, cluster: Option<String>, downgrade_target: Option<String>) {
        let mut tables = self.0.tables.write();
        tables.cluster_version = cluster;
        tables.downgrade_target = downgrade_target;
    }

    pub(crate) fn set_applied(&self, position: LogPosition) {
        self.0.applied.send_replace(position);
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("applied_index", &self.applied_index())
            .finish()
    }
}
