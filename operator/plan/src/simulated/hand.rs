//! Carries out a step as `operator/act` does, with its preconditions.

use std::collections::BTreeSet;

use crate::Step;
use crate::observed::{
    Alarm, AlarmKind, AuthView, Authority, CaCertificate, Certificate, Kept, Leaf, Member,
    Observed, Plane, Workload,
};
use crate::record::Record;
use crate::step::{Part, TlsStep};
use mainstay_operator_api::annotation::POD_REFRESH;

use crate::simulated::world::{Raft, SimVolume, World};

const DAY: i64 = 24 * 3600;

impl World {
    /// Does what the step says; a precondition that fails changes nothing.
    pub fn act(&mut self, step: &Step, seen: &Observed) {
        self.judge(step, seen);
        self.refused = false;
        match step.clone() {
            Step::AddFinalizer => self.cluster.finalizer = true,
            Step::Apply(parts) => parts.into_iter().for_each(|part| self.apply(part)),
            Step::WriteRecord(record) => self.write(*record, seen),
            Step::ScaleWorkload { replicas } => {
                if let Some(workload) = &mut self.workload {
                    workload.replicas = replicas;
                }
            }
            Step::RecreateWorkload { uid } => {
                if self.workload_of(&uid).is_some() {
                    self.workload = None;
                }
            }
            Step::DeleteWorkload { uid } => {
                if let Some(workload) = self.workload_of(&uid) {
                    workload.deleting = true;
                }
            }
            Step::AddLearner { peer_url, .. } => self.add_learner(peer_url),
            Step::Promote { id } => self.promote(id),
            Step::RemoveMember { id } => self.remove(id),
            Step::MoveLeader { from, to } => self.move_leader(from, to),
            Step::DeletePod {
                ordinal,
                uid,
                force,
            } => self.delete_pod(ordinal, &uid, force),
            Step::DeleteVolume { ordinal, uid } => {
                if let Some(volume) = self.volume_of(ordinal, &uid) {
                    volume.deleting = true;
                }
            }
            Step::GrowVolume { .. } if self.rigid => self.refused = true,
            Step::GrowVolume { ordinal, uid, to } => {
                if let Some(volume) = self.volume_of(ordinal, &uid) {
                    volume.request = to;
                }
            }
            Step::AnnotatePods {
                ordinals,
                key,
                value,
            } => self.annotate_pods(&ordinals, &key, &value),
            Step::Issue(step) => self.issue(step),
            Step::Compact { revision } => {
                if let Some(raft) = self.led() {
                    raft.compacted = raft.compacted.max(revision);
                    raft.in_use /= 2;
                }
            }
            Step::Disarm { id: member } => {
                let kind = AlarmKind::NoSpace;
                if let Some(raft) = self.led() {
                    raft.alarms.remove(&Alarm { member, kind });
                }
            }
            Step::EnableAuth => {
                self.auth = AuthView::Enabled;
                self.roots = self.secret;
            }
            Step::SetRootPassword => self.roots = self.secret,
            Step::RemoveFinalizer => {
                self.cluster.finalizer = false;
                self.gone = true;
            }
        }
    }

    fn workload_of(&mut self, uid: &str) -> Option<&mut Workload> {
        let workload = self.workload.as_mut();
        workload.filter(|workload| workload.uid == uid)
    }

    fn volume_of(&mut self, ordinal: u32, uid: &str) -> Option<&mut SimVolume> {
        let volume = self.volumes.get_mut(&ordinal);
        volume.filter(|volume| volume.uid == uid)
    }

    /// The cluster, while it has a leader that takes commands.
    fn led(&mut self) -> Option<&mut Raft> {
        self.raft.as_mut().filter(|raft| raft.leader != 0)
    }

    fn annotate_pods(&mut self, ordinals: &[u32], key: &str, value: &str) {
        for ordinal in ordinals {
            if let Some(pod) = self.pods.get_mut(ordinal) {
                pod.annotations.insert(key.to_owned(), value.to_owned());
            }
            if key == POD_REFRESH {
                self.bring(*ordinal);
            }
        }
    }

    fn apply(&mut self, part: Part) {
        self.parts.insert(part);
        if part != Part::Workload {
            return;
        }
        let rendered = self.rendered();
        let number = self.number();
        let replicas = self.kept.as_ref().map_or(0, |kept| kept.record.pods());
        let storage_request = self.spec.storage.bytes();
        let workload = self.workload.get_or_insert_with(|| Workload {
            uid: format!("workload-{number}"),
            replicas,
            storage_request,
            ..Workload::default()
        });
        workload.update_revision.clone_from(&rendered);
        self.template = rendered;
    }

    fn write(&mut self, record: Record, seen: &Observed) {
        let version = |kept: &Option<Kept>| kept.as_ref().map(|kept| kept.version.clone());
        if version(&seen.record) != version(&self.kept) {
            return;
        }
        let version = self.number().to_string();
        self.kept = Some(Kept { record, version });
    }

    fn add_learner(&mut self, peer_url: String) {
        let id = 0x100 + self.number();
        let Some(raft) = self.raft.as_mut().filter(|raft| raft.leader != 0) else {
            return;
        };
        let is_there = raft
            .list
            .iter()
            .any(|member| member.peer_urls.contains(&peer_url));
        let has_learner = raft.list.iter().any(|member| member.learner);
        if is_there || has_learner {
            return;
        }
        raft.list.push(Member {
            id,
            peer_urls: vec![peer_url],
            learner: true,
            ..Member::default()
        });
    }

    fn promote(&mut self, id: u64) {
        let parts = self.parts_taken();
        let applied = parts
            .get(&id)
            .and_then(|place| self.volumes[place].data.as_ref())
            .map(|data| data.applied);
        let Some(raft) = self.raft.as_mut().filter(|raft| raft.leader != 0) else {
            return;
        };
        let in_sync = applied.is_some_and(|applied| applied * 10 >= raft.applied * 9);
        for member in raft
            .list
            .iter_mut()
            .filter(|member| member.id == id && in_sync)
        {
            member.learner = false;
        }
    }

    fn remove(&mut self, id: u64) {
        // Whoever is no member any more is no voter that is down.
        let row = self
            .raft
            .iter()
            .flat_map(|raft| &raft.list)
            .find(|member| member.id == id);
        if let Some(ordinal) = row.and_then(|member| self.ordinal(member)) {
            self.by_our_hand.remove(&ordinal);
        }
        if let Some(raft) = self.raft.as_mut().filter(|raft| raft.leader != 0) {
            raft.list.retain(|member| member.id != id);
            raft.alarms.retain(|alarm| alarm.member != id);
            if raft.leader == id {
                raft.leader = 0;
            }
        }
        self.servers();
        self.elect();
    }

    fn move_leader(&mut self, from: u64, to: u64) {
        let able = self.parts_taken().contains_key(&to);
        if let Some(raft) = self
            .raft
            .as_mut()
            .filter(|raft| raft.leader == from && able)
        {
            raft.leader = to;
            raft.term += 1;
        }
    }

    fn delete_pod(&mut self, ordinal: u32, uid: &str, force: bool) {
        if self.pods.get(&ordinal).is_none_or(|pod| pod.uid != uid) {
            return;
        }
        if force {
            self.pods.remove(&ordinal);
        } else if let Some(pod) = self.pods.get_mut(&ordinal) {
            pod.stopping.get_or_insert(1);
            pod.ready = false;
        }
    }

    fn certificate(&mut self, leaf: Leaf) -> Certificate {
        let number = self.number();
        let authority = self.tls.cas[&leaf.plane()].clone();
        Certificate {
            fingerprint: format!("leaf-{number}"),
            issuer: authority.signing.fingerprint,
            not_after: self.later(i64::from(self.spec.tls.certificate_days) * DAY),
            bundle: authority.bundle,
            lacks_names: false,
        }
    }

    fn ca(&mut self) -> CaCertificate {
        let number = self.number();
        CaCertificate {
            fingerprint: format!("ca-{number}"),
            not_after: self.later(i64::from(self.spec.tls.ca_days) * DAY),
        }
    }

    fn issue(&mut self, step: TlsStep) {
        match step {
            TlsStep::CreateCa(plane) => {
                let signing = self.ca();
                let trusted = self
                    .tls
                    .leaves
                    .iter()
                    .filter(|(leaf, _)| leaf.plane() == plane);
                let mut bundle: BTreeSet<String> =
                    trusted.flat_map(|(_, leaf)| leaf.bundle.clone()).collect();
                bundle.insert(signing.fingerprint.clone());
                self.tls.cas.entry(plane).or_insert(Authority {
                    signing,
                    next: None,
                    bundle,
                });
            }
            TlsStep::IssueLeaf(leaf) => {
                let certificate = self.certificate(leaf);
                self.tls.leaves.insert(leaf, certificate);
            }
            TlsStep::Distribute(leaf) => {
                let bundle = self.tls.cas[&leaf.plane()].bundle.clone();
                if let Some(certificate) = self.tls.leaves.get_mut(&leaf) {
                    certificate.bundle = bundle;
                }
            }
            TlsStep::StageCa(plane) => {
                let next = self.ca();
                let authority = self.tls.cas.get_mut(&plane).expect("it exists");
                if authority.next.is_none() {
                    authority.bundle.insert(next.fingerprint.clone());
                    authority.next = Some(next);
                }
            }
            TlsStep::SwitchCa(plane) => {
                let authority = self.tls.cas.get_mut(&plane).expect("it exists");
                if let Some(next) = authority.next.take() {
                    authority.signing = next;
                }
            }
            TlsStep::DropCa(plane) => {
                let authority = self.tls.cas.get_mut(&plane).expect("it exists");
                authority.bundle = [authority.signing.fingerprint.clone()].into();
            }
        }
    }

    pub fn expire_ca(&mut self, plane: Plane) {
        let soon = self.later(DAY);
        if let Some(authority) = self.tls.cas.get_mut(&plane) {
            authority.signing.not_after = soon;
        }
    }
}
