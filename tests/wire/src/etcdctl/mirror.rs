use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb as pb;
use mainstay_proto::mvccpb::KeyValue;
use tokio::process::Command;

use super::Side;
use crate::cluster::Plan;
use crate::options::Options;
use crate::target::Target;

/// How long the copy may lag behind.
const COPY_WAIT: Duration = Duration::from_secs(30);
const KEYS: usize = 300;

/// Copies a cluster of the server under test into another one while it is written to, with
/// etcdctl's own make-mirror, and compares what both hold.
pub async fn run(options: &Options, etcdctl: &Path) -> Result<Option<Instant>> {
    let since = Instant::now();
    for (binary, label) in [
        (options.etcd(), "etcd"),
        (options.subject.clone(), "subject"),
    ] {
        let plan = Plan::new(&binary, label, 1);
        let (from, to) = (Side::start(&plan).await?, Side::start(&plan).await?);
        mirror(etcdctl, &from, &to)
            .await
            .map_err(|error| error.context(label))?;
    }
    Ok(Some(since))
}

async fn mirror(etcdctl: &Path, from: &Side, to: &Side) -> Result<()> {
    let source = Target::open(&from.cluster).await?;
    write(&source, "m/old", KEYS).await?;
    write(&source, "other", 3).await?;
    let mut copy = Command::new(etcdctl)
        .arg("make-mirror")
        .arg(format!("--endpoints={}", from.cluster.endpoints()))
        .args([
            "--prefix=m/",
            "--dest-prefix=copy/",
            "--dest-insecure-transport=true",
        ])
        .arg(to.cluster.endpoints())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    write(&source, "m/new", KEYS).await?;
    let delete = pb::DeleteRangeRequest {
        key: "m/old0007".into(),
        ..Default::default()
    };
    source.at(0).kv.clone().delete_range(delete).await?;
    let expected = contents(&source, "m/").await?;
    let target = Target::open(&to.cluster).await?;
    let deadline = Instant::now() + COPY_WAIT;
    loop {
        let copied = contents(&target, "copy/").await?;
        if copied == expected {
            break;
        }
        if let Some(status) = copy.try_wait()? {
            bail!("make-mirror ended: {status}");
        }
        if Instant::now() > deadline {
            bail!(
                "{} keys copied of {} after {COPY_WAIT:?}",
                copied.len(),
                expected.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    copy.kill().await?;
    if expected.len() != 2 * KEYS - 1 {
        bail!("the source holds {} keys", expected.len());
    }
    Ok(())
}

async fn write(target: &Target, prefix: &str, count: usize) -> Result<()> {
    let mut kv = target.at(0).kv.clone();
    for at in 0..count {
        let key = format!("{prefix}{at:04}").into();
        let value = format!("value {at}").into();
        kv.put(pb::PutRequest {
            key,
            value,
            ..Default::default()
        })
        .await?;
    }
    Ok(())
}

/// Keys without their prefix, and values.
async fn contents(target: &Target, prefix: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let range = pb::RangeRequest {
        key: prefix.to_owned().into(),
        range_end: crate::generate::keys::prefix_end(prefix.as_bytes()),
        ..Default::default()
    };
    let answer = target.at(0).kv.clone().range(range).await?.into_inner();
    let pair = |kv: &KeyValue| (kv.key[prefix.len()..].to_vec(), kv.value.to_vec());
    Ok(answer.kvs.iter().map(pair).collect())
}
