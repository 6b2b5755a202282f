//! The other members as this one reaches them: one control connection each, shared by elections,
//! heartbeats, read index and forwarded requests.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::peer::SharedTraffic;
use crate::peer::call::Caller;
use crate::peer::dial::{Dialler, Target};
use crate::types::Peer;

pub struct Peers {
    dialler: Dialler,
    cluster: u64,
    own: u64,
    callers: Mutex<HashMap<u64, Caller>>,
}

impl Peers {
    pub fn new(dialler: Dialler, cluster: u64, own: u64) -> Peers {
        Peers {
            dialler,
            cluster,
            own,
            callers: Mutex::new(HashMap::new()),
        }
    }

    /// The kept caller of a member, made anew when its URLs have changed.
    pub fn caller(&self, id: u64, node: &Peer) -> Caller {
        let mut callers = self.callers.lock();
        let kept = callers.get(&id);
        if let Some(kept) = kept
            && kept.target().urls == node.peer_urls
        {
            return kept.clone();
        }
        let traffic = kept.map_or_else(SharedTraffic::default, |kept| kept.traffic().clone());
        let target = Target {
            dialler: self.dialler.clone(),
            cluster: self.cluster,
            from: self.own,
            to: id,
            urls: node.peer_urls.clone(),
        };
        let caller = Caller::new(target, traffic);
        callers.insert(id, caller.clone());
        caller
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
