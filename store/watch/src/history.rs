//! Revisions that have left the ring, read from the store for all streams that want them.

use std::{collections::VecDeque, sync::Arc};

use mainstay_mvcc::Store;
use parking_lot::Mutex;

use crate::event::{self, Revision};

/// Windows begin anew at multiples of this, so that cursors meet and share them.
pub(crate) const WINDOW_REVISIONS: i64 = 1000;

/// Keys and values read at a time, in bytes; a revision is never split. Responses stay well below
/// the 4 MiB that many gRPC clients take at most, records before included.
pub(crate) const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Windows kept for other streams, in bytes together.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// Consecutive revisions, encoded.
#[derive(Debug)]
pub(crate) struct Window {
    pub from: i64,
    /// Every revision up to and with this one is in here.
    pub to: i64,
    pub revisions: Vec<Arc<Revision>>,
    prev_known: bool,
    bytes: usize,
}

/// Why a window cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("history is compacted")]
    Compacted,
    #[error("history cannot be read: {0}")]
    Store(mainstay_mvcc::Error),
    /// The runtime is shutting down, or the read panicked.
    #[error("history was not read: {0}")]
    Abandoned(#[from] tokio::task::JoinError),
}

/// Reads one window at a time, on the blocking pool, and keeps the latest ones: after a restart of
/// many clients their watches all begin at about the same revision.
#[derive(Debug, Default)]
pub(crate) struct History {
    cache: Mutex<VecDeque<Arc<Window>>>,
    turn: tokio::sync::Mutex<()>,
}

impl History {
    /// A window that begins at or before `from` and holds at least that revision. `to` has been
    /// published.
    pub(crate) async fn window(
        &self,
        store: Store,
        from: i64,
        to: i64,
        want_prev: bool,
    ) -> Result<Arc<Window>, Error> {
        if let Some(window) = self.cached(from, want_prev) {
            return Ok(window);
        }
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have read just this.
        if let Some(window) = self.cached(from, want_prev) {
            return Ok(window);
        }
        let read = move || load(&store, from, to, want_prev);
        let window = Arc::new(tokio::task::spawn_blocking(read).await??);
        self.keep(window.clone());
        Ok(window)
    }

    pub(crate) fn clear(&self) {
        self.cache.lock().clear();
    }

    fn cached(&self, from: i64, want_prev: bool) -> Option<Arc<Window>> {
        let holds = |window: &&Arc<Window>| {
            window.from <= from && from <= window.to && (window.prev_known || !want_prev)
        };
        self.cache.lock().iter().find(holds).cloned()
    }

    fn keep(&self, window: Arc<Window>) {
        let mut cache = self.cache.lock();
        cache.push_back(window);
        let mut bytes: usize = cache.iter().map(|window| window.bytes).sum();
        while bytes > CACHE_BYTES_MAX
            && let Some(oldest) = cache.pop_front()
        {
            bytes -= oldest.bytes;
        }
    }
}

/// The last revision of the window that `from` falls into.
pub(crate) fn window_end(from: i64) -> i64 {
    from.saturating_add(WINDOW_REVISIONS - 1 - from.rem_euclid(WINDOW_REVISIONS))
}

fn load(store: &Store, from: i64, to: i64, want_prev: bool) -> Result<Window, Error> {
    let changes = store
        .history(from, to, WINDOW_BYTES_MAX, want_prev)
        .map_err(|error| match error {
            mainstay_mvcc::Error::Compacted => Error::Compacted,
            error => Error::Store(error),
        })?;
    let read: usize = changes
        .iter()
        .map(|c| c.kv.key.len() + c.kv.value.len())
        .sum();
    // The store stops at the limit, but after a whole revision.
    let to = match changes.last() {
        Some(last) if read > WINDOW_BYTES_MAX => last.revision,
        _ => to,
    };
    let revisions: Vec<_> = event::encode(changes, want_prev)
        .into_iter()
        .map(Arc::new)
        .collect();
    let bytes = revisions.iter().map(|revision| revision.bytes).sum();
    Ok(Window {
        from,
        to,
        revisions,
        prev_known: want_prev,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_before_a_multiple() {
        assert_eq!(window_end(1), 999);
        assert_eq!(window_end(999), 999);
        assert_eq!(window_end(1000), 1999);
        assert_eq!(window_end(i64::MAX), i64::MAX);
    }
}
