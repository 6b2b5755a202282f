//! Certificates that are exchanged while a client is at work.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mainstay_client::{Client, TlsFiles};
use mainstay_pki::{Authority, Leaf, replace};

use super::watching::words;
use super::{Site, put_surely, soon};

/// The client's own file of authorities; its certificate lies beside it as `own.crt`.
const TRUSTED: &str = "own-ca.crt";
const PAUSE: Duration = Duration::from_millis(20);

/// The files are replaced, authority and all, and members ask for the new ones only: the client goes
/// on, and its watch tells each write once. One that was built of the old files cannot connect.
pub async fn authority(site: &mut Site<'_>) -> Result<()> {
    let dir = site.cluster.dir().to_owned();
    let former = site
        .cluster
        .secure
        .as_ref()
        .context("no certificates")?
        .authority();
    let next = Authority::new("next")?;
    let both = format!("{}{}", former.pem(), next.pem());
    let client_leaf = Leaf {
        common_name: String::new(),
        for_servers: false,
        ..Leaf::default()
    };
    let pair = former.write(&dir, "own", &client_leaf)?;
    replace(&dir.join(TRUSTED), &former.pem())?;
    let files = TlsFiles {
        trusted_ca: Some(dir.join(TRUSTED)),
        pair: Some((pair.cert, pair.key)),
        skip_verify: false,
    };
    let stale = stale_copy(&dir, &files)?;
    let endpoints: Vec<String> = site
        .cluster
        .peers
        .iter()
        .map(|peer| peer.client_url())
        .collect();
    let build = |files: TlsFiles| Client::builder().endpoints(&endpoints).tls(files).build();
    let client = build(files.clone())?;
    let mut watch = client.watch("t/").prefix().await?;
    let first = watch.next_revision();
    let watching = tokio::spawn(async move {
        let mut told = Vec::new();
        loop {
            let new = words(&mut watch, 1).await?;
            let last = new.iter().any(|word| word.contains("t/end="));
            told.extend(new);
            if last {
                return anyhow::Ok(told);
            }
        }
    });
    let (writer, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    let writing = tokio::spawn(async move {
        for at in 0.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            put_surely(&writer, &format!("t/{}", at % 7), &at.to_string()).await?;
            tokio::time::sleep(PAUSE).await;
        }
        put_surely(&writer, "t/end", "").await
    });
    // Both are trusted on both sides before anybody shows a certificate of the new one.
    let ca = site
        .cluster
        .secure
        .as_ref()
        .context("no certificates")?
        .ca
        .clone();
    replace(&ca, &both)?;
    replace(&dir.join(TRUSTED), &both)?;
    restart_all(site, &files).await?;
    next.write(&dir, "own", &client_leaf)?;
    for peer in &site.cluster.peers {
        next.write(&dir, &peer.name, &Leaf::default())?;
    }
    restart_all(site, &files).await?;
    replace(&ca, &next.pem())?;
    replace(&dir.join(TRUSTED), &next.pem())?;
    restart_all(site, &files).await?;

    let before = client.get("t/").prefix().await?.revision;
    soon("a write afterwards", put_surely(&client, "t/after", "")).await??;
    ensure!(client.get("t/").prefix().await?.revision > before);
    stop.store(true, Ordering::Relaxed);
    soon("the writes", writing).await???;
    let told = soon("the watch", watching).await???;
    let history = client.watch("t/").prefix().from_revision(first);
    let history = words(&mut history.await?, told.len()).await?;
    for (told, there) in told.iter().zip(&history) {
        ensure!(told == there, "told {told}, but there is {there}");
    }
    match build(stale)?.get("t/").within(Duration::from_secs(3)).await {
        Err(error) if error.to_string().contains("certificate") => Ok(()),
        Err(error) => Err(error).context("not for its certificate"),
        Ok(_) => bail!("the certificates of before still open the door"),
    }
}

/// The files as they are now, where nobody replaces them.
fn stale_copy(dir: &Path, files: &TlsFiles) -> Result<TlsFiles> {
    let copy = |from: &Path, name: &str| -> Result<_> {
        let to = dir.join(name);
        std::fs::copy(from, &to)?;
        Ok(to)
    };
    let (certificate, key) = files.pair.as_ref().context("no certificate")?;
    let trusted = files.trusted_ca.as_ref().context("no authority")?;
    Ok(TlsFiles {
        trusted_ca: Some(copy(trusted, "stale-ca.crt")?),
        pair: Some((copy(certificate, "stale.crt")?, copy(key, "stale.key")?)),
        skip_verify: false,
    })
}

/// One after the other, each serving again before the next: etcd reads its authorities at a start.
async fn restart_all(site: &mut Site<'_>, files: &TlsFiles) -> Result<()> {
    for peer in &mut site.cluster.peers {
        peer.terminate().await?;
        peer.restart()?;
        let client = Client::builder()
            .endpoint(peer.client_url())
            .tls(files.clone());
        let client = client.build()?;
        soon(
            "a write at it",
            put_surely(&client, "restarted", &peer.name),
        )
        .await??;
    }
    Ok(())
}
