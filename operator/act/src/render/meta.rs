//! What every object of a cluster has: its name, its labels, its owner.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Subject;
use crate::labels;

impl Subject<'_> {
    /// Of an object that goes when the cluster goes.
    pub(crate) fn owned(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels::of(self.name)),
            owner_references: Some(vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    pub(crate) fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: "mainstay.dev/v1alpha1".to_owned(),
            kind: "MainstayCluster".to_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// User's keys beside ours; ours win, as Services and the operator go by them.
pub(super) fn merged(
    theirs: &BTreeMap<String, String>,
    ours: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = theirs.clone();
    all.extend(ours);
    all
}
