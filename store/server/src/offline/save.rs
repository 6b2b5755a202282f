//! `mainstay snapshot save`: asks a member for a backup.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use mainstay_proto::etcdserverpb::SnapshotRequest;
use mainstay_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use mainstay_snapshot::trailer;

use super::connect::Server;

/// A stream that is silent this long is given up: a member that has died would never end it. The
/// member writes its backup before it sends the first byte, which takes as long as it is large.
const SILENCE_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the backup goes; an older one is replaced once the new one is whole.
    file: PathBuf,
    #[command(flatten)]
    server: Server,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let server = &arguments.server;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut part = arguments.file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let saved = runtime.block_on(save(server, &part)).and_then(|version| {
        fs::rename(&part, &arguments.file)?;
        Ok(version)
    });
    if saved.is_err() {
        // The reason is what came before, and there may be nothing to remove.
        let _ = fs::remove_file(&part);
    }
    let version = saved?;
    println!("Snapshot saved at {}", arguments.file.display());
    if !version.is_empty() {
        println!("Server version {version}");
    }
    warn_of_users(&arguments.file)
}

/// Names those who could not log in to an etcd that restored this backup.
fn warn_of_users(path: &Path) -> Result<()> {
    let odd = mainstay_snapshot::auth(File::open(path)?)?.unreadable_for_etcd();
    if !odd.is_empty() {
        eprintln!(
            "warning: etcd cannot verify the passwords of {}: they are hashed by Argon2id; set them \
             anew under --password-hash=bcrypt before the backup is taken",
            odd.join(", ")
        );
    }
    Ok(())
}

/// Writes the stream into a new file, compares it with its checksum and syncs it. Returns the
/// version the member gave.
async fn save(server: &Server, part: &Path) -> Result<String> {
    let (channel, token) = server.connect().await?;
    let mut request = tonic::Request::new(SnapshotRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("token", token);
    }
    let mut stream = MaintenanceClient::new(channel)
        .snapshot(request)
        .await?
        .into_inner();
    let named = || part.display().to_string();
    // Keys and values are in it: for the owner alone.
    let mut file = private(part).with_context(named)?;
    let mut version = String::new();
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
        let Some(message) = message.context("the member fell silent")?? else {
            break;
        };
        file.write_all(&message.blob).with_context(named)?;
        version = message.version;
    }
    trailer::verify(&file).context("the backup did not come whole")?;
    file.sync_all().with_context(named)?;
    Ok(version)
}

fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    options.mode(0o600).open(path)
}
