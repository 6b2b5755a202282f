//! What the servers do by their intents (store/server/src/intent.rs), and what they agree on.

use crate::observed::Member;
use crate::record::{Intent, IntentMode};

use crate::simulated::world::{Data, Raft, World};

impl World {
    pub fn servers(&mut self) {
        let ordinals: Vec<u32> = self.pods.keys().copied().collect();
        for ordinal in ordinals {
            let Some(pod) = self.pods.get(&ordinal).filter(|pod| pod.running) else {
                continue;
            };
            let reason = match pod.intent.clone() {
                None => Some("there is no intent".to_owned()),
                Some(intent) => self.live(ordinal, &intent).err(),
            };
            if let Some(pod) = self.pods.get_mut(&ordinal) {
                pod.reason = reason;
            }
        }
    }

    fn data(&self, ordinal: u32) -> Option<&Data> {
        self.volumes
            .get(&ordinal)
            .and_then(|volume| volume.data.as_ref())
    }

    fn store(&mut self, ordinal: u32, data: Option<Data>) {
        if let Some(volume) = self.volumes.get_mut(&ordinal) {
            volume.data = data;
        }
    }

    /// One look at intent and directory: takes part, or says why not.
    fn live(&mut self, ordinal: u32, intent: &Intent) -> Result<(), String> {
        let Some(data) = self.data(ordinal).cloned() else {
            return match intent.mode {
                IntentMode::Hold => Err("the intent is to hold".to_owned()),
                IntentMode::ForceNew => Err("there is no data to make a cluster of".to_owned()),
                IntentMode::Bootstrap | IntentMode::Restore => self.form(ordinal, intent),
                IntentMode::Join => self.join(ordinal, intent),
            };
        };
        if intent.mode == IntentMode::Hold {
            return Err("the intent is to hold".to_owned());
        }
        if intent.incarnation < data.incarnation {
            return Err("the data is of a later incarnation".to_owned());
        }
        let is_later = intent.incarnation > data.incarnation;
        if is_later && intent.mode == IntentMode::Join {
            self.store(ordinal, None);
            return Err("the data of a former member was set aside".to_owned());
        }
        let named = intent
            .cluster_id
            .as_deref()
            .and_then(|id| u64::from_str_radix(id, 16).ok());
        if named.is_some_and(|named| named != data.cluster) {
            return Err("the intent names another cluster".to_owned());
        }
        if data.removed {
            return Err("this member was removed from its cluster".to_owned());
        }
        match (is_later, intent.mode) {
            (true, IntentMode::ForceNew) => {
                self.force_new(ordinal, intent, &data);
                Ok(())
            }
            (true, _) => Err("there is data already".to_owned()),
            (false, _) => self.go_on(ordinal, data),
        }
    }

    /// A member that is off the list learns so from the others.
    fn go_on(&mut self, ordinal: u32, mut data: Data) -> Result<(), String> {
        let Some(raft) = &self.raft else {
            return Err("no cluster".to_owned());
        };
        if data.cluster != raft.cluster {
            return Err("the others are another cluster".to_owned());
        }
        if raft.list.iter().any(|member| member.id == data.id) {
            return Ok(());
        }
        data.removed = true;
        self.store(ordinal, Some(data));
        Err("this member was removed from its cluster".to_owned())
    }

    fn listed(intent: &Intent) -> Vec<(String, String)> {
        let list = intent
            .initial_cluster
            .as_deref()
            .unwrap_or_default()
            .split(',');
        let pairs = list.filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, url)| (name.to_owned(), url.to_owned()))
            .collect()
    }

    /// Forms the cluster once a majority of the list says that it too is unformed; a member of a
    /// cluster that has been formed from this list takes its seat, if nobody ever sat there.
    fn form(&mut self, ordinal: u32, intent: &Intent) -> Result<(), String> {
        let initial = Self::listed(intent);
        let own = self.cluster.peer_url(ordinal);
        let reaches_formed = self.parts_taken().values().any(|place| *place != ordinal);
        if reaches_formed {
            let raft = self.raft.as_ref().expect("somebody takes part in it");
            let seat = raft
                .list
                .iter()
                .find(|member| member.peer_urls.contains(&own));
            let free = seat
                .filter(|member| !raft.started.contains(&member.id))
                .cloned();
            let Some(member) = free else {
                return Err("another member belongs to a formed cluster".to_owned());
            };
            self.take_seat(ordinal, intent, &member);
            return Ok(());
        }
        let unformed = initial.iter().filter(|(_, url)| {
            (0..16).any(|place| {
                let pod = self.pods.get(&place).filter(|pod| pod.running);
                let forms = pod
                    .and_then(|pod| pod.intent.as_ref())
                    .is_some_and(|intent| {
                        matches!(intent.mode, IntentMode::Bootstrap | IntentMode::Restore)
                    });
                forms && *url == self.cluster.peer_url(place) && self.data(place).is_none()
            })
        });
        if unformed.count() <= initial.len() / 2 {
            return Err("it waits for the others to form a cluster".to_owned());
        }
        self.formed += 1;
        // Before the operator has seen a cluster, nobody has been told of it.
        let seen = self
            .kept
            .as_ref()
            .and_then(|kept| kept.record.cluster_id.as_ref());
        if let Some(seen) = seen {
            self.violations
                .push(format!("a second cluster is formed beside {seen}"));
        }
        let cluster = 0xc0 + self.number();
        let mut list = Vec::new();
        for (name, url) in initial {
            let id = 0x100 + self.number();
            list.push(Member {
                id,
                name,
                peer_urls: vec![url],
                ..Member::default()
            });
        }
        let raft = Raft {
            cluster,
            list,
            applied: 10,
            ..Raft::default()
        };
        let member = raft
            .list
            .iter()
            .find(|member| member.peer_urls.contains(&own))
            .cloned();
        self.raft = Some(raft);
        self.take_seat(ordinal, intent, &member.expect("it is in its own list"));
        Ok(())
    }

    fn take_seat(&mut self, ordinal: u32, intent: &Intent, member: &Member) {
        let raft = self.raft.as_mut().expect("a seat is a cluster's");
        raft.started.insert(member.id);
        let name = self.cluster.member(ordinal);
        let data = Data {
            id: member.id,
            cluster: raft.cluster,
            incarnation: intent.incarnation,
            ..Data::default()
        };
        for row in &mut raft.list {
            if row.id == member.id {
                row.name.clone_from(&name);
            }
        }
        self.store(ordinal, Some(data));
    }

    fn join(&mut self, ordinal: u32, intent: &Intent) -> Result<(), String> {
        let own = self.cluster.peer_url(ordinal);
        let unreachable = "cannot fetch cluster info from peer urls: could not retrieve cluster \
                           information from the given URLs";
        let reached = self.parts_taken().values().any(|place| *place != ordinal);
        let Some(raft) = self.raft.clone().filter(|_| reached) else {
            return Err(unreachable.to_owned());
        };
        let invalid = "error validating peerURLs";
        if raft.list.len() != Self::listed(intent).len() {
            return Err(format!("{invalid}: member count is unequal"));
        }
        let own_row = |member: &&Member| member.peer_urls.contains(&own);
        let Some(member) = raft.list.iter().find(own_row) else {
            return Err(format!("{invalid}: this member is not among them"));
        };
        if !member.learner || raft.started.contains(&member.id) {
            let id = member.id;
            return Err(format!(
                "member {id:x} has already been bootstrapped, but its data directory is empty; remove it"
            ));
        }
        self.take_seat(ordinal, intent, &member.clone());
        Ok(())
    }

    fn force_new(&mut self, ordinal: u32, intent: &Intent, data: &Data) {
        let url = self.cluster.peer_url(ordinal);
        let name = self.cluster.member(ordinal);
        let member = Member {
            id: data.id,
            name,
            peer_urls: vec![url],
            ..Member::default()
        };
        let term = self.raft.as_ref().map_or(0, |raft| raft.term);
        let raft = Raft {
            cluster: data.cluster,
            list: vec![member],
            started: [data.id].into(),
            term,
            applied: data.applied,
            ..Raft::default()
        };
        self.raft = Some(raft);
        // The others are no members any more.
        self.by_our_hand.clear();
        self.store(
            ordinal,
            Some(Data {
                incarnation: intent.incarnation,
                ..data.clone()
            }),
        );
    }

    /// A leader as long as a majority of voters takes part; logs move on with it.
    pub fn elect(&mut self) {
        let parts = self.parts_taken();
        let slow = self.slow;
        let Some(raft) = &mut self.raft else {
            return;
        };
        let voters: Vec<u64> = raft
            .list
            .iter()
            .filter(|member| !member.learner)
            .map(|member| member.id)
            .collect();
        let up: Vec<u64> = voters
            .iter()
            .copied()
            .filter(|id| parts.contains_key(id))
            .collect();
        if up.len() <= voters.len() / 2 {
            raft.leader = 0;
            return;
        }
        if !up.contains(&raft.leader) {
            raft.term += 1;
            raft.leader = up.first().copied().unwrap_or(0);
        }
        raft.applied += 5;
        let (applied, leader) = (raft.applied, raft.leader);
        let learners: Vec<u64> = raft
            .list
            .iter()
            .filter(|member| member.learner)
            .map(|member| member.id)
            .collect();
        for (id, ordinal) in parts {
            let lags = slow && learners.contains(&id);
            if let Some(data) = self
                .volumes
                .get_mut(&ordinal)
                .and_then(|volume| volume.data.as_mut())
            {
                data.applied = if lags {
                    0
                } else if id == leader {
                    applied
                } else {
                    data.applied + applied.saturating_sub(data.applied).div_ceil(2)
                };
            }
        }
    }
}
