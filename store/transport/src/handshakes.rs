//! Handshakes under way: bounded in number, the oldest giving way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Handshakes of one side at a time. One that is meant takes milliseconds, so that with this many
/// open most are not, and the oldest is the least likely to be: refusing the newest instead would
/// let idle connections keep everybody out.
pub(crate) const HANDSHAKES_MAX: usize = 1000;

/// A handshake that is not done by then is given up.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
pub(crate) struct Handshakes(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    by_age: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place among them; gone when dropped.
pub(crate) struct Place {
    handshakes: Handshakes,
    number: u64,
}

impl Handshakes {
    /// Takes a place, and hands out what tells when it must be given up.
    pub fn enter(&self) -> (Place, oneshot::Receiver<()>) {
        let (give_up, given_up) = oneshot::channel();
        let mut open = self.0.lock();
        let number = open.next;
        open.next += 1;
        if open.by_age.len() >= HANDSHAKES_MAX
            && let Some((_, oldest)) = open.by_age.pop_first()
        {
            let _ = oldest.send(());
        }
        open.by_age.insert(number, give_up);
        let handshakes = self.clone();
        (Place { handshakes, number }, given_up)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.0.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let handshakes = Handshakes::default();
        let mut open: Vec<_> = (0..HANDSHAKES_MAX).map(|_| handshakes.enter()).collect();
        assert!(open.iter_mut().all(|(_, told)| told.try_recv().is_err()));
        let (_place, _told) = handshakes.enter();
        assert_eq!(open[0].1.try_recv(), Ok(()));
        assert!(open[1].1.try_recv().is_err());
        open.clear();
        assert_eq!(handshakes.0.lock().by_age.len(), 1);
    }
}
