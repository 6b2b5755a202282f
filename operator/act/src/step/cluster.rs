//! The resource itself: its finalizer, and nothing else of it.

use kube::api::{Patch, PatchParams};
use mainstay_operator_api::{FINALIZER, MainstayCluster};
use serde_json::json;

use super::Actor;
use crate::error::Error;

impl Actor<'_> {
    pub(super) async fn finalizer(&self, wanted: bool) -> Result<(), Error> {
        let metadata = &self.cluster.metadata;
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|known| known == FINALIZER) == wanted {
            return Ok(());
        }
        match wanted {
            true => finalizers.push(FINALIZER.to_owned()),
            false => finalizers.retain(|known| known != FINALIZER),
        }
        // The list is replaced as a whole, hence only if nobody else has changed the resource.
        let patch = json!({"metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "finalizers": finalizers,
        }});
        let params = PatchParams::default();
        let api = self.api::<MainstayCluster>();
        match api
            .patch(self.subject.name, &params, &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if !wanted && status.code == 404 => Ok(()),
            other => other.map(drop).map_err(Error::api("finalizer")),
        }
    }
}
