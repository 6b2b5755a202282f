//! Holds the planner to its promises: whatever step breaks one is noted as a violation, judged by the
//! world as it is and not as it was seen.

use crate::Step;
use crate::observed::{MemberView, Observed};
use crate::record::{IntentMode, MemberPhase, Record};
use crate::simulated::world::World;

impl World {
    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The promises, checked against the world as it is, not as it was seen.
    pub fn judge(&mut self, step: &Step, seen: &Observed) {
        self.judge_blindness(step, seen);
        match step {
            Step::RemoveMember { id } => self.judge_removal(*id),
            Step::AddLearner { .. }
                if self
                    .raft
                    .as_ref()
                    .is_some_and(|raft| raft.list.iter().any(|member| member.learner)) =>
            {
                self.violate("a second learner is added".to_owned());
            }
            Step::DeletePod { ordinal, uid, .. } => self.judge_stop(*ordinal, uid),
            Step::ScaleWorkload { replicas } => self.judge_replicas(*replicas),
            Step::DeleteVolume { ordinal, uid } => self.judge_volume(*ordinal, uid),
            Step::WriteRecord(record) => self.judge_record(record),
            _ => {}
        }
    }

    /// Whether the voter at `ordinal` serves, in truth.
    fn truly_serves(&self, id: u64) -> bool {
        let parts = self.parts_taken();
        let place = parts.get(&id);
        self.has_quorum() && place.is_some_and(|place| self.pods[place].stopping.is_none())
    }

    fn others_are_quorum(&self, id: u64, of: usize) -> bool {
        let Some(raft) = &self.raft else {
            return false;
        };
        let others = raft
            .list
            .iter()
            .filter(|member| !member.learner && member.id != id);
        others.filter(|member| self.truly_serves(member.id)).count() > of / 2
    }

    fn judge_removal(&mut self, id: u64) {
        let Some(raft) = &self.raft else {
            return;
        };
        let voters = raft.list.iter().filter(|member| !member.learner);
        let is_voter = voters.clone().any(|member| member.id == id);
        let remaining = voters.filter(|member| member.id != id).count();
        if is_voter && !self.others_are_quorum(id, remaining) {
            self.violate(format!(
                "voter {id:x} is removed, and the {remaining} others are no quorum"
            ));
        }
    }

    fn judge_stop(&mut self, ordinal: u32, uid: &str) {
        let is_it = self
            .pods
            .get(&ordinal)
            .is_some_and(|pod| pod.uid == uid && pod.stopping.is_none());
        let raft = self.raft.clone().unwrap_or_default();
        let id = self.part(ordinal).filter(|id| {
            raft.list
                .iter()
                .any(|member| member.id == *id && !member.learner)
        });
        let Some(id) = id.filter(|_| is_it && raft.leader != 0) else {
            return;
        };
        let down: Vec<u32> = self
            .by_our_hand
            .iter()
            .copied()
            .filter(|place| *place != ordinal)
            .collect();
        if !down.is_empty() {
            self.violate(format!(
                "the pod at {ordinal} is stopped while {down:?} are still down by our hand"
            ));
        }
        let voters = raft.list.iter().filter(|member| !member.learner).count();
        if voters > 2 && !self.others_are_quorum(id, voters) {
            self.violate(format!(
                "the pod at {ordinal} is stopped, and the others are no quorum"
            ));
        }
        self.by_our_hand.insert(ordinal);
    }

    fn judge_replicas(&mut self, replicas: u32) {
        let record = self
            .kept
            .as_ref()
            .map(|kept| kept.record.clone())
            .unwrap_or_default();
        let raft = self.raft.clone().unwrap_or_default();
        let stopped = raft
            .list
            .iter()
            .filter_map(|member| self.ordinal(member))
            .any(|ordinal| ordinal >= replicas);
        let less = self
            .workload
            .as_ref()
            .is_some_and(|workload| workload.replicas > replicas);
        if less && stopped && !record.hibernated {
            self.violate(format!(
                "scaled to {replicas} pods, and a member stands above"
            ));
        }
    }

    fn judge_volume(&mut self, ordinal: u32, uid: &str) {
        let Some(volume) = self
            .volumes
            .get(&ordinal)
            .filter(|volume| volume.uid == uid)
        else {
            return;
        };
        let raft = self.raft.clone().unwrap_or_default();
        let url = self.cluster.peer_url(ordinal);
        let listed = raft
            .list
            .iter()
            .any(|member| member.peer_urls.contains(&url));
        let data_listed = volume
            .data
            .as_ref()
            .is_some_and(|data| raft.list.iter().any(|member| member.id == data.id));
        if (listed || data_listed) && !self.cluster.deleting {
            self.violate(format!(
                "the volume at {ordinal} is deleted, and its member is listed"
            ));
        }
    }

    fn judge_record(&mut self, record: &Record) {
        let changing = record.members.values().filter(|member| {
            matches!(
                member.phase,
                MemberPhase::Adding
                    | MemberPhase::Joining
                    | MemberPhase::Leaving
                    | MemberPhase::Removed
                    | MemberPhase::Replacing
            )
        });
        if changing.count() > 1 {
            self.violate("two changes of membership are under way".to_owned());
        }
        let places: Vec<u32> = record.members.keys().copied().collect();
        let dense: Vec<u32> = (0..u32::try_from(places.len()).unwrap()).collect();
        if places != dense {
            self.violate(format!("places have gaps: {places:?}"));
        }
        let former = self.kept.as_ref().map(|kept| kept.record.clone());
        let begins_anew = former
            .as_ref()
            .is_some_and(|former| former.bootstrap != record.bootstrap);
        if begins_anew {
            self.violate("the bootstrap is latched a second time".to_owned());
        }
        self.judge_intents(record);
    }

    /// A running server begins anew when its intent names another life or cluster: that must never
    /// come over a member by the way.
    fn judge_intents(&mut self, record: &Record) {
        let Some(former) = self
            .kept
            .as_ref()
            .map(|kept| kept.record.intents(&self.cluster))
        else {
            return;
        };
        for (ordinal, intent) in record.intents(&self.cluster) {
            let Some(before) = former.get(&ordinal) else {
                continue;
            };
            let holds = intent.mode == IntentMode::Hold || before.mode == IntentMode::Hold;
            let same_life = before.incarnation == intent.incarnation && !holds;
            if same_life && before.cluster_id != intent.cluster_id && self.part(ordinal).is_some() {
                self.violate(format!(
                    "the intent of {ordinal} names another cluster in the same life"
                ));
            }
        }
    }

    /// Nothing about members is done by one who cannot see them.
    fn judge_blindness(&mut self, step: &Step, seen: &Observed) {
        let record = seen.record.as_ref().map(|kept| &kept.record);
        let formed = record.is_some_and(|record| {
            record.cluster_id.is_some() && record.recovery.is_none() && !record.hibernated
        });
        let blind = matches!(seen.members, MemberView::Unknown(_));
        if !formed || !blind || seen.cluster.deleting {
            return;
        }
        let phases = |record: &Record| {
            let rows = record.members.iter();
            rows.map(|(ordinal, member)| (*ordinal, member.phase, member.incarnation))
                .collect::<Vec<_>>()
        };
        let touches = match step {
            Step::AddLearner { .. }
            | Step::Promote { .. }
            | Step::RemoveMember { .. }
            | Step::MoveLeader { .. } => true,
            Step::DeleteVolume { .. }
            | Step::DeleteWorkload { .. }
            | Step::RecreateWorkload { .. } => true,
            Step::DeletePod { ordinal, .. } => seen
                .pods
                .get(ordinal)
                .is_none_or(|pod| pod.waiting.is_none()),
            Step::ScaleWorkload { replicas } => seen
                .workload
                .as_ref()
                .is_some_and(|workload| workload.replicas > *replicas),
            Step::WriteRecord(written) => {
                let recovers = written.recovery.is_some();
                !recovers && record.is_some_and(|record| phases(record) != phases(written))
            }
            _ => false,
        };
        if touches {
            self.violate(format!(
                "nothing is known of the members, and yet: {step:?}"
            ));
        }
    }
}
