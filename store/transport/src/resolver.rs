//! Names to addresses, for every dialler.
//!
//! The C library's resolver loads code at run time, which a static program in an empty image does
//! not have; so names are resolved in here, by the same `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// Longest wait for one name server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer is kept, found or not. A pod that comes back has another address at once,
/// whatever the time to live of the old one said.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// Asks the name servers of the system; clones share what they have learnt.
#[derive(Clone)]
pub struct Resolver(Arc<TokioResolver>);

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("the resolver could not be set up: {0}")]
    Settings(String),
    #[error("{name} does not resolve: {reason}")]
    Lookup { name: String, reason: String },
}

impl Resolver {
    /// Reads the system's settings. Without usable ones only addresses and the names of the hosts
    /// file resolve.
    pub fn system() -> Result<Resolver, ResolveError> {
        let settings = |error: &dyn fmt::Display| ResolveError::Settings(error.to_string());
        let mut builder = match TokioResolver::builder_tokio() {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "no name server is known; only the hosts file resolves");
                let provider = TokioRuntimeProvider::default();
                TokioResolver::builder_with_config(ResolverConfig::default(), provider)
            }
        };
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.positive_max_ttl = Some(KEPT_MAX);
        options.negative_max_ttl = Some(KEPT_MAX);
        let resolver = builder.build().map_err(|error| settings(&error))?;
        Ok(Resolver(Arc::new(resolver)))
    }

    /// The addresses of a name, or the address itself if it is one.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        // RFC 6761: this name never leaves the machine.
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        let failed = |reason: String| ResolveError::Lookup {
            name: name.to_owned(),
            reason,
        };
        let found = self.0.lookup_ip(name).await;
        let found: Vec<IpAddr> = found
            .map_err(|error| failed(error.to_string()))?
            .iter()
            .collect();
        match found.is_empty() {
            true => Err(failed("it has no address".to_owned())),
            false => Ok(found),
        }
    }

    /// Where a service is offered, by its SRV records: hosts without a trailing dot, the most wanted
    /// first.
    pub async fn services(&self, name: &str) -> Result<Vec<(String, u16)>, ResolveError> {
        let found = self.0.srv_lookup(name).await;
        let found = found.map_err(|error| ResolveError::Lookup {
            name: name.to_owned(),
            reason: error.to_string(),
        })?;
        let records = found.answers().iter();
        let mut services: Vec<_> = records
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some(service),
                _ => None,
            })
            .map(|service| {
                let host = service.target.to_utf8();
                let host = host.trim_end_matches('.').to_owned();
                (service.priority, host, service.port)
            })
            .collect();
        services.sort();
        Ok(services
            .into_iter()
            .map(|(_, host, port)| (host, port))
            .collect())
    }

    /// The names of an address, without a trailing dot; none if it has none.
    pub async fn names_of(&self, address: IpAddr) -> Vec<String> {
        let Ok(found) = self.0.reverse_lookup(address).await else {
            return Vec::new();
        };
        let name = |data: &RData| match data {
            RData::PTR(name) => Some(name.to_utf8().trim_end_matches('.').to_owned()),
            _ => None,
        };
        let answers = found.answers().iter();
        answers.filter_map(|record| name(&record.data)).collect()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_localhost_need_no_name_server() {
        let resolver = Resolver::system().unwrap();
        for (name, address) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::1", "::1"),
            ("LocalHost", "127.0.0.1"),
        ] {
            let found = resolver.lookup(name).await.unwrap();
            assert_eq!(found, [address.parse::<IpAddr>().unwrap()]);
        }
    }
}
