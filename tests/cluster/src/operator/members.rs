//! The members of a cluster, asked by themselves at the addresses of their pods, and what the API
//! server shows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use mainstay_operator_member::loaded::{self, Loaded};
use mainstay_operator_member::roles::{self, Part, Role};
use mainstay_operator_member::{Address, Credentials, Member};
use tokio::runtime::Runtime;

use super::cluster::Cluster;

const CLIENT_PORT: u16 = 2379;
const PROBE_PORT: u16 = 2381;
const ROLE: &str = "mainstay.dev/role";
/// Between two looks at members and labels.
const LOOK: Duration = Duration::from_millis(5);

pub struct Members<'a> {
    cluster: &'a Cluster,
    runtime: Runtime,
    pods: Api<Pod>,
}

/// How long a change of the leader took, from the moment it was asked for or forced.
pub struct Change {
    /// Until a member said that it leads.
    pub told: Duration,
    /// Until the labels of all pods were what their members say.
    pub shown: Duration,
}

impl<'a> Members<'a> {
    pub fn open(cluster: &'a Cluster) -> Result<Self> {
        let runtime = Runtime::new().context("no runtime for clients")?;
        let kubeconfig = Kubeconfig::read_from(&cluster.kubectl.kubeconfig)?;
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        let pods = Api::namespaced(client, &cluster.namespace);
        Ok(Self {
            cluster,
            runtime,
            pods,
        })
    }

    async fn list(&self) -> Result<Vec<Pod>> {
        let params = ListParams::default().labels(&self.cluster.selector());
        Ok(self.pods.list(&params).await?.items)
    }

    /// What each member that answers says of its part, by its pod.
    pub fn parts(&self) -> Result<BTreeMap<String, Part>> {
        self.runtime.block_on(async {
            let pods = self.list().await?;
            Ok(parts(&pods).await)
        })
    }

    /// The pod that leads by its own word, and its part.
    pub fn leader(&self) -> Result<(String, Part)> {
        let parts = self.parts()?;
        let leader = leader(&parts, 0).context("nobody leads")?;
        Ok((leader.0.clone(), leader.1.clone()))
    }

    /// The certificates that the member in each pod uses.
    pub fn loaded(&self) -> Result<BTreeMap<String, BTreeSet<Loaded>>> {
        self.runtime.block_on(async {
            let pods = self.list().await?;
            let asked = pods.iter().filter_map(|pod| {
                let address = address(pod, PROBE_PORT)?;
                Some(async move { (pod.name_any(), loaded::ask(address).await) })
            });
            let answers = join_all(asked).await.into_iter();
            answers
                .map(|(name, metrics)| Ok((name, metrics?.loaded)))
                .collect()
        })
    }

    /// Asks the leader to hand over to another member, as a client does.
    pub fn move_leader(&self, from: &str, to: u64) -> Result<()> {
        let secret = format!("{}-client-tls", self.cluster.name);
        let [ca, certificate, key] = self.cluster.credentials(&secret)?;
        let credentials = Credentials::from_pem(&ca, &certificate, &key)?;
        let (name, namespace) = (self.cluster.name, &self.cluster.namespace);
        self.runtime.block_on(async {
            let pod = self.pods.get(from).await?;
            let socket = address(&pod, CLIENT_PORT).context("the leader has no address")?;
            let host = format!("{from}.{name}-peer.{namespace}.svc");
            let member = Member::connect(&Address { socket, host }, &credentials).await?;
            Ok(member.move_leader(to).await?)
        })
    }

    /// Waits until a member leads in a later term than `former`, and the labels say so.
    pub fn until_shown(&self, since: Instant, former: u64, limit: Duration) -> Result<Change> {
        self.runtime.block_on(async {
            let mut told = None;
            loop {
                let pods = self.list().await?;
                let parts = parts(&pods).await;
                if let Some((name, _)) = leader(&parts, former) {
                    let told = *told.get_or_insert_with(|| since.elapsed());
                    if is_shown(&self.list().await?, name, &parts) {
                        let shown = since.elapsed();
                        return Ok(Change { told, shown });
                    }
                }
                if since.elapsed() > limit {
                    let shown = labels(&pods);
                    bail!("not within {limit:?}: the labels {shown:?} of {parts:?}");
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }
}

fn address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

async fn parts(pods: &[Pod]) -> BTreeMap<String, Part> {
    let asked = pods.iter().filter_map(|pod| {
        let address = address(pod, PROBE_PORT)?;
        Some(async move { (pod.name_any(), roles::ask(address).await) })
    });
    let answers = join_all(asked).await.into_iter();
    answers
        .filter_map(|(name, part)| Some((name, part.ok()?)))
        .collect()
}

/// Who leads in a term after this one.
fn leader(parts: &BTreeMap<String, Part>, after: u64) -> Option<(&String, &Part)> {
    let leaders = parts
        .iter()
        .filter(|(_, part)| part.role == Role::Leader && part.term > after);
    leaders.max_by_key(|(_, part)| part.term)
}

fn labels(pods: &[Pod]) -> BTreeMap<String, Option<String>> {
    let rows = pods.iter();
    rows.map(|pod| (pod.name_any(), pod.labels().get(ROLE).cloned()))
        .collect()
}

/// One pod is labelled leader, the one that leads, and every member that follows is labelled so.
fn is_shown(pods: &[Pod], leader: &str, parts: &BTreeMap<String, Part>) -> bool {
    let labels = labels(pods);
    labels.iter().all(|(name, label)| {
        let label = label.as_deref();
        match (name == leader, parts.get(name).map(|part| part.role)) {
            (true, _) => label == Some("leader"),
            (false, Some(Role::Follower)) => label == Some("follower"),
            (false, _) => label != Some("leader"),
        }
    })
}
