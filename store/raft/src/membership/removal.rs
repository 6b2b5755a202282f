//! Learning that this member was removed from its cluster, which is for good.
//!
//! It may learn it from its own log, or, when it was down or cut off at the time, from any other
//! member that it dials: those know removed ids and answer nothing else.

use std::time::Duration;

use mainstay_apply::View;
use tokio::sync::watch;

/// Known once and for ever; clones share it.
#[derive(Clone, Debug)]
pub struct Removal(watch::Sender<bool>);

impl Default for Removal {
    fn default() -> Removal {
        Removal(watch::channel(false).0)
    }
}

impl Removal {
    /// Another member has said it.
    pub fn told(&self) {
        self.0.send_replace(true);
    }

    pub fn is_known(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is known.
    pub async fn known(&self) {
        let mut known = self.0.subscribe();
        // The sender lives in `self`, so this ends with nothing else.
        drop(known.wait_for(|known| *known).await);
    }

    /// Looks at what is applied here until that says it.
    pub async fn follow(self, view: View, own: u64) {
        view.wait_until(|view| view.is_removed(own)).await;
        self.told();
    }
}

/// A removed member lives on for this long, so that answers and what it led on can get out (etcd).
pub const LINGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_of_it_and_late_comers_too() {
        let removal = Removal::default();
        let other = removal.clone();
        let waiting = tokio::spawn(async move { other.known().await });
        assert!(!removal.is_known());
        removal.told();
        waiting.await.unwrap();
        removal.clone().known().await;
        assert!(removal.is_known());
    }
}
