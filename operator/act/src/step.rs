//! The one door to everything that changes something.

mod cluster;
mod membership;
mod objects;
mod pods;
mod secrets;

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_member::Member;
use mainstay_operator_plan::observed::Observed;
use mainstay_operator_plan::step::Step;

use crate::error::Error;
use crate::ledger::Ledger;
use crate::render::Subject;

/// What a step is carried out with: all of it from the pass that decided it.
pub struct Actor<'a> {
    pub client: &'a Client,
    pub ledger: &'a Ledger,
    pub subject: Subject<'a>,
    pub cluster: &'a MainstayCluster,
    pub observed: &'a Observed,
    /// Members that answered, by their id.
    pub members: &'a BTreeMap<u64, Member>,
    /// Who leads, if that is known.
    pub leader: Option<u64>,
}

impl Actor<'_> {
    /// Carries out one step. Done twice it changes nothing the second time.
    pub async fn carry_out(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::AddFinalizer => self.finalizer(true).await,
            Step::RemoveFinalizer => self.finalizer(false).await,
            Step::Apply(parts) => self.apply(parts).await,
            Step::WriteRecord(record) => self.write_record(record).await,
            Step::ScaleWorkload { replicas } => self.scale(*replicas).await,
            Step::RecreateWorkload { uid } => self.delete_workload(uid, true).await,
            Step::DeleteWorkload { uid } => self.delete_workload(uid, false).await,
            Step::AddLearner { peer_url, .. } => self.add_learner(peer_url).await,
            Step::Promote { id } => self.promote(*id).await,
            Step::RemoveMember { id } => self.remove_member(*id).await,
            Step::MoveLeader { from, to } => self.move_leader(*from, *to).await,
            Step::DeletePod {
                ordinal,
                uid,
                force,
            } => self.delete_pod(*ordinal, uid, *force).await,
            Step::DeleteVolume { ordinal, uid } => self.delete_volume(*ordinal, uid).await,
            Step::GrowVolume { ordinal, uid, to } => self.grow_volume(*ordinal, uid, *to).await,
            Step::AnnotatePods {
                ordinals,
                key,
                value,
            } => self.annotate_pods(ordinals, key, value).await,
            Step::Issue(step) => self.issue(*step).await,
            Step::Compact { revision } => self.compact(*revision).await,
            Step::Disarm { id } => self.disarm(*id).await,
            Step::EnableAuth => self.enable_auth().await,
            Step::SetRootPassword => self.set_root_password().await,
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.subject.namespace)
    }
}

/// A word for each kind of step, for logs and metrics.
pub fn kind(step: &Step) -> &'static str {
    match step {
        Step::AddFinalizer => "AddFinalizer",
        Step::Apply(_) => "Apply",
        Step::WriteRecord(_) => "WriteRecord",
        Step::ScaleWorkload { .. } => "ScaleWorkload",
        Step::RecreateWorkload { .. } => "RecreateWorkload",
        Step::AddLearner { .. } => "AddLearner",
        Step::Promote { .. } => "Promote",
        Step::RemoveMember { .. } => "RemoveMember",
        Step::MoveLeader { .. } => "MoveLeader",
        Step::DeletePod { .. } => "DeletePod",
        Step::DeleteVolume { .. } => "DeleteVolume",
        Step::GrowVolume { .. } => "GrowVolume",
        Step::AnnotatePods { .. } => "AnnotatePods",
        Step::Issue(_) => "Issue",
        Step::Compact { .. } => "Compact",
        Step::Disarm { .. } => "Disarm",
        Step::EnableAuth => "EnableAuth",
        Step::SetRootPassword => "SetRootPassword",
        Step::DeleteWorkload { .. } => "DeleteWorkload",
        Step::RemoveFinalizer => "RemoveFinalizer",
    }
}
