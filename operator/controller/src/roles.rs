//! The label `mainstay.dev/role` of each pod, kept by the members' own word and not by a poll.
//!
//! One task for each running pod holds the member's stream of changes open and patches the label the
//! moment a line says something else. The patch is a change of the pod, and so reconciles its
//! cluster too. The label is a hint for Services and people: any member takes any request.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client, ResourceExt};
use mainstay_operator_member::roles::{self, Part, Role};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::labels;

/// The field manager of the label; it owns nothing else.
const MANAGER: &str = "mainstay-operator-roles";
/// Before a stream that ended is opened again, or a patch that failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);
/// The same for a member that has been silent for longer than one takes to start: it may lead the
/// moment it is back, so it is not waited for much longer.
const RARELY: Duration = Duration::from_secs(2);
const STARTING: Duration = Duration::from_secs(60);

/// Who is watched.
#[derive(Clone)]
pub struct Roles(Arc<Shared>);

struct Shared {
    client: Client,
    /// By uid of the pod: its address and its task.
    tasks: Mutex<HashMap<String, (IpAddr, AbortHandle)>>,
    /// By namespace and cluster: the highest term in which a member said that it leads.
    terms: Mutex<HashMap<(String, String), watch::Sender<u64>>>,
}

/// A pod as its task needs it.
struct Watched {
    uid: String,
    name: String,
    namespace: String,
    socket: SocketAddr,
    highest: watch::Sender<u64>,
}

impl Roles {
    pub fn new(client: Client) -> Roles {
        Roles(Arc::new(Shared {
            client,
            tasks: Mutex::default(),
            terms: Mutex::default(),
        }))
    }

    /// Follows the pods that `pods` holds until the stream of their changes ends.
    pub async fn run(&self, pods: Api<Pod>) {
        let config = watcher::Config::default().labels(&labels::selector());
        let changes = watch_objects(pods, config).default_backoff();
        pin_mut!(changes);
        loop {
            match changes.try_next().await {
                Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) => self.see(&pod),
                Ok(Some(Event::Delete(pod))) => self.forget(&pod.uid().unwrap_or_default()),
                Ok(Some(Event::Init | Event::InitDone)) => {}
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, "pods cannot be watched"),
            }
        }
    }

    fn see(&self, pod: &Pod) {
        let Some(uid) = pod.uid() else { return };
        let running = pod.status.as_ref().and_then(|status| {
            let address = status.pod_ip.as_ref()?.parse::<IpAddr>().ok()?;
            (status.phase.as_deref() == Some("Running")).then_some(address)
        });
        let cluster = pod.labels().get(labels::INSTANCE);
        let (Some(address), Some(cluster)) = (running, cluster) else {
            return self.forget(&uid);
        };
        let mut tasks = self.0.tasks.lock();
        if tasks
            .get(&uid)
            .is_some_and(|(known, task)| *known == address && !task.is_finished())
        {
            return;
        }
        let namespace = pod.namespace().unwrap_or_default();
        let key = (namespace.clone(), cluster.clone());
        let highest = self.0.terms.lock().entry(key).or_default().clone();
        let watched = Watched {
            uid: uid.clone(),
            name: pod.name_any(),
            namespace,
            socket: SocketAddr::new(address, labels::METRICS_PORT),
            highest,
        };
        let shown = pod.labels().get(labels::ROLE).cloned();
        let task = tokio::spawn(follow(self.0.client.clone(), watched, shown));
        if let Some((_, old)) = tasks.insert(uid, (address, task.abort_handle())) {
            old.abort();
        }
    }

    fn forget(&self, uid: &str) {
        if let Some((_, task)) = self.0.tasks.lock().remove(uid) {
            task.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for (_, task) in self.tasks.get_mut().values() {
            task.abort();
        }
    }
}

/// Keeps one pod's label, for as long as the pod runs.
async fn follow(client: Client, pod: Watched, mut shown: Option<String>) {
    let api: Api<Pod> = Api::namespaced(client, &pod.namespace);
    let mut silent = Instant::now();
    loop {
        let ended = match roles::watch(pod.socket).await {
            Ok(stream) => {
                let stream = stream.boxed();
                let ended = changes(&api, &pod, stream, &mut shown).await;
                silent = Instant::now();
                ended
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(pod = pod.name, reason = ended, "the stream of roles ended");
        // A member that says nothing plays no part.
        show(&api, &pod, None, &mut shown).await;
        let is_starting = silent.elapsed() < STARTING;
        sleep(if is_starting { AGAIN } else { RARELY }).await;
    }
}

/// Shows each change until the stream ends; the reason for its end.
async fn changes(
    api: &Api<Pod>,
    pod: &Watched,
    mut stream: futures::stream::BoxStream<'static, Result<Part, mainstay_operator_member::Error>>,
    shown: &mut Option<String>,
) -> String {
    let mut highest = pod.highest.subscribe();
    let mut last: Option<Part> = None;
    let mut is_true = true;
    loop {
        tokio::select! {
            () = sleep(AGAIN), if !is_true => {}
            line = stream.next() => match line {
                Some(Ok(part)) => last = Some(part),
                Some(Err(error)) => return error.to_string(),
                None => return "the member has stopped".to_owned(),
            },
            changed = highest.changed() => if changed.is_err() {
                return "the cluster is gone".to_owned();
            },
        }
        let Some(part) = &last else { continue };
        if part.role == Role::Leader {
            pod.highest.send_if_modified(|term| {
                let later = part.term > *term;
                *term = (*term).max(part.term);
                later
            });
        }
        let term = *highest.borrow_and_update();
        is_true = show(api, pod, role(part, term), shown).await;
    }
}

/// One leader at a time: a member that still says it leads in an earlier term does not.
fn role(part: &Part, highest: u64) -> Option<&'static str> {
    match part.role {
        Role::Leader if part.term < highest => Role::Follower.label(),
        role => role.label(),
    }
}

/// Patches the label unless it is so already; false if it could not.
async fn show(
    api: &Api<Pod>,
    pod: &Watched,
    role: Option<&str>,
    shown: &mut Option<String>,
) -> bool {
    if shown.as_deref() == role {
        return true;
    }
    // With the uid a pod of the same name that came since is left alone.
    let patch = json!({"metadata": {"uid": pod.uid, "labels": {labels::ROLE: role}}});
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api
        .patch_metadata(&pod.name, &params, &Patch::Merge(&patch))
        .await
    {
        Ok(_) => *shown = role.map(str::to_owned),
        Err(error) => tracing::debug!(pod = pod.name, %error, "the role could not be shown"),
    }
    shown.as_deref() == role
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_of_an_earlier_term_is_none() {
        let part = |role, term| Part {
            id: 1,
            name: String::new(),
            cluster_id: 1,
            role,
            term,
            log: None,
        };
        assert_eq!(role(&part(Role::Leader, 3), 3), Some("leader"));
        assert_eq!(role(&part(Role::Leader, 2), 3), Some("follower"));
        assert_eq!(role(&part(Role::Learner, 2), 3), Some("learner"));
        assert_eq!(role(&part(Role::None, 3), 3), None);
    }
}
