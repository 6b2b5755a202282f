use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::control_plane::ControlPlane;

const COMMAND_WAIT: Duration = Duration::from_secs(120);
const EVENT_WAIT: Duration = Duration::from_secs(20);
/// Objects of the paged list, and how many a page holds.
const PAGED: usize = 25;

/// Creates, patches, lists by pages, watches and deletes with kubectl itself.
pub async fn run(plane: &ControlPlane) -> Result<()> {
    expect(
        plane,
        "create namespace wire",
        None,
        "namespace/wire created",
    )
    .await?;
    let mut watch = command(plane)
        .args([
            "get",
            "configmaps",
            "-n",
            "wire",
            "--watch",
            "--output-watch-events",
        ])
        .args([
            "-o",
            "custom-columns=TYPE:.type,NAME:.object.metadata.name,VALUE:.object.data.x",
            "--no-headers",
        ])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()?;
    let mut events = BufReader::new(watch.stdout.take().context("stdout")?).lines();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: wire}\n\
                    data: {x: \"1\"}\n";
    expect(
        plane,
        "create -f -",
        Some(manifest),
        "configmap/one created",
    )
    .await?;
    let again = kubectl(plane, "create -f -", Some(manifest)).await;
    if again.is_ok() {
        bail!("an object can be created twice");
    }
    let patch = "patch configmap one -n wire -p {\"data\":{\"x\":\"2\"}}";
    expect(plane, patch, None, "configmap/one patched").await?;
    expect(
        plane,
        "get configmap one -n wire -o jsonpath={.data.x}",
        None,
        "2",
    )
    .await?;
    let changed = manifest.replace("\"1\"", "\"3\"");
    expect(
        plane,
        "apply --server-side --force-conflicts -f -",
        Some(&changed),
        "serverside-applied",
    )
    .await?;
    expect(
        plane,
        "delete configmap one -n wire",
        None,
        "configmap \"one\" deleted",
    )
    .await?;
    let wanted = [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
        ("MODIFIED", "3"),
        ("DELETED", "3"),
    ];
    for (kind, value) in wanted {
        let line = tokio::time::timeout(EVENT_WAIT, events.next_line()).await;
        let line = line
            .with_context(|| format!("no {kind} event"))??
            .unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        if words != [kind, "one", value] {
            bail!("the watch says {line:?}, expected {kind} one {value}");
        }
    }
    watch.kill().await?;
    let many: Vec<String> = (0..PAGED)
        .map(|at| manifest.replace("name: one", &format!("name: paged-{at:02}")))
        .collect();
    kubectl(plane, "create -f -", Some(&many.join("---\n"))).await?;
    count(plane, "wire", PAGED).await?;
    kubectl(plane, "delete configmaps --all -n wire", None).await?;
    count(plane, "wire", 0).await?;
    expect(
        plane,
        "get configmap one -n wire --ignore-not-found",
        None,
        "",
    )
    .await
}

/// Lists a namespace by pages and counts its ConfigMaps.
pub async fn count(plane: &ControlPlane, namespace: &str, wanted: usize) -> Result<()> {
    let page = (wanted / 7).max(2);
    let line = format!("get configmaps -n {namespace} --chunk-size={page} -o name");
    let out = kubectl(plane, &line, None).await?;
    let found = out.lines().count();
    if found != wanted {
        bail!("kubectl lists {found} ConfigMaps in {namespace} by pages of {page}, not {wanted}");
    }
    Ok(())
}

async fn expect(plane: &ControlPlane, line: &str, input: Option<&str>, wanted: &str) -> Result<()> {
    let out = kubectl(plane, line, input).await?;
    if !out.contains(wanted) || (wanted.is_empty() && !out.is_empty()) {
        bail!("kubectl {line}: {out:?}, expected {wanted:?}");
    }
    Ok(())
}

fn command(plane: &ControlPlane) -> Command {
    let mut command = Command::new(&plane.kubectl);
    command
        .arg(format!("--kubeconfig={}", plane.kubeconfig.display()))
        .kill_on_drop(true);
    command
}

/// Standard output of a kubectl command that must succeed; words are parted by blanks.
async fn kubectl(plane: &ControlPlane, line: &str, input: Option<&str>) -> Result<String> {
    let mut command = command(plane);
    command.args(line.split(' '));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("start kubectl")?;
    let mut stdin = child.stdin.take().context("stdin")?;
    stdin
        .write_all(input.unwrap_or_default().as_bytes())
        .await?;
    drop(stdin);
    let done = tokio::time::timeout(COMMAND_WAIT, child.wait_with_output()).await;
    let done = done.with_context(|| format!("kubectl {line} does not end"))??;
    if !done.status.success() {
        bail!("kubectl {line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
