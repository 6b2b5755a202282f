use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_pki::{Authority, Leaf, Pair, replace};
use rustls::ClientConfig;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::client::{channel, config, dial, put};
use super::site::{REVOKED_LATER, Site, client_leaf};
use crate::tally::Tally;

/// How long a change of files may take to be in force everywhere.
const RELOAD_WAIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Between two requests of the load.
const PACE: Duration = Duration::from_millis(5);

/// Leaf, CA and list are changed one after another, under a load that must not notice.
pub async fn run(site: &Site, tally: &mut Tally) {
    let since = Instant::now();
    let outcome = async {
        let load =
            Load::start(site, config(&site.trusted(), Some(&site.client), &[b"h2"])?).await?;
        leaf(site, &site.clients).await.context("leaf")?;
        revocation(site).await.context("revocation list")?;
        load.stop().await.context("load")
    };
    match outcome.await {
        Ok(done) => {
            println!("{done} requests while leaf and list changed");
            tally.pass("tls rotation of leaf and list under load", since);
        }
        Err(error) => tally.fail(
            "tls rotation of leaf and list under load",
            &format!("  {error:#}"),
        ),
    }
    let since = Instant::now();
    match authority(site).await {
        Ok(done) => {
            println!("{done} requests while the CA changed");
            tally.pass("tls rotation of the CA under load", since);
        }
        Err(error) => tally.fail("tls rotation of the CA under load", &format!("  {error:#}")),
    }
}

/// New certificates for all members; a new connection sees them.
async fn leaf(site: &Site, authority: &Authority) -> Result<()> {
    let trusting = config(&site.trusted(), Some(&site.client), &[b"h2"])?;
    let port = site.peers[0].client_port;
    let before = shown(port, &trusting).await?;
    let counts = reloads(site, "client").await?;
    for peer in &site.peers {
        authority.write(site.dir(), &peer.name, &Leaf::default())?;
    }
    loaded(site, "client", &counts).await?;
    match shown(port, &trusting).await? == before {
        true => bail!("the old certificate is still shown"),
        false => Ok(()),
    }
}

/// The certificate that a member shows.
async fn shown(port: u16, config: &Arc<ClientConfig>) -> Result<Vec<u8>> {
    let stream = dial(port, config.clone()).await?;
    let shown = stream.get_ref().1.peer_certificates();
    Ok(shown
        .and_then(<[_]>::first)
        .context("no certificate")?
        .to_vec())
}

/// A client that is in is put out, and does not come in again.
async fn revocation(site: &Site) -> Result<()> {
    let pair = site
        .clients
        .write(site.dir(), "later", &client_leaf(REVOKED_LATER))?;
    let connected = connected(site, &pair).await?;
    let counts = reloads(site, "client").await?;
    replace(
        &site.path("clients.crl"),
        &site.clients.revoke(&[REVOKED_LATER])?,
    )?;
    loaded(site, "client", &counts).await?;
    cut_off(site, &pair, &connected).await
}

async fn connected(site: &Site, pair: &Pair) -> Result<Channel> {
    let config = config(&site.trusted(), Some(pair), &[b"h2"])?;
    let channel = channel(site.peers[0].client_port, config).await?;
    put(&channel, "rotation/before").await?;
    Ok(channel)
}

/// Neither the open connection nor a new one serves this client.
async fn cut_off(site: &Site, pair: &Pair, open: &Channel) -> Result<()> {
    // The connection is closed when its task next runs.
    let deadline = Instant::now() + RELOAD_WAIT;
    while put(open, "rotation/after").await.is_ok() {
        if Instant::now() > deadline {
            bail!("an open connection goes on");
        }
        tokio::time::sleep(LOOK).await;
    }
    match connected(site, pair).await {
        Ok(_) => bail!("a new connection is let in"),
        Err(_) => Ok(()),
    }
}

/// Both CAs are trusted, then every certificate comes from the new one, then the old one goes.
async fn authority(site: &Site) -> Result<usize> {
    let new = Authority::new("clients anew")?;
    let trusted = site.trusted();
    let counts = reloads(site, "client").await?;
    replace(&trusted, &(site.clients.pem() + &new.pem()))?;
    // A list of the old CA says nothing of the new one, and stays.
    loaded(site, "client", &counts).await?;
    let old = connected(site, &site.client).await?;
    let pair = new.write(site.dir(), "anew", &client_leaf(1))?;
    let load = Load::start(site, config(&trusted, Some(&pair), &[b"h2"])?).await?;
    leaf_by(site, &new).await?;
    let counts = reloads(site, "client").await?;
    replace(&trusted, &new.pem())?;
    replace(&site.path("clients.crl"), &new.revoke(&[])?)?;
    loaded(site, "client", &counts).await?;
    cut_off(site, &site.client, &old).await?;
    load.stop().await
}

/// Certificates of another CA; who trusts both sees no difference.
async fn leaf_by(site: &Site, authority: &Authority) -> Result<()> {
    let counts = reloads(site, "client").await?;
    for peer in &site.peers {
        authority.write(site.dir(), &peer.name, &Leaf::default())?;
    }
    loaded(site, "client", &counts).await
}

async fn reloads(site: &Site, side: &str) -> Result<Vec<f64>> {
    let sample = format!("mainstay_tls_reloads_total{{side=\"{side}\"}}");
    let mut counts = Vec::new();
    for member in 0..site.peers.len() {
        counts.push(site.metric(member, &sample).await?);
    }
    Ok(counts)
}

/// Waits until every member has read its files anew, and for as long as it goes on doing so: a look
/// may have fallen between two of the files written.
async fn loaded(site: &Site, side: &str, before: &[f64]) -> Result<()> {
    let deadline = Instant::now() + RELOAD_WAIT;
    loop {
        let now = reloads(site, side).await?;
        if now.iter().zip(before).all(|(now, before)| now > before) {
            // One more look than the members take, so that none of them is half-way.
            tokio::time::sleep(2 * RELOAD_INTERVAL).await;
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("files were not read anew: {before:?}, {now:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How often members look at their files.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Requests of a valid client to every member: on connections that stay, and each now and then on
/// a new one.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    async fn start(site: &Site, config: Arc<ClientConfig>) -> Result<Load> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = Vec::new();
        for peer in &site.peers {
            let port = peer.client_port;
            let kept = channel(port, config.clone()).await?;
            let (stop, done, config) = (Arc::clone(&stop), Arc::clone(&done), config.clone());
            tasks.push(tokio::spawn(async move {
                for turn in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    put(&kept, "rotation/kept")
                        .await
                        .context("on a kept connection")?;
                    if turn.is_multiple_of(10) {
                        let new = channel(port, config.clone()).await?;
                        put(&new, "rotation/new")
                            .await
                            .context("on a new connection")?;
                    }
                    AtomicUsize::fetch_add(&done, 1, Ordering::Relaxed);
                    tokio::time::sleep(PACE).await;
                }
                Ok(())
            }));
        }
        Ok(Load { stop, done, tasks })
    }

    /// How many requests were answered; an error if one was not.
    async fn stop(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        match self.done.load(Ordering::Relaxed) {
            0 => bail!("no request was made"),
            done => Ok(done),
        }
    }
}
