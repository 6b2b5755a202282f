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

use anyhow::{Context as _, Result, bail};
use mainstay_api::Error;
use mainstay_proto::etcdserverpb::{
    AuthenticateRequest, PutRequest, RangeRequest, auth_client::AuthClient, kv_client::KvClient,
};
use mainstay_raft::{InitialCluster, Peer};
use mainstay_transport::{ClientTls, Resolver};
use tokio::time::{sleep, timeout};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::dial;
use crate::flags::cluster::Members;
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
    let tls = registry.tls.as_ref();
    let tls = tls.map(|files| ClientTls::open(files, &[b"h2"]));
    let id = own_id(registry, settings);
    let own_urls: Vec<String> = settings
        .initial_cluster
        .iter()
        .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
        .collect();
    let mut visitor = Visitor {
        registry,
        resolver,
        tls: tls.transpose().context("TLS with the discovery service")?,
        own_key: format!("{PREFIX}/{}/members/{id:x}", registry.token),
        own_urls: own_urls.join(","),
        is_registered: false,
        service: None,
    };
    let mut failures = 0_u32;
    loop {
        match visitor.attempt().await {
            Ok(seen) => {
                failures = 0;
                if let Some(members) = chosen(&seen, &visitor.own_key)? {
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

impl Failed {
    fn silent() -> Failed {
        Failed::ForNow("it did not answer in time".to_owned())
    }
}

/// This member on its visits to the service.
struct Visitor<'a> {
    registry: &'a Registry,
    resolver: &'a Resolver,
    tls: Option<ClientTls>,
    own_key: String,
    own_urls: String,
    is_registered: bool,
    /// Kept between visits that go well: a log-in costs the service a hash of the password.
    service: Option<Service>,
}

impl Visitor<'_> {
    /// One round: the size, who is there, and this member too if there is a place.
    async fn attempt(&mut self) -> Result<Seen, Failed> {
        let mut service = match self.service.take() {
            Some(service) => service,
            None => Service::open(self.registry, self.tls.as_ref(), self.resolver).await?,
        };
        let token = &self.registry.token;
        let size = service.size(token).await?;
        let mut members = service.members(token).await?;
        if !self.is_registered {
            let there = members.iter().any(|(key, _)| *key == self.own_key);
            if !there && members.len() >= size {
                return Err(Failed::ForGood("discovery: cluster is full"));
            }
            service.register(&self.own_key, &self.own_urls).await?;
            self.is_registered = true;
            members = service.members(token).await?;
        }
        self.service = Some(service);
        Ok(Seen { size, members })
    }
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
    async fn open(
        registry: &Registry,
        tls: Option<&ClientTls>,
        resolver: &Resolver,
    ) -> Result<Service, Failed> {
        let mut last = "there is no endpoint".to_owned();
        for url in &registry.endpoints {
            let limit = registry.dial_timeout;
            match dial::channel(url, tls.cloned(), limit, resolver.clone()).await {
                Ok(channel) => return Service::log_in(registry, channel).await,
                Err(error) => last = format!("{error:#}"),
            }
        }
        Err(Failed::ForNow(last))
    }

    async fn log_in(registry: &Registry, channel: Channel) -> Result<Service, Failed> {
        let mut token = None;
        if let Some((name, password)) = registry.login.clone() {
            let mut auth = AuthClient::new(channel.clone());
            let answer = auth.authenticate(AuthenticateRequest { name, password });
            let answer = timeout(registry.request_timeout, answer).await;
            token = match answer.map_err(|_| Failed::silent())? {
                Ok(answer) => {
                    let given = MetadataValue::try_from(answer.into_inner().token);
                    let given = given.map_err(|_| "discovery: the token is no text");
                    Some(given.map_err(Failed::ForGood)?)
                }
                // Then it wants to know of no token either.
                Err(status) if status.message() == Error::AuthNotEnabled.text() => None,
                Err(status) if status.message() == Error::AuthFailed.text() => {
                    return Err(Failed::ForGood(Error::AuthFailed.text()));
                }
                Err(status) => return Err(Failed::ForNow(status.to_string())),
            };
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
        Err(_) => Err(Failed::silent()),
    }
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
