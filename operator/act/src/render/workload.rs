//! The StatefulSet of a cluster. It gives members their names and volumes and starts pods that are
//! gone; which pod goes when is the planner's, hence `OnDelete`, and how many there are too.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use mainstay_operator_api::bootstrap::SnapshotRef;
use mainstay_operator_api::storage::Retention;

use super::{Subject, pod};
use crate::labels;

/// Name of the claim template: claims are `data-<pod>`.
pub const CLAIM: &str = "data";

/// What of a StatefulSet is not the spec's.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub replicas: u32,
    /// What the claim template asks for. It cannot be changed in a StatefulSet that is there.
    pub storage: String,
    /// The snapshot that the first member is about to begin with. Only then do pods know of it: where
    /// it lies may be gone later, and no pod must need it to start.
    pub restore: Option<SnapshotRef>,
}

pub fn render(subject: &Subject<'_>, shape: &Shape) -> StatefulSet {
    let retention = match subject.spec.storage.when_deleted {
        Retention::Retain => "Retain",
        Retention::Delete => "Delete",
    };
    StatefulSet {
        metadata: subject.owned(subject.name),
        spec: Some(StatefulSetSpec {
            replicas: i32::try_from(shape.replicas).ok(),
            service_name: Some(format!("{}-peer", subject.name)),
            selector: LabelSelector {
                match_labels: Some(labels::of(subject.name)),
                ..LabelSelector::default()
            },
            template: pod::template(subject, shape.restore.as_ref()),
            // Members that wait for each other must not be started one after the other.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            // A volume that outlives its member, or goes before it, is the planner's to decide.
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(retention.to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            volume_claim_templates: Some(vec![claim(subject, &shape.storage)]),
            revision_history_limit: Some(3),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn claim(subject: &Subject<'_>, storage: &str) -> PersistentVolumeClaim {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(storage.to_owned()))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(CLAIM.to_owned()),
            labels: Some(labels::of(subject.name)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: subject.spec.storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
