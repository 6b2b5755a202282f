//! Pods and volumes, each by its uid: one of the same name that came since is another one.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value, json};

use super::Actor;
use super::objects::gone;
use crate::apply::MANAGER;
use crate::error::Error;
use crate::render::workload::CLAIM;

impl Actor<'_> {
    pub(super) async fn delete_pod(
        &self,
        ordinal: u32,
        uid: &str,
        force: bool,
    ) -> Result<(), Error> {
        let name = self.pod(ordinal);
        let mut params = only(uid);
        params.grace_period_seconds = force.then_some(0);
        let deleted = self.api::<Pod>().delete(&name, &params).await;
        gone(deleted.map(drop), &format!("Pod {name}"))
    }

    pub(super) async fn delete_volume(&self, ordinal: u32, uid: &str) -> Result<(), Error> {
        let name = self.claim(ordinal);
        let api = self.api::<PersistentVolumeClaim>();
        let deleted = api.delete(&name, &only(uid)).await;
        gone(deleted.map(drop), &format!("volume {name}"))
    }

    pub(super) async fn grow_volume(&self, ordinal: u32, uid: &str, to: u64) -> Result<(), Error> {
        let name = self.claim(ordinal);
        let storage = &self.subject.spec.storage;
        // As the user has written it, so that they find it again.
        let size = match storage.bytes() == to {
            true => storage.size.clone(),
            false => to.to_string(),
        };
        let patch = json!({
            "metadata": {"uid": uid},
            "spec": {"resources": {"requests": {"storage": size}}},
        });
        let api = self.api::<PersistentVolumeClaim>();
        let grown = api.patch(&name, &own(), &Patch::Merge(&patch)).await;
        grown.map(drop).map_err(Error::growth(&name))
    }

    pub(super) async fn annotate_pods(
        &self,
        ordinals: &[u32],
        key: &str,
        value: &str,
    ) -> Result<(), Error> {
        let annotations: Map<String, Value> =
            [(key.to_owned(), value.into())].into_iter().collect();
        for ordinal in ordinals {
            let Some(pod) = self.observed.pods.get(ordinal) else {
                continue;
            };
            let name = self.pod(*ordinal);
            let patch = json!({"metadata": {"uid": pod.uid, "annotations": annotations}});
            let api = self.api::<Pod>();
            let patched = api.patch(&name, &own(), &Patch::Merge(&patch)).await;
            gone(patched.map(drop), &format!("Pod {name}"))?;
        }
        Ok(())
    }

    fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.subject.name)
    }

    fn claim(&self, ordinal: u32) -> String {
        format!("{CLAIM}-{}", self.pod(ordinal))
    }
}

fn only(uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

fn own() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
