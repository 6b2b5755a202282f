use std::pin::Pin;

use anyhow::{Context, Result};

use super::site::Site;
use crate::cluster::{Cluster, Plan};
use crate::ports::free_port;

/// Names the list in the cluster that keeps it.
const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c817f0fb83";
const REGISTRY: &str = "/_etcd/registry";

pub(super) type Done<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A place for member `at`, with all flags but those that say where the others are.
pub(super) fn seat(site: &mut Site, at: usize, host: &str) -> Result<()> {
    let ports = (free_port()?, free_port()?);
    let binary = site.binary().to_owned();
    site.cluster.seat(&binary, format!("m{at}"), ports);
    site.name_ports(at);
    listen(site, at, "http", host);
    Ok(())
}

/// Where it listens, and what it says of that: addresses to clients, a host to members.
pub(super) fn listen(site: &mut Site, at: usize, scheme: &str, host: &str) {
    let peer = site.peer(at);
    let client = format!("{scheme}://127.0.0.1:{}", peer.client_port);
    let port = peer.peer_port;
    peer.set_flags([
        format!("--name=m{at}"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={scheme}://127.0.0.1:{port}"),
        format!("--initial-advertise-peer-urls={scheme}://{host}:{port}"),
    ]);
}

/// Two members find each other by a registry, and a third comes too late.
pub fn registry(site: &mut Site) -> Done<'_> {
    Box::pin(async move {
        let service = site.cluster.peers[0].client_url();
        let size = format!("{REGISTRY}/{TOKEN}/_config/size");
        site.ctl(0, &["put", &size, "2"]).await?;
        for at in 1..=3 {
            seat(site, at, "127.0.0.1")?;
            site.peer(at).set_flags([
                format!("--discovery-token={TOKEN}"),
                format!("--discovery-endpoints={service}"),
            ]);
        }
        for at in 1..=2 {
            site.peer(at).restart()?;
        }
        for at in 1..=2 {
            site.until_done(at, &["put", "k", "v"]).await?;
        }
        site.learn_ids(1).await?;
        site.show(1, &["member", "list"]).await?;
        site.show(0, &["get", "", "--prefix"]).await?;
        site.peer(3).restart()?;
        site.end_of(3).await?;
        site.note_log(3, &["discovery: cluster is full"]);
        site.show(0, &["get", "", "--prefix", "--keys-only"])
            .await?;
        // The list has served its purpose: a restart asks nobody.
        site.peer(0).kill().await?;
        site.peer(2).kill().await?;
        site.peer(2).restart()?;
        site.until_done(2, &["put", "k", "again"]).await.map(drop)
    })
}

/// The same with a registry in an etcd that speaks TLS, asks for a certificate and knows users.
pub fn secure_registry(site: &mut Site) -> Done<'_> {
    Box::pin(async move {
        let service = Cluster::start(&Plan::new(site.etcd(), "etcd", 1).tls(true)).await?;
        let flags = service.command_flags();
        let own: Vec<&str> = flags.iter().map(String::as_str).collect();
        let size = format!("{REGISTRY}/{TOKEN}/_config/size");
        for args in [
            &["put", &size, "2"][..],
            &["user", "add", "root:secret"],
            &["user", "grant-role", "root", "root"],
            &["role", "add", "joiner"],
            &[
                "role",
                "grant-permission",
                "joiner",
                "readwrite",
                "--prefix",
                REGISTRY,
            ],
            &["user", "add", "joiner:joins"],
            &["user", "grant-role", "joiner", "joiner"],
            &["auth", "enable"],
        ] {
            site.must(&[], &[&own[..], args].concat()).await?;
        }
        let secure = service.secure.as_ref();
        let secure = secure.map(|secure| (secure.ca.display(), &secure.client));
        let (ca, pair) = secure.context("no certificates")?;
        let cert = format!("--discovery-cert={}", pair.cert.display());
        let key = format!("--discovery-key={}", pair.key.display());
        let ca = format!("--discovery-cacert={ca}");
        let url = service.peers[0].client_url();
        let bare = url.trim_start_matches("https://");
        // By a scheme and an authority; by files alone and taking any server; with a wrong password.
        let any = "--discovery-insecure-skip-tls-verify".to_owned();
        for (at, endpoint, trust, password) in [
            (1, url.as_str(), &ca, "joins"),
            (2, bare, &any, "joins"),
            (3, url.as_str(), &ca, "guess"),
        ] {
            seat(site, at, "127.0.0.1")?;
            site.peer(at).set_flags([
                format!("--discovery-token={TOKEN}"),
                format!("--discovery-endpoints={endpoint}"),
                "--discovery-user=joiner".to_owned(),
                format!("--discovery-password={password}"),
                cert.clone(),
                key.clone(),
                trust.clone(),
            ]);
        }
        site.peer(3).restart()?;
        site.end_of(3).await?;
        site.note_log(3, &["invalid user ID or password"]);
        for at in 1..=2 {
            site.peer(at).restart()?;
        }
        for at in 1..=2 {
            site.until_done(at, &["put", "k", "v"]).await?;
        }
        site.learn_ids(1).await?;
        site.show(1, &["member", "list"]).await?;
        let kept = ["--user=root:secret", "get", "", "--prefix"];
        let kept = site.must(&[], &[&own[..], &kept].concat()).await?;
        site.note_lines(&kept.text);
        Ok(())
    })
}
