//! What all passes share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::NamespaceResourceScope;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Resource};
use mainstay_operator_act::ledger::Ledger;
use mainstay_operator_act::render::Settings;
use mainstay_operator_plan::observed::Problem;
use parking_lot::Mutex;

use crate::backoff::Backoff;
use crate::labels;
use crate::lease::Leadership;
use crate::metrics::{Metrics, Object};
use crate::sessions::Sessions;

pub struct Context {
    pub client: Client,
    pub settings: Settings,
    pub leadership: Leadership,
    pub ledger: Ledger,
    pub metrics: Arc<Metrics>,
    pub recorder: Recorder,
    /// Clients of the clusters' keys and users.
    pub sessions: Sessions,
    pub failures: Backoff<(&'static str, Object)>,
    /// What the last step of a cluster failed by, for its conditions.
    pub troubles: Mutex<HashMap<Object, Problem>>,
    /// When the status of a cluster was last written.
    pub told: Mutex<HashMap<Object, Instant>>,
    /// The last step of a cluster, and how often it was carried out in a row.
    pub repeats: Mutex<HashMap<Object, (String, u32)>>,
}

impl Context {
    pub fn new(
        client: Client,
        settings: Settings,
        leadership: Leadership,
        metrics: Arc<Metrics>,
        identity: String,
    ) -> Context {
        let reporter = Reporter {
            controller: labels::OPERATOR.to_owned(),
            instance: Some(identity),
        };
        Context {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            settings,
            leadership,
            ledger: Ledger::default(),
            metrics,
            sessions: Sessions::default(),
            failures: Backoff::default(),
            troubles: Mutex::default(),
            told: Mutex::default(),
            repeats: Mutex::default(),
        }
    }

    /// Drops what is kept of a cluster that is gone.
    pub fn forget(&self, cluster: &Object) {
        self.metrics.forget(cluster);
        self.troubles.lock().remove(cluster);
        self.told.lock().remove(cluster);
        self.repeats.lock().remove(cluster);
        self.sessions.forget(&cluster.namespace, &cluster.name);
    }

    /// Of one namespace, or of all.
    pub fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}
