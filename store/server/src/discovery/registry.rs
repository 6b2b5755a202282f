//! Discovery by another cluster: members put themselves below a token and wait until there are as
//! many as the token says.
//!
//! ```text
//! /_etcd/registry/<token>/_config/size     how many members the cluster begins with
//! /_etcd/registry/<token>/members/<id>     one member: name=url,name=url
//! ```
//!
//! Whoever came first counts, by the revision its key was created at; those who come too late end.

use std::time::Duration;

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb::{
    AuthenticateRequest, PutRequest, RangeRequest, auth_client::AuthClient, kv_client::KvClient,
};
use mainstay_raft::{InitialCluster, Peer};
use mainstay_transport::Resolver;
use tokio::time::{sleep, timeout};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use crate::flags::cluster::Members;
use crate::flags::urls::host_port;
use crate::settings::{Registry, Settings};

const PREFIX: &str = "/_etcd/registry";
/// Between two looks at who has come.
const LOOK: Duration = Duration::from_millis(500);
/// The pause after a failure doubles from a second to this many doublings (etcd).
const DOUBLINGS_MAX: u32 = 8;

/// Puts this member into the list and returns it once it is full.
pub async fn join(
    registry: &Registry,
    settings: &Settings,
    resolver: &Resolver,
) -> Result<Members> {
    let id = own_id(registry, settings);
    let own_key = format!("{PREFIX}/{}/members/{id:x}", registry.token);
    let own_urls: Vec<String> = settings
        .initial_cluster
        .iter()
        .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
        .collect();
    let mut failures = 0_u32;
    let mut put = false;
    loop {
        let seen = attempt(registry, resolver, &own_key, &own_urls.join(","), &mut put).await;
        match seen {
            Ok(seen) => {
                failures = 0;
                if let Some(members) = chosen(&seen, &own_key)? {
                    tracing::info!(members, "discovery is complete");
                    return super::listed(&members);
                }
                sleep(LOOK).await;
            }
            Err(Failed::ForGood(reason)) => bail!("failed to join discovery cluster ({reason})"),
            Err(Failed::ForNow(reason)) => {
                let pause = Duration::from_secs(1 << failures.min(DOUBLINGS_MAX));
                failures = failures.saturating_add(1);
                tracing::warn!(reason, ?pause, "the discovery service is asked again");
                sleep(pause).await;
            }
        }
    }
}

/// The id under which it registers: of its URLs and the token, as etcd computes it.
fn own_id(registry: &Registry, settings: &Settings) -> u64 {
    let own = settings.initial_cluster.iter();
    let own = own.filter(|(name, _)| *name == settings.name);
    let peer = Peer {
        name: settings.name.clone(),
        peer_urls: own.flat_map(|(_, urls)| urls.clone()).collect(),
        joining: false,
    };
    let cluster = InitialCluster {
        members: Vec::new(),
        token: registry.token.clone(),
    };
    cluster.member_id(&peer)
}

/// Who is registered, in the order they came, and how many there are to be.
struct Seen {
    size: usize,
    /// Key and value.
    members: Vec<(String, String)>,
}

enum Failed {
    ForNow(String),
    ForGood(&'static str),
}

/// One round: the size, who is there, and this member too if there is a place.
async fn attempt(
    registry: &Registry,
    resolver: &Resolver,
    own_key: &str,
    own_urls: &str,
    put: &mut bool,
) -> Result<Seen, Failed> {
    let mut service = Service::open(registry, resolver).await?;
    let size = service.size(&registry.token).await?;
    let mut members = service.members(&registry.token).await?;
    if !*put {
        let seen = Seen { size, members };
        let there = seen.members.iter().any(|(key, _)| key == own_key);
        if !there && seen.members.len() >= size {
            return Err(Failed::ForGood("discovery: cluster is full"));
        }
        service.register(own_key, own_urls).await?;
        *put = true;
        members = service.members(&registry.token).await?;
    }
    Ok(Seen { size, members })
}

/// The list once enough have come; an error for one that came too late.
fn chosen(seen: &Seen, own_key: &str) -> Result<Option<String>> {
    let Some(first) = seen.members.get(..seen.size) else {
        return Ok(None);
    };
    if !first.iter().any(|(key, _)| key == own_key) {
        bail!("failed to join discovery cluster (discovery: cluster is full)");
    }
    let values: Vec<&str> = first.iter().map(|(_, value)| value.as_str()).collect();
    Ok(Some(values.join(",")))
}

/// A connection to the service, logged in where that is asked for.
struct Service {
    kv: KvClient<Channel>,
    token: Option<MetadataValue<tonic::metadata::Ascii>>,
    request_timeout: Duration,
}

impl Service {
    async fn open(registry: &Registry, resolver: &Resolver) -> Result<Service, Failed> {
        let mut last = "there is no endpoint".to_owned();
        for url in &registry.endpoints {
            match connect(url, registry.dial_timeout, resolver).await {
                Ok(channel) => return Service::log_in(registry, channel).await,
                Err(reason) => last = format!("{url}: {reason}"),
            }
        }
        Err(Failed::ForNow(last))
    }

    async fn log_in(registry: &Registry, channel: Channel) -> Result<Service, Failed> {
        let mut token = None;
        if let Some((name, password)) = registry.login.clone() {
            let mut auth = AuthClient::new(channel.clone());
            let answer = auth.authenticate(AuthenticateRequest { name, password });
            let answer = within(registry.request_timeout, answer).await?;
            let given = MetadataValue::try_from(answer.into_inner().token);
            token = Some(given.map_err(|_| Failed::ForGood("discovery: the token is no text"))?);
        }
        Ok(Service {
            kv: KvClient::new(channel),
            token,
            request_timeout: registry.request_timeout,
        })
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    async fn size(&mut self, token: &str) -> Result<usize, Failed> {
        let key = format!("{PREFIX}/{token}/_config/size");
        let range = self.request(RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        });
        let found = within(self.request_timeout, self.kv.range(range)).await?;
        let found = found.into_inner().kvs;
        let size = found.first();
        let size = size.ok_or(Failed::ForGood("discovery: size key not found"))?;
        let size = std::str::from_utf8(&size.value).ok();
        let size = size
            .and_then(|text| text.parse().ok())
            .filter(|size| *size > 0);
        size.ok_or(Failed::ForGood("discovery: size key is bad"))
    }

    async fn members(&mut self, token: &str) -> Result<Vec<(String, String)>, Failed> {
        // The end of the range is the prefix with its last byte, a slash, one higher.
        let range = self.request(RangeRequest {
            key: format!("{PREFIX}/{token}/members/").into(),
            range_end: format!("{PREFIX}/{token}/members0").into(),
            ..RangeRequest::default()
        });
        let found = within(self.request_timeout, self.kv.range(range)).await?;
        let mut found = found.into_inner().kvs;
        found.sort_by_key(|kv| kv.create_revision);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let members = found.iter().map(|kv| (text(&kv.key), text(&kv.value)));
        // What is no list of URLs was put there by somebody else.
        Ok(members.filter(|(_, value)| value.contains('=')).collect())
    }

    async fn register(&mut self, key: &str, urls: &str) -> Result<(), Failed> {
        let put = self.request(PutRequest {
            key: key.to_owned().into(),
            value: urls.to_owned().into(),
            ..PutRequest::default()
        });
        within(self.request_timeout, self.kv.put(put)).await?;
        Ok(())
    }
}

async fn within<T, E: std::fmt::Display>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Failed> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Failed::ForNow(error.to_string())),
        Err(_) => Err(Failed::ForNow("it did not answer in time".to_owned())),
    }
}

/// Connects to an address that our own resolver has found, and names the host it asked for.
async fn connect(url: &str, limit: Duration, resolver: &Resolver) -> Result<Channel, String> {
    let (host, port) = host_port(url).ok_or("it has no port")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = resolver.lookup(bare).await;
    let addresses = addresses.map_err(|error| error.to_string())?;
    let mut last = "it has no address".to_owned();
    for ip in addresses {
        let at = std::net::SocketAddr::new(ip, port);
        let origin = url.parse().map_err(|_| "it is no URL")?;
        let endpoint = Endpoint::from_shared(format!("http://{at}"));
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let endpoint = endpoint.origin(origin).connect_timeout(limit);
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: usize, keys: &[&str]) -> Seen {
        let member = |key: &&str| ((*key).to_owned(), format!("{key}=http://{key}:1"));
        Seen {
            size,
            members: keys.iter().map(member).collect(),
        }
    }

    #[test]
    fn the_first_to_come_are_the_cluster() {
        assert_eq!(chosen(&seen(2, &["a"]), "a").unwrap(), None);
        let list = "a=http://a:1,b=http://b:1";
        let full = chosen(&seen(2, &["a", "b", "c"]), "b").unwrap();
        assert_eq!(full.as_deref(), Some(list));
        let late = chosen(&seen(2, &["a", "b", "c"]), "c").unwrap_err();
        assert!(late.to_string().contains("cluster is full"), "{late}");
    }
}
