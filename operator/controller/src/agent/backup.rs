//! `agent backup`: streams a snapshot of a cluster into a file, checks its checksum, stores it, reads
//! what is stored back into the file, and says what it is. The container after it restores that file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_operator_member::{Address, Credentials, Member};
use mainstay_transport::Resolver;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Store, hand_over};

/// Longest wait for the next piece of the stream.
const PIECE: Duration = Duration::from_secs(60);
/// A snapshot ends with the SHA-256 of what is before it (etcd).
const CHECKSUM_BYTES: u64 = 32;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    store: Store,
    /// Under which name it is stored.
    #[arg(long)]
    name: String,
    /// Host of the client Service, which is in the members' certificates.
    #[arg(long)]
    host: String,
    #[arg(long, default_value_t = 2379)]
    port: u16,
    /// Folder with `ca.crt`, `tls.crt` and `tls.key`.
    #[arg(long, default_value = "/tls")]
    tls: PathBuf,
    /// The file that the snapshot is left in.
    #[arg(long)]
    file: PathBuf,
    /// Where the outcome is written as JSON; the kubelet hands it to the operator.
    #[arg(long, default_value = "/dev/termination-log")]
    outcome: PathBuf,
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub bytes: i64,
    /// Of the whole file, hexadecimal.
    pub sha256: String,
}

pub async fn run(arguments: &Arguments) -> Result<()> {
    let outcome = take(arguments).await;
    let text = match &outcome {
        Ok(outcome) => serde_json::to_string(outcome)?,
        // The operator shows it in the status.
        Err(error) => format!("{error:#}"),
    };
    hand_over(&arguments.outcome, &text);
    outcome.map(drop)
}

async fn take(arguments: &Arguments) -> Result<Outcome> {
    let member = connect(arguments).await?;
    let taken = receive(&member, &arguments.file).await?;
    let store = arguments.store.open()?;
    store.put(&arguments.name, &arguments.file).await?;
    tokio::fs::remove_file(&arguments.file).await?;
    store.get(&arguments.name, &arguments.file).await?;
    let stored = describe(&arguments.file).await?;
    if stored != taken {
        bail!("what came back from the store is not what was stored");
    }
    tracing::info!(
        name = arguments.name,
        bytes = stored.bytes,
        "stored and read back"
    );
    Ok(stored)
}

async fn connect(arguments: &Arguments) -> Result<Member> {
    let read = |name: &str| {
        let path = arguments.tls.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (ca, certificate, key) = (read("ca.crt")?, read("tls.crt")?, read("tls.key")?);
    let credentials = Credentials::from_pem(&ca, &certificate, &key)?;
    let addresses = Resolver::system()?.lookup(&arguments.host).await?;
    let mut reason = anyhow::anyhow!("{} has no address", arguments.host);
    for address in addresses {
        let address = Address {
            socket: (address, arguments.port).into(),
            host: arguments.host.clone(),
        };
        match Member::connect(&address, &credentials).await {
            Ok(member) => return Ok(member),
            Err(error) => reason = error.into(),
        }
    }
    Err(reason)
}

/// Streams the snapshot into the file, and verifies the checksum at its end.
async fn receive(member: &Member, path: &Path) -> Result<Outcome> {
    let mut pieces = member.snapshot().await?;
    let mut file = File::create(path).await?;
    loop {
        let piece = timeout(PIECE, pieces.message()).await;
        match piece.context("the snapshot has stalled")?? {
            Some(piece) => file.write_all(&piece.blob).await?,
            None => break,
        }
    }
    file.sync_all().await?;
    describe(path).await
}

/// What a whole snapshot is; an error for one that is not.
pub async fn describe(path: &Path) -> Result<Outcome> {
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let Some(mut left) = length.checked_sub(CHECKSUM_BYTES) else {
        bail!("a snapshot of {length} bytes is cut off");
    };
    let (mut content, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let read = file.read(piece.get_mut(..most).unwrap_or_default()).await?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else {
            bail!("the snapshot has become shorter while it was read");
        };
        content.update(read);
        left = left.saturating_sub(read.len() as u64);
    }
    let mut whole = content.clone();
    let mut sum = [0; CHECKSUM_BYTES as usize];
    file.read_exact(&mut sum).await?;
    whole.update(sum);
    if content.finalize()[..] != sum {
        bail!("the snapshot's checksum is not that of its content");
    }
    let whole = whole.finalize();
    Ok(Outcome {
        bytes: i64::try_from(length).unwrap_or(i64::MAX),
        sha256: whole.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_checksum_that_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut file = b"content".to_vec();
        file.extend_from_slice(&Sha256::digest(b"content"));
        std::fs::write(&path, &file).unwrap();
        let known = describe(&path).await.unwrap();
        assert_eq!(known.bytes, 39);
        assert_eq!(known.sha256.len(), 64);
        file[0] ^= 1;
        std::fs::write(&path, &file).unwrap();
        let error = describe(&path).await.unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
        std::fs::write(&path, "short").unwrap();
        assert!(describe(&path).await.is_err());
    }
}
