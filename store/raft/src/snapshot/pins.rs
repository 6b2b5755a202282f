//! Log positions that must stay while snapshots are on their way. Without them a leader under
//! writes would cut away what the receiver needs next, and the receiver would get one snapshot
//! after the other for ever. etcd holds its log back for inflight snapshots likewise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// After a snapshot the receiver needs this long to ask for what follows it (etcd waits as long).
const RELEASE_DELAY: Duration = Duration::from_secs(30);
/// A snapshot that takes longer no longer holds the log: the disk has an end.
const HOLD_MAX: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub struct Pins(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    held: BTreeMap<u64, Pin>,
}

struct Pin {
    index: u64,
    until: Instant,
}

/// The log stays from behind an index on, until a while after this is dropped.
pub struct Held {
    pins: Arc<Pins>,
    number: u64,
}

impl Pins {
    pub fn hold(self: &Arc<Self>, index: u64) -> Held {
        let mut inner = self.0.lock();
        let number = inner.next;
        inner.next += 1;
        let until = Instant::now() + HOLD_MAX;
        inner.held.insert(number, Pin { index, until });
        Held {
            pins: self.clone(),
            number,
        }
    }

    /// Up to here the log may be cut at most.
    pub fn lowest(&self) -> Option<u64> {
        self.lowest_at(Instant::now())
    }

    fn lowest_at(&self, now: Instant) -> Option<u64> {
        let mut inner = self.0.lock();
        inner.held.retain(|_, pin| pin.until > now);
        inner.held.values().map(|pin| pin.index).min()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(pin) = self.pins.0.lock().held.get_mut(&self.number) {
            pin.until = pin.until.min(Instant::now() + RELEASE_DELAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_pin_counts_until_a_while_after_its_end() {
        let pins = Arc::new(Pins::default());
        assert_eq!(pins.lowest(), None);
        let first = pins.hold(7);
        let second = pins.hold(9);
        assert_eq!(pins.lowest(), Some(7));
        drop(first);
        assert_eq!(pins.lowest(), Some(7));
        let later = Instant::now() + RELEASE_DELAY;
        assert_eq!(pins.lowest_at(later), Some(9));
        assert_eq!(pins.lowest_at(later + HOLD_MAX), None);
        drop(second);
        assert_eq!(pins.lowest(), None);
    }
}
