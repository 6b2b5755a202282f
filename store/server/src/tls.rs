//! TLS of both sides, from settings to what listeners and diallers hold.

use std::path::Path;

use anyhow::{Context as _, Result};
use mainstay_transport::{Files, Resolver, Side, Tls, self_signed};

use crate::settings::{ListenUrl, Settings, TlsCertificate, TlsSettings};

/// Where certificates of a member's own making lie in its data directory; etcd's names.
const FIXTURES: &str = "fixtures";

/// What every listener and dialler of this process is made with.
pub struct Sides {
    pub client: Option<Tls>,
    pub peer: Option<Tls>,
    pub resolver: Resolver,
}

impl Sides {
    pub fn all(&self) -> Vec<Tls> {
        [&self.client, &self.peer]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

/// Reads the files that flags name, so that a wrong one is found before anything is created.
pub fn check(settings: &Settings) -> Result<()> {
    let resolver = Resolver::system()?;
    for (side, tls) in [
        (Side::Client, &settings.client_tls),
        (Side::Peer, &settings.peer_tls),
    ] {
        if let Some(TlsSettings {
            certificate: TlsCertificate::Files(files),
            policy,
        }) = tls
        {
            open_side(side, files.clone(), policy.clone(), &resolver)?;
        }
    }
    Ok(())
}

/// Opens both sides and keeps them loaded.
pub fn open(settings: &Settings) -> Result<Sides> {
    let resolver = Resolver::system()?;
    let client = settings.client_tls.as_ref();
    let client_urls = [
        &settings.listen_client[..],
        &settings.listen_client_http[..],
        &settings.listen_metrics[..],
    ]
    .concat();
    let client = client
        .map(|tls| {
            side(
                Side::Client,
                tls,
                &settings.data_dir,
                &client_urls,
                &resolver,
            )
        })
        .transpose()?;
    let peer = settings.peer_tls.as_ref();
    let peer = peer
        .map(|tls| {
            side(
                Side::Peer,
                tls,
                &settings.data_dir,
                &settings.listen_peer,
                &resolver,
            )
        })
        .transpose()?;
    for tls in [&client, &peer].into_iter().flatten() {
        tokio::spawn(tls.clone().keep_loaded());
    }
    Ok(Sides {
        client,
        peer,
        resolver,
    })
}

fn side(
    side: Side,
    settings: &TlsSettings,
    data_dir: &Path,
    urls: &[ListenUrl],
    resolver: &Resolver,
) -> Result<Tls> {
    let files = match &settings.certificate {
        TlsCertificate::Files(files) => files.clone(),
        TlsCertificate::SelfSigned { years } => {
            let dir = data_dir.join(FIXTURES).join(side.label());
            let hosts: Vec<String> = urls
                .iter()
                .map(|url| url.address.ip().to_string())
                .collect();
            self_signed(&dir, &hosts, *years)?
        }
    };
    open_side(side, files, settings.policy.clone(), resolver)
}

fn open_side(
    side: Side,
    files: Files,
    policy: mainstay_transport::Policy,
    resolver: &Resolver,
) -> Result<Tls> {
    let opened = Tls::open(side, files, policy, resolver.clone());
    opened.with_context(|| format!("TLS of the {} side", side.label()))
}
