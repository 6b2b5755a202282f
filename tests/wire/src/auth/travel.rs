use std::path::Path;

use anyhow::{Context, Result, ensure};
use mainstay_proto::authpb::permission::Type;
use tokio::process::Command;

use super::rpc;
use super::stage::{self, Stage};
use super::texts::told;
use crate::cluster::Cluster;
use crate::options::Options;
use crate::snapshot::Product;
use crate::snapshot::tools::Tools;

/// Users go both ways in a backup, and log in with their passwords at each station.
pub async fn run(options: &Options) -> Result<()> {
    for (from, to) in [
        (Product::Etcd, Product::Mainstay),
        (Product::Mainstay, Product::Etcd),
    ] {
        backup(options, from, to)
            .await
            .with_context(|| format!("{from:?} to {to:?}"))?;
    }
    import(options).await.context("import")?;
    argon(options).await.context("argon2id")
}

async fn users(stage: &Stage) -> Result<()> {
    let permits = [(Type::Readwrite, "a", "c"), (Type::Read, "c", "\0")];
    stage.user("alice", &permits).await?;
    stage.as_root(&stage::role_add("root")).await?;
    let certificate = stage::user_add_with("certificate", "", Some(true));
    stage.as_root(&certificate).await?;
    stage.as_root(&rpc::put("b")).await?;
    Ok(())
}

async fn backup(options: &Options, from: Product, to: Product) -> Result<()> {
    let first = Stage::open(&stage::plan(options, from == Product::Etcd, &[])).await?;
    users(&first).await?;
    let file = first.cluster.dir().join("backup.db");
    save(options, &first, &file).await?;
    let tools = Tools::new(options)?;
    let plan = stage::plan(options, to == Product::Etcd, &[]);
    let second = Cluster::start_on(&plan, async |seat| {
        tools.restore(to, &file, seat, &[]).await
    })
    .await?;
    same(&first, second).await
}

/// The database of a running etcd is behind its log: what the log says of users counts.
async fn import(options: &Options) -> Result<()> {
    let slow = [
        "--backend-batch-interval=1h",
        "--backend-batch-limit=1000000",
    ];
    let mut first = Stage::open(&stage::plan(options, true, &slow)).await?;
    users(&first).await?;
    let alice = first.log_in("alice").await?;
    first.must(Some(&alice), &rpc::put("a")).await?;
    // Refused at apply, and in the log all the same.
    let refused = first.call(Some(&alice), &rpc::put("x")).await?;
    ensure!(refused.ended.is_of_rights(), "{refused:?}");
    let old = first.cluster.data_dir(0);
    for peer in &mut first.cluster.peers {
        peer.kill().await?;
    }
    let tools = Tools::new(options)?;
    let plan = stage::plan(options, false, &[]);
    let second = Cluster::start_on(&plan, async |seat| tools.import(&old, seat).await).await?;
    first.cluster.peers[0].restart()?;
    first.cluster.ready().await?;
    first.channel = stage::connect(&first.cluster, 0).await?;
    first.root = rpc::log_in(&first.channel, "root", stage::ROOT_PASSWORD).await?;
    same(&first, second).await
}

/// Whether users of the second cluster log in and may do what they may in the first.
async fn same(first: &Stage, second: Cluster) -> Result<()> {
    let channel = stage::connect(&second, 0).await?;
    let root = rpc::log_in(&channel, "root", stage::ROOT_PASSWORD).await?;
    let second = Stage {
        cluster: second,
        channel,
        root,
    };
    let tokens = [first.log_in("alice").await?, second.log_in("alice").await?];
    for call in [
        rpc::put("a"),
        rpc::put("c"),
        rpc::put("x"),
        rpc::range("a", "\0"),
        rpc::range("\0", "\0"),
        stage::user_get("alice"),
        stage::user_list(),
        rpc::authenticate("certificate", ""),
    ] {
        let ended = [
            first.call(Some(&tokens[0]), &call).await?.ended,
            second.call(Some(&tokens[1]), &call).await?.ended,
        ];
        ensure!(ended[0] == ended[1], "{}: {ended:?}", call.path);
    }
    for call in [
        stage::user_get("alice"),
        stage::role_get("alice"),
        stage::role_get("root"),
    ] {
        let before = first.as_root(&call).await?.body;
        let after = second.as_root(&call).await?.body;
        let (before, after) = (told(call.path, before)?, told(call.path, after)?);
        ensure!(before == after, "{}: {before}, not {after}", call.path);
    }
    Ok(())
}

/// A hash that etcd cannot verify is named when a backup is taken.
async fn argon(options: &Options) -> Result<()> {
    let plan = stage::plan(options, false, &["--password-hash=argon2id"]);
    let stage = Stage::open(&plan).await?;
    stage.user("alice", &[]).await?;
    let file = stage.cluster.dir().join("argon.db");
    let said = save(options, &stage, &file).await?;
    ensure!(
        said.contains("alice") && said.contains("root") && said.contains("warning"),
        "{said}"
    );
    Ok(())
}

/// Takes a backup as root, by our own command where the member is ours; returns what was said.
async fn save(options: &Options, stage: &Stage, file: &Path) -> Result<String> {
    let own = stage.cluster.label == "mainstay";
    let binary = match own {
        true => options.subject.clone(),
        false => options.peer("etcdctl")?,
    };
    let ran = Command::new(binary)
        .args(["snapshot", "save"])
        .arg(file)
        .args(stage.cluster.command_flags())
        .arg(format!("--user=root:{}", stage::ROOT_PASSWORD))
        .output()
        .await?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{said}");
    Ok(said)
}
