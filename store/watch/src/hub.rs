//! The one place where apply and all watch streams meet.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use mainstay_mvcc::{Change, Store};
use parking_lot::{Mutex, RwLock};

use crate::{
    Control, HeaderIds, Options, Stats, Stream, event,
    history::History,
    mailbox::{Mailbox, Notes, wake_all},
    matcher::{Matcher, Scope},
    ring::Ring,
    stats::Counters,
};

/// Takes what apply has committed and lets streams know. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

pub(crate) struct Inner {
    pub options: Options,
    pub history: History,
    pub counters: Counters,
    /// Watches that want the record before.
    pub want_prev: AtomicI64,
    store: RwLock<Store>,
    ring: RwLock<Ring>,
    /// Locked while matches are noted. Taken before the ring's lock where both are.
    registry: Mutex<Registry>,
    /// Every match up to this revision is noted. Set with the registry locked.
    published: AtomicI64,
    next_stream: AtomicU64,
    closed: AtomicBool,
}

/// Who looks at what, grouped by stream: a thousand watches of one key on one stream are one note.
#[derive(Default)]
struct Registry {
    streams: HashMap<u64, Arc<Mailbox>>,
    interests: Matcher<HashMap<u64, Interest>>,
}

struct Interest {
    mailbox: Arc<Mailbox>,
    watches: usize,
}

impl Hub {
    /// Begins at the revision of the store.
    pub fn new(store: Store, options: Options) -> Hub {
        let revision = store.revision();
        let ring = Ring::new(revision + 1, options.ring_bytes_max);
        Hub(Arc::new(Inner {
            options,
            history: History::default(),
            counters: Counters::default(),
            want_prev: AtomicI64::new(0),
            store: RwLock::new(store),
            ring: RwLock::new(ring),
            registry: Mutex::default(),
            published: AtomicI64::new(revision),
            next_stream: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// What a commit has changed, in order, with the revision the store is at now. Called after
    /// the commit and before anybody is answered. Never waits for a stream.
    pub fn publish(&self, revision: i64, changes: Vec<Change>) {
        let revisions: Vec<_> = event::encode(changes, false)
            .into_iter()
            .map(Arc::new)
            .collect();
        {
            let mut ring = self.0.ring.write();
            for revision in &revisions {
                ring.push(revision.clone());
            }
        }
        let mut wake = Vec::new();
        {
            let registry = self.0.registry.lock();
            for revision in &revisions {
                for event in &revision.events {
                    registry.note(&event.key, revision.main, &mut wake);
                }
            }
            self.0.published.store(revision, Ordering::Release);
        }
        wake_all(wake);
    }

    /// Whether any watch wants the record before, so that commits had better bring it along. If
    /// one does not, its watches read the history of the store.
    pub fn wants_prev(&self) -> bool {
        self.0.want_prev.load(Ordering::Relaxed) > 0
    }

    /// A snapshot has been installed: goes on from the revision of this store. Watches find what
    /// they have missed in its history, or are canceled as compacted.
    pub fn reset(&self, store: Store) {
        let revision = store.revision();
        let mut wake = Vec::new();
        {
            let registry = self.0.registry.lock();
            let before = self.0.published.load(Ordering::Acquire);
            self.0.ring.write().restart(revision + 1);
            self.0.history.clear();
            *self.0.store.write() = store;
            for mailbox in registry.streams.values() {
                mailbox.note_all_from(before + 1);
                wake.push(mailbox.clone());
            }
            self.0.published.store(revision, Ordering::Release);
        }
        wake_all(wake);
    }

    /// Ends every stream, now and from now on.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        for mailbox in self.0.registry.lock().streams.values() {
            mailbox.close();
        }
    }

    /// A stream and the side that its requests go in by.
    pub fn open_stream(&self) -> (Control, Stream) {
        let number = self.0.next_stream.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(number));
        let mut registry = self.0.registry.lock();
        registry.streams.insert(number, mailbox.clone());
        let published = self.0.published();
        drop(registry);
        if self.0.closed.load(Ordering::Acquire) {
            mailbox.close();
        }
        let (control, requests) = Control::new();
        (
            control,
            Stream::new(self.0.clone(), mailbox, requests, published),
        )
    }

    pub fn stats(&self) -> Stats {
        let streams = self.0.registry.lock().streams.len();
        self.0.counters.stats(streams)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("published", &self.0.published())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The revision that streams go by: everything up to it can be read and is noted.
    pub(crate) fn published(&self) -> i64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn store(&self) -> Store {
        self.store.read().clone()
    }

    pub(crate) fn ids(&self) -> HeaderIds {
        (self.options.header)()
    }

    pub(crate) fn with_ring<T>(&self, read: impl FnOnce(&Ring) -> T) -> T {
        read(&self.ring.read())
    }

    /// The notes of a stream, and up to which revision they are complete.
    pub(crate) fn take_notes(&self, mailbox: &Mailbox) -> (Notes, i64) {
        // Read first: what is noted by then is noted in what is taken afterwards.
        let published = self.published();
        if let Some(notes) = mailbox.take_listed() {
            return (notes, published);
        }
        let _no_publication = self.registry.lock();
        (mailbox.take(), self.published())
    }

    /// From the revision after the one returned on, matches are noted for the stream.
    pub(crate) fn register(&self, mailbox: &Arc<Mailbox>, scope: &Scope) -> i64 {
        let mut registry = self.registry.lock();
        let interest = registry.interests.entry(scope).entry(mailbox.stream);
        let interest = interest.or_insert_with(|| Interest {
            mailbox: mailbox.clone(),
            watches: 0,
        });
        interest.watches += 1;
        self.published()
    }

    pub(crate) fn unregister(&self, mailbox: &Mailbox, scope: &Scope) {
        self.registry.lock().unregister(mailbox.stream, scope);
    }

    /// The stream is gone, with these watches.
    pub(crate) fn forget_stream<'a>(
        &self,
        mailbox: &Mailbox,
        scopes: impl Iterator<Item = &'a Scope>,
    ) {
        let mut registry = self.registry.lock();
        for scope in scopes {
            registry.unregister(mailbox.stream, scope);
        }
        registry.streams.remove(&mailbox.stream);
    }
}

impl Registry {
    fn note(&self, key: &[u8], revision: i64, wake: &mut Vec<Arc<Mailbox>>) {
        self.interests.visit(key, |streams| {
            for interest in streams.values() {
                if interest.mailbox.note(revision) {
                    wake.push(interest.mailbox.clone());
                }
            }
        });
    }

    fn unregister(&mut self, stream: u64, scope: &Scope) {
        let Some(streams) = self.interests.get_mut(scope) else {
            return;
        };
        if let Entry::Occupied(mut interest) = streams.entry(stream) {
            interest.get_mut().watches -= 1;
            if interest.get().watches == 0 {
                interest.remove();
            }
        }
        if streams.is_empty() {
            self.interests.remove(scope);
        }
    }
}
