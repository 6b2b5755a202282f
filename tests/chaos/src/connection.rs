//! Raw gRPC clients of one member: no balancing, no retry, one channel.

use std::time::Duration;

use mainstay_proto::etcdserverpb::{
    cluster_client::ClusterClient, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient,
};
use tonic::transport::{Channel, Endpoint};

/// How long a TCP connect to loopback may take before the member counts as not listening.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The largest message taken from a server. etcd sends watch responses of any size.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// One connection to one member. It is opened by the first request and again after each loss.
#[derive(Clone, Debug)]
pub struct Connection {
    pub member: u32,
    channel: Channel,
}

impl Connection {
    /// # Errors
    /// If the port does not make a URL, which it always does.
    pub fn new(member: u32, port: u16) -> anyhow::Result<Connection> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Connection::over(member, endpoint.connect_lazy()))
    }

    /// Over a channel of the caller's.
    #[must_use]
    pub fn over(member: u32, channel: Channel) -> Connection {
        Connection { member, channel }
    }

    #[must_use]
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    #[must_use]
    pub fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    #[must_use]
    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    #[must_use]
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// The channel itself, for what no client can send.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    #[must_use]
    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }
}
