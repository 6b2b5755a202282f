//! `mainstay snapshot save`: asks a member for a backup.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use mainstay_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use mainstay_proto::etcdserverpb::{AuthenticateRequest, SnapshotRequest};
use mainstay_snapshot::trailer;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use zeroize::Zeroizing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A stream that is silent this long is given up: a member that has died would never end it. The
/// member writes its backup before it sends the first byte, which takes as long as it is large.
const SILENCE_MAX: Duration = Duration::from_secs(600);

#[derive(Args)]
pub struct Arguments {
    /// Where the backup goes; an older one is replaced once the new one is whole.
    file: PathBuf,
    /// The one member to ask.
    #[arg(long, default_value = "127.0.0.1:2379")]
    endpoints: String,
    /// User to log in as, with its password behind a colon unless `--password` has it.
    #[arg(long)]
    user: Option<String>,
    #[arg(long)]
    password: Option<String>,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (file, endpoints) = (&self.file, &self.endpoints);
        write!(f, "save {} from {endpoints}", file.display())
    }
}

/// Who asks for the backup.
struct LogIn {
    name: String,
    password: Zeroizing<String>,
}

impl LogIn {
    fn of(arguments: &Arguments) -> Result<Option<LogIn>> {
        let Some(user) = &arguments.user else {
            return Ok(None);
        };
        let (name, password) = match (&arguments.password, user.split_once(':')) {
            (Some(password), _) => (user.as_str(), password.as_str()),
            (None, Some((name, password))) => (name, password),
            (None, None) => bail!("--user {user} needs a password: --password, or user:password"),
        };
        Ok(Some(LogIn {
            name: name.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        }))
    }

    async fn token(&self, channel: Channel) -> Result<MetadataValue<Ascii>> {
        let request = AuthenticateRequest {
            name: self.name.clone(),
            password: self.password.to_string(),
        };
        let answer = AuthClient::new(channel).authenticate(request).await?;
        Ok(answer.into_inner().token.parse()?)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let log_in = LogIn::of(arguments)?;
    let url = url(&arguments.endpoints)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut part = arguments.file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let saving = save(&url, log_in.as_ref(), &part);
    let saved = runtime.block_on(saving).and_then(|version| {
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

fn url(endpoints: &str) -> Result<String> {
    if endpoints.contains(',') {
        bail!("snapshot must be requested to one selected node, not multiple {endpoints}");
    }
    match endpoints.split_once("://") {
        None => Ok(format!("http://{endpoints}")),
        Some(("http", _)) => Ok(endpoints.to_owned()),
        Some(_) => bail!("--endpoints: TLS is not there yet: {endpoints}"),
    }
}

/// Writes the stream into a new file, compares it with its checksum and syncs it. Returns the
/// version the member gave.
async fn save(url: &str, log_in: Option<&LogIn>, part: &Path) -> Result<String> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(CONNECT_TIMEOUT);
    let channel = endpoint.connect().await.with_context(|| url.to_owned())?;
    let mut request = tonic::Request::new(SnapshotRequest {});
    if let Some(log_in) = log_in {
        let token = log_in.token(channel.clone()).await?;
        request.metadata_mut().insert("token", token);
    }
    let mut client = MaintenanceClient::new(channel);
    let mut stream = client.snapshot(request).await?.into_inner();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plain_endpoint_is_asked() {
        assert_eq!(url("h:1").unwrap(), "http://h:1");
        assert_eq!(url("http://h:1").unwrap(), "http://h:1");
        assert!(url("https://h:1").is_err());
        assert!(url("h:1,i:1").unwrap_err().to_string().contains("one"));
    }
}
