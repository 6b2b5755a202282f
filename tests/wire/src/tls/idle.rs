use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::client::{channel, config, put};
use super::site::Site;

const CONNECTIONS: usize = 2000;
/// A handshake that does not begin is given up long before this.
const CLOSE_WAIT: Duration = Duration::from_secs(60);
/// A client that means it is served within this, however many do not.
const SERVE_WAIT: Duration = Duration::from_secs(5);

/// The usual soft limit is below what is opened here.
fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open files")
}

/// Connections that never speak are closed, and meanwhile keep nobody out.
pub async fn run(site: &Site) -> Result<()> {
    raise_open_files()?;
    let port = site.peers[0].client_port;
    let mut idle = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        idle.spawn(async move {
            let ended = stream.read(&mut [0; 8]).await;
            matches!(ended, Ok(0) | Err(_))
        });
    }
    let since = Instant::now();
    let config = config(&site.trusted(), Some(&site.client), &[b"h2"])?;
    let served = async { put(&channel(port, config).await?, "amid/idle").await };
    tokio::time::timeout(SERVE_WAIT, served).await??;
    println!(
        "served beside {} idle connections after {:.1?}",
        idle.len(),
        since.elapsed()
    );
    let closed = tokio::time::timeout(CLOSE_WAIT, idle.join_all()).await;
    match closed {
        Ok(ended) if ended.iter().all(|closed| *closed) => Ok(()),
        Ok(_) => bail!("an idle connection was answered"),
        Err(_) => bail!("idle connections are still open after {CLOSE_WAIT:?}"),
    }
}
