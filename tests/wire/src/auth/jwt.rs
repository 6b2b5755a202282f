use std::path::Path;

use anyhow::{Result, ensure};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;

use super::rpc::{self, Call};
use super::stage::{self, Stage, alike, tokens};
use crate::options::Options;

const RSA: &str = include_str!("../../../../store/api/testdata/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../../../store/api/testdata/rsa.pub.pem");

/// Tokens that each product signs the other takes, for as long as users and roles stay as they
/// are.
pub async fn run(options: &Options) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("mainstay-jwt-").tempdir()?;
    let write = |name: &str, text: &str| -> Result<String> {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let key = write("rsa.pem", RSA)?;
    let public = write("rsa.pub.pem", RSA_PUBLIC)?;
    let secret = write("secret", "a secret of some length\n")?;
    for flag in [
        format!("--auth-token=jwt,pub-key={public},priv-key={key},sign-method=RS256,ttl=10m"),
        format!("--auth-token=jwt,priv-key={key},sign-method=PS512"),
        format!("--auth-token=jwt,priv-key={secret},sign-method=HS384"),
    ] {
        signed(options, &flag).await?;
    }
    verify_only(options, &public, &key).await?;
    refused(options, dir.path()).await
}

async fn signed(options: &Options, flag: &str) -> Result<()> {
    let stages = stage::both(options, &[flag]).await?;
    let permits = [(Type::Readwrite, "a", "c")];
    let own = stage::user_on_both(&stages, "alice", &permits).await?;
    let crossed = [own[1].clone(), own[0].clone()];
    ensure!(own[0].split('.').count() == 3, "no JWT: {}", own[0]);
    for tokens_of in [&own, &crossed] {
        for (what, call) in [
            ("own key", rpc::put("a")),
            ("another's key", rpc::put("x")),
            ("range", rpc::range("a", "c")),
            ("watch", rpc::watch("a", "c")),
            ("self", stage::user_get("alice")),
            ("others", stage::user_list()),
            ("status", stage::status()),
        ] {
            alike(&stages, tokens(tokens_of), what, &call).await?;
        }
    }
    // Any change of users or roles ends the right to keys, and no other.
    for stage in &stages {
        let root = rpc::log_in(&stage.channel, "root", stage::ROOT_PASSWORD).await?;
        stage.must(Some(&root), &stage::role_add("more")).await?;
    }
    let grant = pb::LeaseGrantRequest { id: 0, ttl: 60 };
    let mut old = 0;
    for (what, call) in [
        ("put", rpc::put("a")),
        ("range", rpc::range("a", "")),
        ("watch", rpc::watch("a", "")),
        ("delete", rpc::delete("a", "")),
        ("grant", Call::new("/etcdserverpb.Lease/LeaseGrant", &grant)),
        ("self", stage::user_get("alice")),
        ("status", stage::status()),
    ] {
        let ended = alike(&stages, tokens(&own), what, &call).await?;
        old += usize::from(ended.text().contains("revision of auth store is old"));
    }
    ensure!(
        old == 4,
        "{old} of 4 calls were told that their token is old"
    );
    let forged = own.clone().map(|token| format!("{token}x"));
    let ended = alike(&stages, tokens(&forged), "forged", &rpc::range("a", "")).await?;
    ensure!(ended.text().contains("invalid auth token"), "{ended:?}");
    Ok(())
}

/// With the public half alone nobody logs in, and who has logged in elsewhere is known.
async fn verify_only(options: &Options, public: &str, key: &str) -> Result<()> {
    let signs = format!("--auth-token=jwt,priv-key={key},sign-method=RS256");
    let verifies = format!("--auth-token=jwt,pub-key={public},sign-method=RS256");
    let signer = Stage::open(&stage::plan(options, false, &[&signs])).await?;
    let mut stages = Vec::new();
    for etcd in [true, false] {
        let plan = stage::plan(options, etcd, &[&verifies]);
        let cluster = crate::cluster::Cluster::start(&plan).await?;
        let channel = stage::connect(&cluster, 0).await?;
        let stage = Stage {
            cluster,
            channel,
            root: String::new(),
        };
        for step in [
            stage::user_add("root", stage::ROOT_PASSWORD),
            stage::grant_role("root", "root"),
            stage::enable(),
        ] {
            stage.must(None, &step).await?;
        }
        stages.push(stage);
    }
    let log_in = rpc::authenticate("root", stage::ROOT_PASSWORD);
    let ended = [
        stages[0].call(None, &log_in).await?.ended,
        stages[1].call(None, &log_in).await?.ended,
    ];
    ensure!(ended[0] == ended[1], "{ended:?}");
    for stage in &stages {
        stage.must(Some(&signer.root), &stage::user_list()).await?;
    }
    Ok(())
}

/// Wrong flags are told in one line, with exit code 2, and create nothing.
async fn refused(options: &Options, dir: &Path) -> Result<()> {
    let data = dir.join("never.data");
    for flag in [
        "--auth-token=jwt",
        "--auth-token=jwt,sign-method=RS256,priv-key=/nonexistent",
        "--auth-token=token",
        "--bcrypt-cost=40",
        "--password-hash=md5",
    ] {
        let mut command = tokio::process::Command::new(options.subject());
        let data_dir = format!("--data-dir={}", data.display());
        let ran = command.args([flag, &data_dir]).output().await?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(
            ran.status.code() == Some(2) && said.lines().count() == 1 && !data.exists(),
            "{flag}: {:?} {said}",
            ran.status
        );
    }
    Ok(())
}
