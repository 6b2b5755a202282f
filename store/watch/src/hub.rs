use mainstay_mvcc::{Change, Store};

use crate::{Control, Options, Stream};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub streams: u64,
    pub watchers: u64,
    /// Watches that read history or the ring because they are behind.
    pub slow_watchers: u64,
    /// Events handed to streams since the start.
    pub events_total: u64,
    /// Events matched and not yet pulled.
    pub pending_events: u64,
}

#[derive(Clone)]
pub struct Hub;

#[allow(unused_variables)]
impl Hub {
    pub fn new(store: Store, options: Options) -> Hub {
        todo!()
    }
    pub fn publish(&self, revision: i64, changes: Vec<Change>) {
        todo!()
    }
    pub fn wants_prev(&self) -> bool {
        todo!()
    }
    pub fn reset(&self, store: Store) {
        todo!()
    }
    pub fn close(&self) {
        todo!()
    }
    pub fn open_stream(&self) -> (Control, Stream) {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
}
