//! Finalizers, of clusters as of all other resources: put on and taken off.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Puts a finalizer on or takes it off, unless that is so already.
///
/// # Errors
///
/// The API server's: 409 if the resource is not as it was read any more, 404 if it is gone.
pub async fn set<K>(api: &Api<K>, object: &K, finalizer: &str, wanted: bool) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut finalizers = object.finalizers().to_vec();
    if finalizers.iter().any(|known| known == finalizer) == wanted {
        return Ok(());
    }
    match wanted {
        true => finalizers.push(finalizer.to_owned()),
        false => finalizers.retain(|known| known != finalizer),
    }
    // The list is replaced as a whole, hence only if nobody else has changed the resource.
    let patch = json!({"metadata": {
        "uid": object.uid(),
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    }});
    let (name, params) = (object.name_any(), PatchParams::default());
    let patched = api.patch(&name, &params, &Patch::Merge(&patch)).await;
    patched.map(drop)
}
