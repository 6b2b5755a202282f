//! One watch of a stream.

use bytes::Bytes;
use mainstay_proto::etcdserverpb::{WatchCreateRequest, watch_create_request::FilterType};

use crate::{control::Companion, matcher::Scope};

/// The cohort of watches that are handed events as they are published.
pub(crate) const LIVE: u64 = 0;

/// A watch: what it looks at and how far it is. It has no queue of its own; `due` is empty but
/// while a batch is collected.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub scope: Scope,
    /// Which cohort it moves with.
    pub cohort: u64,
    /// Events before this revision are not for it, or have been handed to it.
    pub min_revision: i64,
    /// As the client gave it; until the store is there the watch gets no progress.
    pub start_revision: i64,
    pub prev_kv: bool,
    pub fragment: bool,
    pub progress_notify: bool,
    /// Nothing was sent since the last progress tick.
    pub idle: bool,
    no_put: bool,
    no_delete: bool,
    pub due: Vec<Bytes>,
    pub due_revision: i64,
    _companion: Companion,
}

impl Watcher {
    pub(crate) fn new(request: &WatchCreateRequest, scope: Scope, companion: Companion) -> Watcher {
        // Unknown filters are passed over, as etcd does.
        let filters = |kind: FilterType| request.filters.contains(&(kind as i32));
        Watcher {
            scope,
            cohort: LIVE,
            min_revision: 0,
            start_revision: request.start_revision,
            prev_kv: request.prev_kv,
            fragment: request.fragment,
            progress_notify: request.progress_notify,
            idle: true,
            no_put: filters(FilterType::Noput),
            no_delete: filters(FilterType::Nodelete),
            due: Vec::new(),
            due_revision: 0,
            _companion: companion,
        }
    }

    pub(crate) fn wants(&self, revision: i64, delete: bool) -> bool {
        revision >= self.min_revision && !(if delete { self.no_delete } else { self.no_put })
    }
}
