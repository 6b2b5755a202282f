use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::cluster::{Cluster, Plan};
use crate::options::Options;

/// How long a line or the end of a command may take; a lease of two seconds must end meanwhile.
const WAIT: Duration = Duration::from_secs(20);
/// How long to look at a command that must go on waiting.
const SILENCE: Duration = Duration::from_millis(500);

/// An etcdctl under way.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(options: &Options, cluster: &Cluster, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(options.peer("etcdctl")?);
        for name in ["ETCDCTL_ENDPOINTS", "ETCDCTL_API", "ETCDCTL_USER"] {
            command.env_remove(name);
        }
        command
            .args(cluster.command_flags())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().context("start etcdctl")?;
        let stdout = child.stdout.take().context("stdout")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Running { child, lines })
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(WAIT, self.lines.next_line()).await;
        line.context("no line has come")??
            .context("no line is left")
    }

    /// It must go on waiting.
    async fn silent(&mut self) -> Result<()> {
        match tokio::time::timeout(SILENCE, self.lines.next_line()).await {
            Err(_) => Ok(()),
            Ok(line) => bail!("it was to wait, and says {line:?}"),
        }
    }

    /// Ends it as Ctrl-C does, and says how it ended.
    async fn interrupt(mut self) -> Result<Option<i32>> {
        let pid = self.child.id().context("it has ended")?.to_string();
        Command::new("kill").args(["-INT", &pid]).status().await?;
        self.ended().await
    }

    async fn ended(&mut self) -> Result<Option<i32>> {
        let ended = tokio::time::timeout(WAIT, self.child.wait()).await;
        Ok(ended.context("it does not end")??.code())
    }

    /// Ends it without a chance to give anything back.
    async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Runs the same on three members of each product and compares what was seen.
async fn both<F>(options: &Options, steps: F) -> Result<Instant>
where
    F: AsyncFn(&Cluster) -> Result<Vec<String>>,
{
    let since = Instant::now();
    let mut found = Vec::new();
    for (binary, label) in [
        (options.etcd(), "etcd"),
        (options.subject.clone(), "subject"),
    ] {
        let cluster = Cluster::start(&Plan::new(&binary, label, 3).tls(options.tls)).await?;
        found.push(steps(&cluster).await.context(label)?);
    }
    if found[0] != found[1] {
        bail!("\n  reference: {:?}\n  subject:   {:?}", found[0], found[1]);
    }
    Ok(since)
}

/// A key without the lease in it.
fn name(key: &str) -> String {
    key.split('/').next().unwrap_or_default().to_owned()
}

pub async fn lock(options: &Options) -> Result<Instant> {
    both(options, async |cluster| {
        let start = |arguments: &[&str]| Running::start(options, cluster, arguments);
        let mut steps = Vec::new();
        let mut first = start(&["lock", "l"])?;
        steps.push(name(&first.line().await?));
        let mut second = start(&["lock", "l"])?;
        second.silent().await?;
        steps.push(format!("{:?}", first.interrupt().await?));
        steps.push(name(&second.line().await?));
        // The owner dies, and its session with it.
        let mut third = start(&[
            "lock",
            "--ttl=2",
            "l",
            "--",
            "sh",
            "-c",
            "echo guarded; exit 7",
        ])?;
        third.silent().await?;
        second.interrupt().await?;
        steps.push(third.line().await?);
        steps.push(format!("{:?}", third.ended().await?));
        let mut owner = start(&["lock", "--ttl=2", "l"])?;
        owner.line().await?;
        owner.kill().await?;
        let mut heir = start(&["lock", "l", "echo", "inherited"])?;
        steps.push(heir.line().await?);
        steps.push(format!("{:?}", heir.ended().await?));
        Ok(steps)
    })
    .await
}

pub async fn elect(options: &Options) -> Result<Instant> {
    both(options, async |cluster| {
        let start = |arguments: &[&str]| Running::start(options, cluster, arguments);
        let mut steps = Vec::new();
        let mut observer = start(&["elect", "-l", "e"])?;
        let mut first = start(&["elect", "e", "one"])?;
        steps.push(name(&first.line().await?));
        steps.push(first.line().await?);
        steps.push(name(&observer.line().await?));
        steps.push(observer.line().await?);
        let mut second = start(&["elect", "e", "two"])?;
        second.silent().await?;
        steps.push(format!("{:?}", first.interrupt().await?));
        steps.push(name(&second.line().await?));
        steps.push(second.line().await?);
        steps.push(name(&observer.line().await?));
        steps.push(observer.line().await?);
        steps.push(format!("{:?}", second.interrupt().await?));
        Ok(steps)
    })
    .await
}
