//! The watch of a set's keys: one task a set, which wakes the controller when a key is not as it
//! should be. What the set has written itself is as it should be, and wakes nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use mainstay_client::watch::Seen;
use mainstay_client::{Client, Error, Event, EventType};
use parking_lot::{Mutex, RwLock};
use tokio::task::AbortHandle;

use super::desk::Desk;

/// What the keys should be.
#[derive(Debug, Default)]
pub struct Interest {
    /// Keys that are the set's, without the prefix.
    pub wanted: BTreeMap<Bytes, Bytes>,
    /// Whether no other key may be there.
    pub owns: bool,
}

/// A watch under way; it ends with this. The task does not hold the desk, which holds this.
#[derive(Debug)]
pub struct Follower {
    /// Of the session that it watches by.
    pub session: u64,
    interest: Arc<RwLock<Interest>>,
    over: Arc<Mutex<Option<Error>>>,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Watches what happens after `revision`.
    pub fn start(
        desk: Weak<Desk>,
        client: Client,
        session: u64,
        revision: i64,
        interest: Interest,
    ) -> Follower {
        let interest = Arc::new(RwLock::new(interest));
        let over = Arc::default();
        let task = tokio::spawn(run(
            desk,
            client,
            revision,
            Arc::clone(&interest),
            Arc::clone(&over),
        ));
        Follower {
            session,
            interest,
            over,
            task: task.abort_handle(),
        }
    }

    /// To be told before the keys are read: what differs from it afterwards is seen.
    pub fn expect(&self, interest: Interest) {
        *self.interest.write() = interest;
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<Error> {
        self.over.lock().take()
    }

    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

async fn run(
    desk: Weak<Desk>,
    client: Client,
    revision: i64,
    interest: Arc<RwLock<Interest>>,
    over: Arc<Mutex<Option<Error>>>,
) {
    let outcome = follow(&desk, &client, revision, &interest).await;
    tracing::debug!(?outcome, "a watch of keys has ended");
    *over.lock() = outcome.err();
    if let Some(desk) = desk.upgrade() {
        desk.stir();
        desk.seen();
    }
}

async fn follow(
    desk: &Weak<Desk>,
    client: &Client,
    revision: i64,
    interest: &RwLock<Interest>,
) -> Result<(), Error> {
    let watching = client.watch("").prefix();
    let mut watch = watching.from_revision(revision.saturating_add(1)).await?;
    while let Some(seen) = watch.next().await {
        if let Seen::Events { events, .. } = seen? {
            let interest = interest.read();
            if events.iter().any(|event| interest.differs(event)) {
                match desk.upgrade() {
                    Some(desk) => desk.seen(),
                    // The set is gone.
                    None => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

impl Interest {
    /// Whether a key is not as it should be after this.
    fn differs(&self, event: &Event) -> bool {
        let Some(kv) = &event.kv else { return false };
        let put = event.r#type == EventType::Put as i32;
        match self.wanted.get(&kv.key) {
            Some(value) => !put || kv.value != value || kv.lease != 0,
            None => put && self.owns,
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_client::KeyValue;

    use super::*;

    #[test]
    fn only_what_differs_wakes_the_controller() {
        let mut interest = Interest {
            wanted: [(Bytes::from_static(b"a"), Bytes::from_static(b"1"))].into(),
            owns: false,
        };
        let event = |put: bool, key: &'static str, value: &'static str, lease: i64| Event {
            r#type: if put {
                EventType::Put
            } else {
                EventType::Delete
            }
            .into(),
            kv: Some(KeyValue {
                key: Bytes::from_static(key.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
                lease,
                ..KeyValue::default()
            }),
            prev_kv: None,
        };
        assert!(!interest.differs(&event(true, "a", "1", 0)));
        assert!(interest.differs(&event(true, "a", "2", 0)));
        assert!(interest.differs(&event(true, "a", "1", 7)));
        assert!(interest.differs(&event(false, "a", "", 0)));
        assert!(!interest.differs(&event(true, "b", "2", 0)));
        interest.owns = true;
        assert!(interest.differs(&event(true, "b", "2", 0)));
        assert!(!interest.differs(&event(false, "b", "", 0)));
    }
}
