use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mainstay_proto::etcdserverpb as pb;
use parking_lot::Mutex;
use pb::cluster_client::ClusterClient;
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::watch_client::WatchClient;
use tonic::transport::{Channel, Endpoint};

use crate::cluster::Cluster;
use crate::normalise::Ids;
use crate::peer::Peer;
use crate::secure::Secure;
use crate::tls::client;

/// Largest answer a client takes; etcd's own clients set no limit either.
const MAX_ANSWER: usize = 256 << 20;

/// Connections to one member.
#[derive(Clone, Debug)]
pub struct Connection {
    pub channel: Channel,
    pub kv: KvClient<Channel>,
    pub watch: WatchClient<Channel>,
    pub lease: LeaseClient<Channel>,
    pub cluster: ClusterClient<Channel>,
    pub maintenance: MaintenanceClient<Channel>,
}

impl Connection {
    pub async fn open(peer: &Peer, secure: Option<&Secure>) -> Result<Self> {
        let url = peer.client_url();
        if let Some(secure) = secure {
            // As below without a limit on an answer: a lock may be waited for.
            let endpoint = Endpoint::from_static("http://127.0.0.1");
            let channel = client::channel_by(endpoint, peer.client_port, secure.config.clone());
            return Ok(Self::over(channel.await.context(url)?));
        }
        let endpoint = Endpoint::from_shared(url.clone())?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("connect to {url}"))?;
        Ok(Self::over(channel))
    }

    fn over(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            lease: LeaseClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            channel,
        }
    }
}

/// One cluster under comparison: connections and the meaning of its ids. Position 0 is the member
/// that led when this was made; requests name members by position.
#[derive(Debug)]
pub struct Target {
    pub label: &'static str,
    pub connections: Vec<Connection>,
    /// Shared with the tasks that read watch streams.
    pub ids: Arc<Mutex<Ids>>,
}

impl Target {
    pub async fn open(cluster: &Cluster) -> Result<Self> {
        let mut reached = Vec::new();
        for (at, peer) in cluster.peers.iter().enumerate() {
            let connection = cluster.connect(at).await?;
            let status = connection
                .maintenance
                .clone()
                .status(pb::StatusRequest {})
                .await;
            let status = status.context("status")?.into_inner();
            let header = status.header.unwrap_or_default();
            reached.push((header.member_id != status.leader, header, peer, connection));
        }
        // Stable, so the followers stay in the order of their names.
        reached.sort_by_key(|member| member.0);
        let mut connections = Vec::new();
        let mut ids = Ids::default();
        for (at, (_, header, peer, connection)) in reached.into_iter().enumerate() {
            ids.cluster = header.cluster_id;
            ids.members.push((header.member_id, peer.name.clone()));
            let scheme = if peer.secure { "https" } else { "http" };
            let url = format!("{scheme}://127.0.0.1:{}", peer.peer_port);
            ids.urls.push((url, format!("peer-url-{at}")));
            ids.urls
                .push((peer.client_url(), format!("client-url-{at}")));
            connections.push(connection);
        }
        Ok(Self {
            label: cluster.label,
            connections,
            ids: Arc::new(Mutex::new(ids)),
        })
    }

    pub fn at(&self, member: usize) -> &Connection {
        &self.connections[member % self.connections.len()]
    }

    /// Waits until `member` has applied everything acknowledged before this call.
    pub async fn barrier(&self, member: usize) {
        let request = pb::RangeRequest {
            key: "barrier".into(),
            ..Default::default()
        };
        // A failure shows in the request that follows.
        let _ = self.at(member).kv.clone().range(request).await;
    }
}
