//! Objects as they are to be, by server-side apply under one field manager.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

/// Owns every field that the operator sets, except the roles of pods and the status.
pub const MANAGER: &str = "mainstay-operator";

/// An object as it is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub resource: ApiResource,
    pub name: String,
    pub namespace: String,
    pub object: Value,
}

impl Wanted {
    /// `object` is of a type that Kubernetes or a CRD defines.
    pub fn of<K>(object: &K) -> Result<Wanted, serde_json::Error>
    where
        K: kube::Resource<DynamicType = ()> + Serialize,
    {
        let mut value = serde_json::to_value(object)?;
        // An empty status would be a wish for one.
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        Ok(Wanted {
            resource: ApiResource::erase::<K>(&()),
            name: object.meta().name.clone().unwrap_or_default(),
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            object: value,
        })
    }

    /// What it is to the cluster, in the [ledger](crate::ledger::Ledger).
    pub fn key(&self) -> String {
        format!("{}/{}", self.resource.kind, self.name)
    }

    pub fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.namespace, &self.resource)
    }

    /// Only if the object is still the one that was looked at.
    pub fn if_still(mut self, uid: Option<&str>, version: Option<&str>) -> Wanted {
        if let Some(meta) = self
            .object
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        {
            for (key, value) in [("uid", uid), ("resourceVersion", version)] {
                if let Some(value) = value {
                    meta.insert(key.to_owned(), value.into());
                }
            }
        }
        self
    }

    /// Takes the fields from whoever else has set them: they are the operator's.
    pub async fn apply(&self, client: &Client) -> kube::Result<DynamicObject> {
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&self.object);
        self.api(client).patch(&self.name, &params, &patch).await
    }
}
