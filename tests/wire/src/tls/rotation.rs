use std::future::Future;
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
use xtask::tally::Tally;

/// How long a change of files may take to be in force everywhere.
const RELOAD_WAIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Between two requests of the load.
const PACE: Duration = Duration::from_millis(5);

/// Leaf, CA and list are changed one after another, under a load that must not notice.
pub async fn run(site: &Site, tally: &mut Tally) {
    let since = Instant::now();
    let outcome = async {
        let trusting = config(&site.trusted(), Some(&site.client), &[b"h2"])?;
        let load = Load::start(site, trusting.clone()).await?;
        leaf(site, &site.clients, &trusting).await.context("leaf")?;
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

/// New certificates for all members; new connections see them.
async fn leaf(site: &Site, authority: &Authority, trusting: &Arc<ClientConfig>) -> Result<()> {
    let mut before = Vec::new();
    for peer in &site.peers {
        before.push(shown(peer.client_port, trusting).await?);
        authority.write(site.dir(), &peer.name, &Leaf::default())?;
    }
    for (peer, before) in site.peers.iter().zip(before) {
        let changed = || async { Ok(shown(peer.client_port, trusting).await? != before) };
        until("another certificate is shown", changed).await?;
    }
    Ok(())
}

/// Asks until it is so.
async fn until<F: Future<Output = Result<bool>>>(what: &str, holds: impl Fn() -> F) -> Result<()> {
    let deadline = Instant::now() + RELOAD_WAIT;
    while !holds().await? {
        if Instant::now() > deadline {
            bail!("not within {RELOAD_WAIT:?}: {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
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
    let leaf = client_leaf(REVOKED_LATER);
    let pair = site.clients.write(site.dir(), "later", &leaf)?;
    let open = connected(site, &pair).await?;
    let list = site.clients.revoke(&[REVOKED_LATER])?;
    replace(&site.path("clients.crl"), &list)?;
    cut_off(site, &pair, &open).await
}

async fn connected(site: &Site, pair: &Pair) -> Result<Channel> {
    let config = config(&site.trusted(), Some(pair), &[b"h2"])?;
    let channel = channel(site.peers[0].client_port, config).await?;
    put(&channel, "rotation/before").await?;
    Ok(channel)
}

/// Neither the open connection nor a new one serves this client any more.
async fn cut_off(site: &Site, pair: &Pair, open: &Channel) -> Result<()> {
    until("the open connection ends", || async {
        Ok(put(open, "rotation/after").await.is_err())
    })
    .await?;
    match connected(site, pair).await {
        Ok(_) => bail!("a new connection is let in"),
        Err(_) => Ok(()),
    }
}

/// Both CAs are trusted, then every certificate comes from the new one, then the old one goes.
async fn authority(site: &Site) -> Result<usize> {
    let new = Authority::new("clients anew")?;
    let trusted = site.trusted();
    replace(&trusted, &(site.clients.pem() + &new.pem()))?;
    let old = connected(site, &site.client).await?;
    let pair = new.write(site.dir(), "anew", &client_leaf(1))?;
    let trusting = config(&trusted, Some(&pair), &[b"h2"])?;
    for peer in &site.peers {
        let let_in = || async {
            let Ok(channel) = channel(peer.client_port, trusting.clone()).await else {
                return Ok(false);
            };
            Ok(put(&channel, "rotation/anew").await.is_ok())
        };
        until("the new CA is trusted", let_in).await?;
    }
    let load = Load::start(site, trusting.clone()).await?;
    leaf(site, &new, &trusting).await?;
    replace(&trusted, &new.pem())?;
    replace(&site.path("clients.crl"), &new.revoke(&[])?)?;
    cut_off(site, &site.client, &old).await?;
    load.stop().await
}

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
