//! Finding the initial cluster where it is not given: in the DNS, or in another cluster that keeps
//! the list (`registry.rs`).
//!
//! Names and keys are etcd's, so both products find each other's lists.

mod registry;

use anyhow::{Context as _, Result, bail};
use mainstay_transport::Resolver;

use crate::flags::cluster::{self, Members};
use crate::settings::{Discovery, Settings};

/// The members of the cluster to form, this one among them.
pub async fn members(
    discovery: &Discovery,
    settings: &Settings,
    resolver: &Resolver,
) -> Result<Members> {
    match discovery {
        Discovery::Srv { domain, suffix } => by_srv(domain, suffix, settings, resolver).await,
        Discovery::Registry(registry) => registry::join(registry, settings, resolver).await,
    }
}

/// What SRV records say: `_etcd-server-ssl._tcp` for https and `_etcd-server._tcp` for http. The
/// record that leads to this member's own address bears its name, the others a number.
async fn by_srv(
    domain: &str,
    suffix: &str,
    settings: &Settings,
    resolver: &Resolver,
) -> Result<Members> {
    let suffix = match suffix {
        "" => String::new(),
        suffix => format!("-{suffix}"),
    };
    let own = own_addresses(settings, resolver).await?;
    let mut found = Vec::new();
    let mut reasons = Vec::new();
    for (scheme, service) in [("https", "etcd-server-ssl"), ("http", "etcd-server")] {
        let name = format!("_{service}{suffix}._tcp.{domain}.");
        match resolver.services(&name).await {
            Ok(services) => found.extend(
                services
                    .into_iter()
                    .map(|(host, port)| (scheme, host, port)),
            ),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if found.is_empty() {
        bail!("error querying DNS SRV records: {}", reasons.join("; "));
    }
    let mut entries = Vec::new();
    let mut others = 0;
    for (scheme, host, port) in &found {
        let is_own = match resolver.lookup(host).await {
            Ok(addresses) => addresses.iter().any(|ip| own.contains(&(*ip, *port))),
            Err(error) => {
                tracing::warn!(%error, "a member of the SRV records has no address");
                false
            }
        };
        let name = match is_own {
            true => settings.name.clone(),
            false => others.to_string(),
        };
        others += usize::from(!is_own);
        entries.push(format!("{name}={scheme}://{host}:{port}"));
    }
    tracing::info!(
        domain,
        members = entries.join(","),
        "initial cluster found by SRV records"
    );
    let members = listed(&entries.join(","))?;
    if !members.iter().any(|(name, _)| *name == settings.name) {
        bail!(
            "cannot find local etcd member {:?} in SRV records",
            settings.name
        );
    }
    Ok(members)
}

/// The addresses that this member says it is reached at.
async fn own_addresses(
    settings: &Settings,
    resolver: &Resolver,
) -> Result<Vec<(std::net::IpAddr, u16)>> {
    let mut own = Vec::new();
    for (_, urls) in settings
        .initial_cluster
        .iter()
        .filter(|(name, _)| *name == settings.name)
    {
        for url in urls {
            let Some((host, port)) = crate::flags::urls::host_port(url) else {
                continue;
            };
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let addresses = resolver.lookup(bare).await;
            let addresses = addresses.with_context(|| format!("own peer url {url}"))?;
            own.extend(addresses.into_iter().map(|ip| (ip, port)));
        }
    }
    Ok(own)
}

/// A list that somebody else has written.
fn listed(text: &str) -> Result<Members> {
    cluster::parse(text).map_err(|reason| anyhow::anyhow!("discovered cluster {text:?}: {reason}"))
}
