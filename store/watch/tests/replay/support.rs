//! A store with a hub on it, as apply would drive them, and a client of one stream.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mainstay_mvcc::{Change, Store, Writer};
use mainstay_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use mainstay_watch::{Control, HeaderIds, Hub, Options, Reasons, Stream};
use prost::Message;

pub struct World {
    pub hub: Hub,
    pub store: Store,
    pub writer: Writer,
    /// Every change so far, with the record before.
    pub changes: Vec<Change>,
    _dir: tempfile::TempDir,
}

pub fn options() -> Options {
    let ids = HeaderIds {
        cluster_id: 11,
        member_id: 22,
        raft_term: 33,
    };
    let reasons = Reasons {
        duplicate_id: "duplicate".into(),
        empty_range: "empty".into(),
        compacted: "compacted".into(),
        too_many: "too many".into(),
    };
    Options::new(Arc::new(move || ids), reasons)
}

impl World {
    pub fn new(options: Options) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let store_options = mainstay_mvcc::Options {
            checkpoint: false,
            block_cache_bytes: 1 << 20,
            write_buffer_bytes: 4 << 20,
            ..mainstay_mvcc::Options::new(dir.path().join("store"))
        };
        let (store, writer) = Store::open(store_options).expect("a store");
        let hub = Hub::new(store.clone(), options);
        World {
            hub,
            store,
            writer,
            changes: Vec::new(),
            _dir: dir,
        }
    }

    /// One commit with these writes, each its own revision. `None` deletes.
    pub fn write(&mut self, writes: &[(&str, Option<&str>)]) -> i64 {
        let writes: Vec<_> = writes.iter().map(|write| vec![*write]).collect();
        self.commit(&writes)
    }

    /// One commit with several revisions of several writes each.
    pub fn commit(&mut self, revisions: &[Vec<(&str, Option<&str>)>]) -> i64 {
        self.writer.set_want_prev(self.hub.wants_prev());
        let mut batch = self.writer.begin();
        for writes in revisions {
            let mut mutation = batch.mutate();
            for (key, value) in writes {
                match value {
                    Some(value) => {
                        let value = Bytes::copy_from_slice(value.as_bytes());
                        mutation
                            .put(key.as_bytes(), value, 0, false)
                            .expect("a put");
                    }
                    None => {
                        mutation
                            .delete_range(key.as_bytes(), b"", false)
                            .expect("a delete");
                    }
                }
            }
            mutation.finish();
        }
        let revision = batch.revision();
        let changes = batch.commit(Bytes::new()).expect("a commit");
        if !changes.is_empty() {
            self.hub.publish(revision, changes);
        }
        self.remember();
        revision
    }

    pub fn compact(&mut self, revision: i64) {
        let mut batch = self.writer.begin();
        batch.compact(revision).expect("a compaction");
        batch.commit(Bytes::new()).expect("a commit");
    }

    /// Notes the new changes with the records before, before a compaction can take them.
    fn remember(&mut self) {
        let from = self.changes.last().map_or(2, |change| change.revision + 1);
        let to = self.store.revision();
        if from <= to {
            let changes = self
                .store
                .history(from, to, usize::MAX, true)
                .expect("history");
            self.changes.extend(changes);
        }
    }
}

pub struct Client {
    pub control: Control,
    pub stream: Stream,
}

impl Client {
    pub fn new(world: &World) -> Client {
        let (control, stream) = world.hub.open_stream();
        Client { control, stream }
    }

    pub async fn create(&self, request: WatchCreateRequest) {
        self.control.create(request).await.expect("an open stream");
    }

    /// The next response; there must be one.
    pub async fn next(&mut self) -> WatchResponse {
        self.quiet(Duration::from_secs(30))
            .await
            .expect("a response")
    }

    /// The next response, or `None` if there is none for that long.
    pub async fn quiet(&mut self, patience: Duration) -> Option<WatchResponse> {
        let frame = tokio::time::timeout(patience, self.stream.next())
            .await
            .ok()?;
        let response = WatchResponse::decode(frame.expect("an open stream")).expect("a response");
        let header = response.header.as_ref().expect("a header");
        assert_eq!(
            (header.cluster_id, header.member_id, header.raft_term),
            (11, 22, 33)
        );
        Some(response)
    }
}

pub fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}

pub fn key(key: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

pub fn range(from: &str, to: &str) -> WatchCreateRequest {
    let range_end = Bytes::copy_from_slice(to.as_bytes());
    WatchCreateRequest {
        range_end,
        ..key(from)
    }
}

/// Everything, from a revision on.
pub fn all_from(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        start_revision,
        ..range("\0", "\0")
    }
}
