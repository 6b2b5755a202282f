//! The state of the simulated cluster, and how it is observed: Kubernetes from a cache that may be
//! old, the members as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::observed::{
    Alarm, AuthView, Cluster, LogEnd, Member, MemberStatus, MemberView, Members, Observed,
    PasswordView, Plane, Pod, PodPhase, Probe, Problem, RestoreView, TlsView, Volume, Workload,
};
use crate::observed::{Kept, Loaded};
use crate::record::Intent;
use crate::step::Part;
use jiff::{SignedDuration, Timestamp};
use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::{MainstayClusterSpec, MainstayClusterStatus};

/// Seconds of one tick.
pub const TICK: i64 = 2;

#[derive(Clone, Debug, Default)]
pub struct SimPod {
    pub uid: String,
    pub revision: String,
    pub created: Timestamp,
    pub running: bool,
    /// Ticks until it is gone.
    pub stopping: Option<u32>,
    pub node_gone: bool,
    pub crashing: bool,
    pub waiting: Option<String>,
    pub ready: bool,
    pub unready_since: Option<Timestamp>,
    pub annotations: BTreeMap<String, String>,
    /// The intent as the kubelet last brought it, and when.
    pub intent: Option<Intent>,
    pub brought: Timestamp,
    /// Why the server does not take part.
    pub reason: Option<String>,
    pub loaded: BTreeMap<Plane, Loaded>,
}

#[derive(Clone, Debug, Default)]
pub struct SimVolume {
    pub uid: String,
    pub request: u64,
    pub deleting: bool,
    pub data: Option<Data>,
}

/// A member's directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    pub id: u64,
    pub cluster: u64,
    pub incarnation: u64,
    pub removed: bool,
    pub applied: u64,
}

/// What the members have agreed on.
#[derive(Clone, Debug, Default)]
pub struct Raft {
    pub cluster: u64,
    pub list: Vec<Member>,
    pub started: BTreeSet<u64>,
    pub term: u64,
    /// 0 without a quorum.
    pub leader: u64,
    pub applied: u64,
    pub alarms: BTreeSet<Alarm>,
    pub compacted: i64,
    pub in_use: u64,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub spec: MainstayClusterSpec,
    pub cluster: Cluster,
    pub status: Option<MainstayClusterStatus>,
    pub kept: Option<Kept>,
    pub workload: Option<Workload>,
    /// What the StatefulSet's template was rendered from.
    pub template: String,
    pub parts: BTreeSet<Part>,
    pub pods: BTreeMap<u32, SimPod>,
    pub volumes: BTreeMap<u32, SimVolume>,
    pub raft: Option<Raft>,
    pub tls: TlsView,
    pub auth: AuthView,
    /// Which password the Secret holds, and which one is that of root.
    pub secret: u32,
    pub roots: u32,
    /// Whether the storage class refuses growth, and whether that was what the last step met with.
    pub rigid: bool,
    pub refused: bool,
    pub restore: RestoreView,
    /// Versions whose image cannot be pulled.
    pub broken: BTreeSet<String>,
    /// Places whose pod finds no node.
    pub blocked: BTreeSet<u32>,
    /// Whether the operator reaches the members.
    pub reachable: bool,
    pub counter: u64,
    pub formed: u32,
    /// Voters that are down because of a step.
    pub by_our_hand: BTreeSet<u32>,
    pub violations: Vec<String>,
    pub gone: bool,
    /// Whether members that hold do not say how far their logs reach.
    pub mute: bool,
    /// Whether a learner can ever catch up.
    pub slow: bool,
}

impl World {
    pub fn new(spec: MainstayClusterSpec) -> World {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        World {
            now,
            spec,
            cluster: Cluster {
                name: "db".to_owned(),
                namespace: "default".to_owned(),
                uid: "cluster-1".to_owned(),
                generation: 1,
                ..Cluster::default()
            },
            status: None,
            kept: None,
            workload: None,
            template: String::new(),
            parts: BTreeSet::new(),
            pods: BTreeMap::new(),
            volumes: BTreeMap::new(),
            raft: None,
            tls: TlsView::default(),
            auth: AuthView::Disabled,
            secret: 1,
            roots: 0,
            rigid: false,
            refused: false,
            restore: RestoreView::None,
            broken: BTreeSet::new(),
            blocked: BTreeSet::new(),
            reachable: true,
            counter: 0,
            formed: 0,
            by_our_hand: BTreeSet::new(),
            violations: Vec::new(),
            gone: false,
            mute: false,
            slow: false,
        }
    }

    pub fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn later(&self, seconds: i64) -> Timestamp {
        self.now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap()
    }

    /// What the template is rendered from now.
    pub fn rendered(&self) -> String {
        format!(
            "{}/{:?}",
            self.spec.version, self.spec.pod_template.annotations
        )
    }

    pub fn ordinal(&self, member: &Member) -> Option<u32> {
        (0..16).find(|ordinal| member.peer_urls.contains(&self.cluster.peer_url(*ordinal)))
    }

    /// Whether the server at `ordinal` takes part in the cluster, and as whom.
    pub fn part(&self, ordinal: u32) -> Option<u64> {
        let (pod, volume) = (self.pods.get(&ordinal)?, self.volumes.get(&ordinal)?);
        let (raft, data) = (self.raft.as_ref()?, volume.data.as_ref()?);
        let is_listed = raft.list.iter().any(|member| member.id == data.id);
        let takes_part =
            pod.running && pod.reason.is_none() && data.cluster == raft.cluster && is_listed;
        takes_part.then_some(data.id)
    }

    pub fn parts_taken(&self) -> BTreeMap<u64, u32> {
        let ordinals = self.pods.keys();
        ordinals
            .filter_map(|ordinal| Some((self.part(*ordinal)?, *ordinal)))
            .collect()
    }

    pub fn has_quorum(&self) -> bool {
        self.raft.as_ref().is_some_and(|raft| raft.leader != 0)
    }

    /// Whether a majority of voters still has its data somewhere.
    pub fn can_come_back(&self) -> bool {
        let Some(raft) = &self.raft else {
            return true;
        };
        let voters = raft.list.iter().filter(|member| !member.learner);
        let ids: Vec<u64> = voters.map(|member| member.id).collect();
        let has_data = |id: &&u64| {
            let mut all = self
                .volumes
                .values()
                .filter_map(|volume| volume.data.as_ref());
            all.any(|data| data.id == **id && data.cluster == raft.cluster && !data.removed)
        };
        ids.iter().filter(has_data).count() > ids.len() / 2
    }

    /// What one sees whose caches show Kubernetes as it was in `cached`.
    pub fn observe(&self, cached: &World) -> Observed {
        Observed {
            now: self.now,
            cluster: cached.cluster.clone(),
            spec: cached.spec.clone(),
            status: cached.status.clone(),
            record: self.kept.clone(),
            drift: cached.drift(),
            workload: cached.workload.clone(),
            pods: cached
                .pods
                .iter()
                .map(|(ordinal, pod)| (*ordinal, cached.pod(pod)))
                .collect(),
            volumes: cached
                .volumes
                .iter()
                .map(|(ordinal, volume)| (*ordinal, claim(volume)))
                .collect(),
            members: self.members(),
            probes: self.probes(),
            tls: TlsView {
                loaded: self
                    .pods
                    .iter()
                    .filter(|(_, pod)| pod.running && self.reachable)
                    .map(|(ordinal, pod)| (*ordinal, pod.loaded.clone()))
                    .collect(),
                ..cached.tls.clone()
            },
            auth: self.auth,
            password: self.password(),
            restore: self.restore.clone(),
            problems: cached.problems(),
        }
    }

    /// A password is tried as long as the record does not know it.
    fn password(&self) -> Option<PasswordView> {
        let version = self.secret.to_string();
        let record = self.kept.as_ref().map(|kept| &kept.record)?;
        let is_known = record.obeyed.get(crate::auth::PASSWORD) == Some(&version);
        let is_asked = self.auth == AuthView::Enabled && self.reachable && !is_known;
        is_asked.then_some(PasswordView {
            version,
            is_roots: self.secret == self.roots,
        })
    }

    fn drift(&self) -> Vec<Part> {
        let all = [
            Part::PeerService,
            Part::ClientService,
            Part::LeaderService,
            Part::DisruptionBudget,
        ];
        let mut drift: Vec<Part> = all
            .into_iter()
            .filter(|part| !self.parts.contains(part))
            .collect();
        if self.workload.is_none() || self.template != self.rendered() {
            drift.push(Part::Workload);
        }
        drift
    }

    fn pod(&self, pod: &SimPod) -> Pod {
        Pod {
            uid: pod.uid.clone(),
            revision: pod.revision.clone(),
            phase: if pod.running {
                PodPhase::Running
            } else {
                PodPhase::Pending
            },
            ready: pod.ready,
            deleting: pod.stopping.is_some(),
            restarts: if pod.crashing { 9 } else { 0 },
            waiting: pod.waiting.clone(),
            out_of_memory: false,
            node_gone: pod.node_gone,
            created: Some(pod.created),
            unready_since: pod.unready_since,
            annotations: pod.annotations.clone(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let stuck = self
            .pods
            .values()
            .any(|pod| pod.waiting.as_deref() == Some("ImagePullBackOff"));
        let problem = Problem {
            reason: Reason::ImageUnavailable,
            message: format!("image mainstay:{} cannot be pulled", self.spec.version),
        };
        let refused = Problem {
            reason: Reason::GrowthRefused,
            message: "the storage class refuses growth".to_owned(),
        };
        let problems = [(stuck, problem), (self.refused, refused)].into_iter();
        let there = problems.filter(|(is_there, _)| *is_there);
        there.map(|(_, problem)| problem).collect()
    }

    fn members(&self) -> MemberView {
        let parts = self.parts_taken();
        let Some(raft) = self
            .raft
            .as_ref()
            .filter(|_| self.reachable && !parts.is_empty())
        else {
            return MemberView::Unknown("no member answers".to_owned());
        };
        let status = parts.iter().map(|(id, ordinal)| {
            let learner = raft
                .list
                .iter()
                .any(|member| member.id == *id && member.learner);
            let applied = self.volumes[ordinal]
                .data
                .as_ref()
                .map_or(0, |data| data.applied);
            let status = MemberStatus {
                version: "3.7.1".to_owned(),
                leader: raft.leader,
                term: raft.term,
                applied,
                revision: i64::try_from(applied).unwrap(),
                compacted: raft.compacted,
                db_size: 1 << 20,
                db_size_in_use: raft.in_use,
                learner,
                alarms: raft.alarms.iter().copied().collect(),
            };
            (*id, status)
        });
        MemberView::Known(Members {
            cluster_id: raft.cluster,
            linearizable: raft.leader != 0,
            list: raft.list.clone(),
            status: status.collect(),
        })
    }

    fn probes(&self) -> BTreeMap<u32, Probe> {
        let pods = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.running && self.reachable);
        pods.map(|(ordinal, pod)| {
            let data = self
                .volumes
                .get(ordinal)
                .and_then(|volume| volume.data.as_ref());
            let probe = Probe {
                pod_uid: pod.uid.clone(),
                id: data.map_or(0, |data| data.id),
                role: "none".to_owned(),
                term: 0,
                ready: pod.ready,
                reason: pod.reason.clone(),
                log: data.filter(|_| !self.mute).map(|data| LogEnd {
                    term: 1,
                    index: data.applied,
                }),
            };
            (*ordinal, probe)
        })
        .collect()
    }
}

fn claim(volume: &SimVolume) -> Volume {
    Volume {
        uid: volume.uid.clone(),
        bound: true,
        lost: false,
        request: volume.request,
        capacity: volume.request,
        deleting: volume.deleting,
    }
}
