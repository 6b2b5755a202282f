//! Questions about what was observed, asked by every room of the planner.
//!
//! What is not known is answered on the careful side: a member that cannot be asked does not serve,
//! and a list that is not a linearizable read is no list.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::fault::{Fault, planted};
use crate::observed::{
    AlarmKind, Member, MemberStatus, MemberView, Members, Observed, Pod, PodPhase, Volume,
};
use crate::record::{MemberRecord, Record};
use crate::step::Step;

/// How long a pod or a member may take to come up before that is reported.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);

/// Votes that decide among `voters`.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub seen: &'a Observed,
}

impl<'a> View<'a> {
    pub fn new(seen: &'a Observed) -> View<'a> {
        View { seen }
    }

    pub fn now(&self) -> Timestamp {
        self.seen.now
    }

    /// The record, if it is of this very resource.
    pub fn record(&self) -> Option<&'a Record> {
        let record = self.seen.record.as_ref().map(|kept| &kept.record);
        record.filter(|record| record.uid == self.seen.cluster.uid)
    }

    /// The step that writes the record as `change` leaves it.
    pub fn write(&self, change: impl FnOnce(&mut Record)) -> Step {
        let mut record = self.record().cloned().unwrap_or_default();
        change(&mut record);
        Step::WriteRecord(Box::new(record))
    }

    /// Since `then`; nothing if that lies ahead.
    pub fn age(&self, then: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(then)).unwrap_or_default()
    }

    /// What members say, if it is of the cluster that was latched.
    pub fn members(&self) -> Option<&'a Members> {
        let MemberView::Known(members) = &self.seen.members else {
            return None;
        };
        let latched = self
            .record()
            .and_then(|record| record.cluster_id.as_deref());
        let is_ours = latched.is_none_or(|id| id == format!("{:x}", members.cluster_id));
        is_ours.then_some(members)
    }

    /// The members by a linearizable read: a quorum serves.
    pub fn agreed(&self) -> Option<&'a Members> {
        self.members().filter(|members| members.linearizable)
    }

    pub fn voters(&self) -> Vec<&'a Member> {
        let list = self.agreed().map(|members| members.list.as_slice());
        let voters = list.unwrap_or_default().iter();
        voters.filter(|member| !member.learner).collect()
    }

    pub fn learners(&self) -> Vec<&'a Member> {
        let list = self.agreed().map(|members| members.list.as_slice());
        let learners = list.unwrap_or_default().iter();
        learners.filter(|member| member.learner).collect()
    }

    pub fn by_id(&self, id: u64) -> Option<&'a Member> {
        self.agreed()?.list.iter().find(|member| member.id == id)
    }

    /// The listed member that is reached at the URL of this place.
    pub fn at(&self, ordinal: u32) -> Option<&'a Member> {
        let url = self.seen.cluster.peer_url(ordinal);
        let list = &self.agreed()?.list;
        list.iter().find(|member| member.peer_urls.contains(&url))
    }

    /// The place that a member's URL is of.
    pub fn ordinal(&self, member: &Member) -> Option<u32> {
        let record = self.record()?;
        let places = record.members.keys().chain(record.lives.keys());
        let mut places = places.chain(self.seen.pods.keys());
        let is_at = |ordinal: &&u32| {
            let url = self.seen.cluster.peer_url(**ordinal);
            member.peer_urls.contains(&url)
        };
        places.find(is_at).copied()
    }

    pub fn status(&self, id: u64) -> Option<&'a MemberStatus> {
        self.members()?.status.get(&id)
    }

    /// A voter that answers, follows a leader, holds sound data and stands in a ready pod.
    pub fn serves(&self, member: &Member) -> bool {
        let status = self.status(member.id);
        let answers = status.is_some_and(|status| status.leader != 0 && !status.learner);
        let stands = match self.ordinal(member) {
            None => true,
            Some(ordinal) => {
                let pod = self.seen.pods.get(&ordinal);
                pod.is_some_and(|pod| pod.ready && !pod.deleting)
            }
        };
        !member.learner && answers && stands && !self.has_alarm(member.id, AlarmKind::Corrupt)
    }

    /// Whether the member at this place takes part, by its own word of this pass: a cache may still
    /// show its pod as one that is down.
    pub fn takes_part(&self, ordinal: u32) -> bool {
        let places = self.places();
        let known = places.get(&ordinal).and_then(|member| member.id());
        let id = known.or_else(|| self.at(ordinal).map(|member| member.id));
        let status = id.and_then(|id| self.status(id));
        status.is_some_and(|status| status.leader != 0)
    }

    pub fn serving(&self) -> usize {
        let voters = self.voters();
        voters.iter().filter(|member| self.serves(member)).count()
    }

    pub fn all_serve(&self) -> bool {
        let voters = self.voters();
        !voters.is_empty() && self.serving() == voters.len()
    }

    /// Whether the others would keep a quorum among themselves without this voter.
    pub fn can_remove(&self, id: u64) -> bool {
        let voters = self.voters();
        let others: Vec<&&Member> = voters.iter().filter(|member| member.id != id).collect();
        let serving = others.iter().filter(|member| self.serves(member)).count();
        planted(Fault::RemoveUnguarded) || !others.is_empty() && serving >= quorum(others.len())
    }

    /// Whether this voter may stop for a while: the others carry on, or too few voters exist for
    /// that to be possible at all and everyone else is well.
    pub fn can_stop(&self, id: u64) -> bool {
        let voters = self.voters();
        let others = voters.iter().filter(|member| member.id != id);
        let serving = others.filter(|member| self.serves(member)).count();
        let carry_on = serving >= quorum(voters.len());
        let too_few = voters.len() <= 2 && serving + 1 == voters.len();
        carry_on || too_few || planted(Fault::StopUnguarded)
    }

    pub fn has_alarm(&self, id: u64, kind: AlarmKind) -> bool {
        let alarms = self.members().into_iter();
        let mut alarms = alarms
            .flat_map(|members| members.status.values())
            .flat_map(|status| &status.alarms);
        alarms.any(|alarm| alarm.member == id && alarm.kind == kind)
    }

    /// The leader that the newest term knows.
    pub fn leader(&self) -> Option<u64> {
        let statuses = self.members()?.status.values();
        let led = statuses.filter(|status| status.leader != 0);
        led.max_by_key(|status| status.term)
            .map(|status| status.leader)
    }

    /// Whether the pod is of an older template. Unknown counts as no.
    pub fn is_outdated(&self, pod: &Pod) -> bool {
        let revision = self.seen.workload.as_ref();
        let revision = revision.map(|workload| workload.update_revision.as_str());
        revision.is_some_and(|revision| !revision.is_empty() && revision != pod.revision)
    }

    pub fn pod(&self, ordinal: u32) -> Option<&'a Pod> {
        self.seen.pods.get(&ordinal)
    }

    pub fn volume(&self, ordinal: u32) -> Option<&'a Volume> {
        self.seen.volumes.get(&ordinal)
    }

    /// The record's places, empty without a record.
    pub fn places(&self) -> BTreeMap<u32, &'a MemberRecord> {
        let members = self.record().map(|record| &record.members);
        let members = members.into_iter().flatten();
        members
            .map(|(ordinal, member)| (*ordinal, member))
            .collect()
    }

    /// The list holds exactly the members of the record, as voters, and none is changing.
    pub fn is_settled(&self) -> bool {
        let (Some(record), Some(members)) = (self.record(), self.agreed()) else {
            return false;
        };
        let ids: Vec<Option<u64>> = record.members.values().map(MemberRecord::id).collect();
        record.in_flight().is_none()
            && record.recovery.is_none()
            && members.list.len() == ids.len()
            && members
                .list
                .iter()
                .all(|member| !member.learner && ids.contains(&Some(member.id)))
    }
}

/// Reasons for which a container has never been started from its template.
const NEVER_STARTED: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "Unschedulable",
];

impl Pod {
    /// No process runs in it, nor has one since it was made.
    pub(crate) fn has_never_started(&self) -> bool {
        let waits = self.waiting.as_deref();
        !self.ready && waits.is_some_and(|reason| NEVER_STARTED.contains(&reason))
    }

    /// No process runs in it now.
    pub(crate) fn is_down(&self) -> bool {
        let ended = matches!(self.phase, PodPhase::Failed | PodPhase::Succeeded);
        !self.ready && (ended || self.waiting.is_some())
    }
}
