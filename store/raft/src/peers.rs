//! The other members as this one reaches them: one control connection each, shared by elections,
//! heartbeats, read index and forwarded requests.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::membership::removal::Removal;
use crate::peer::call::Caller;
use crate::peer::dial::{Dialler, Target, Urls};
use crate::peer::reach::Reach;
use crate::peer::{Acked, SharedTraffic, Traffic};
use crate::types::Peer;

pub struct Peers {
    dialler: Dialler,
    cluster: u64,
    own: u64,
    removal: Removal,
    callers: Mutex<HashMap<u64, Caller>>,
    /// By member, those included that are forgotten: whoever holds a caller of before goes on noting
    /// here. Ids are never used again, so there are no more than there ever were members.
    acks: Mutex<HashMap<u64, Acked>>,
}

impl Peers {
    pub fn new(dialler: Dialler, cluster: u64, own: u64, removal: Removal) -> Peers {
        Peers {
            dialler,
            cluster,
            own,
            removal,
            callers: Mutex::new(HashMap::new()),
            acks: Mutex::new(HashMap::new()),
        }
    }

    /// The kept caller of a member; it dials the URLs given last.
    pub fn caller(&self, id: u64, node: &Peer) -> Caller {
        let mut callers = self.callers.lock();
        if let Some(kept) = callers.get(&id) {
            kept.target().urls.set(&node.peer_urls);
            return kept.clone();
        }
        let urls = Urls::default();
        urls.set(&node.peer_urls);
        let target = Target {
            dialler: self.dialler.clone(),
            cluster: self.cluster,
            from: self.own,
            to: id,
            urls,
            removal: self.removal.clone(),
            reach: Reach::default(),
        };
        let acked = self.acks.lock().entry(id).or_default().clone();
        let caller = Caller::new(target, SharedTraffic::new(Traffic::noting(acked)));
        callers.insert(id, caller.clone());
        caller
    }

    /// Takes over the addresses of the members and forgets who is none any more.
    pub fn keep(&self, members: &[(u64, Peer)]) {
        for (id, node) in members {
            self.caller(*id, node);
        }
        let mut callers = self.callers.lock();
        callers.retain(|id, _| members.iter().any(|(member, _)| member == id));
    }

    /// When the last append was sent that this member has taken.
    pub fn acked(&self, id: u64) -> Option<Instant> {
        *self.acks.lock().get(&id)?.lock()
    }

    /// Traffic per member, for the metrics page.
    pub fn traffic(&self) -> Vec<(u64, SharedTraffic)> {
        let callers = self.callers.lock();
        let mut all: Vec<_> = callers
            .iter()
            .map(|(id, caller)| (*id, caller.traffic().clone()))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_transport::Resolver;

    use super::*;

    fn peer(port: u16) -> Peer {
        Peer {
            name: "other".into(),
            peer_urls: vec![format!("http://127.0.0.1:{port}")],
            joining: false,
        }
    }

    #[tokio::test]
    async fn acks_outlive_a_caller_that_is_forgotten() {
        let dialler = Dialler {
            resolver: Resolver::system().unwrap(),
            tls: None,
        };
        let peers = Peers::new(dialler, 1, 1, Removal::default());
        assert_eq!(peers.acked(2), None);
        let before = peers.caller(2, &peer(1));
        peers.keep(&[]);
        let after = peers.caller(2, &peer(1));

        let early = Instant::now();
        before.traffic().acked(early);
        assert_eq!(peers.acked(2), Some(early), "told by the caller of before");
        let late = early + Duration::from_secs(1);
        after.traffic().acked(late);
        before.traffic().acked(early);
        assert_eq!(
            peers.acked(2),
            Some(late),
            "an older answer takes nothing back"
        );
        assert_eq!(peers.acked(3), None);
    }
}
