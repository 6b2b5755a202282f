pub mod auth;
pub mod cases;
pub mod mask;
pub mod mirror;
pub mod perf;

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cluster::{Cluster, Plan};
use crate::normalise::Ids;
use crate::options::Options;
use crate::outcome::excerpt;
use crate::target::Target;
use cases::{CASES, Case};
use xtask::tally::Tally;

/// Longest run of one command.
const COMMAND_WAIT: Duration = Duration::from_secs(40);

/// One cluster as etcdctl sees it.
pub struct Side {
    pub cluster: Cluster,
    pub ids: Ids,
    endpoints: String,
    /// The lease that a case granted last, in hexadecimal as etcdctl prints it.
    lease: String,
}

/// What a command ended in.
#[derive(Debug, PartialEq)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs every case with etcd's own client on a cluster of three members of each product.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let etcdctl = options.peer("etcdctl")?;
    let mut sides = Vec::new();
    for (binary, label) in [
        (options.etcd(), "etcd"),
        (options.subject.clone(), "subject"),
    ] {
        sides.push(Side::start(&Plan::new(&binary, label, 3)).await?);
    }
    for case in CASES.iter().chain(auth::CASES) {
        let since = Instant::now();
        let name = format!("etcdctl {}", case.line);
        let mut ran = Vec::new();
        for side in &mut sides {
            ran.push(side.case(&etcdctl, case).await?);
        }
        if options.wants(case.line) {
            match compare(&ran) {
                Ok(()) => tally.pass(&name, since),
                Err(error) => tally.fail(&name, &format!("{error:#}")),
            }
        }
    }
    drop(sides);
    for (name, result) in [
        ("etcdctl make-mirror", mirror::run(options, &etcdctl).await),
        ("etcdctl check perf", perf::run(options, &etcdctl).await),
    ] {
        match result {
            Ok(Some(since)) => tally.pass(name, since),
            Ok(None) => println!("left out: {name} takes a minute, ask for it by --long"),
            Err(error) => tally.fail(name, &format!("  {error:#}")),
        }
    }
    Ok(tally.close())
}

fn compare(ran: &[Ran]) -> Result<()> {
    let [reference, subject] = ran else {
        bail!("two sides are needed")
    };
    if reference == subject {
        return Ok(());
    }
    let (a, b) = (format!("{reference:?}"), format!("{subject:?}"));
    bail!(
        "  reference:  {}\n  subject:    {}",
        excerpt(&a, &b),
        excerpt(&b, &a)
    )
}

impl Side {
    pub async fn start(plan: &Plan) -> Result<Self> {
        let cluster = Cluster::start(plan).await?;
        let target = Target::open(&cluster).await?;
        let ids = target.ids.lock().clone();
        // The order of positions, so that the same endpoint leads on both sides.
        let urls = ids.urls.iter().filter(|url| url.1.starts_with("client"));
        let endpoints: Vec<String> = urls.map(|url| url.0.clone()).collect();
        let endpoints = endpoints.join(",");
        Ok(Self {
            cluster,
            ids,
            endpoints,
            lease: String::new(),
        })
    }

    async fn case(&mut self, etcdctl: &std::path::Path, case: &Case) -> Result<Ran> {
        let args: Vec<String> = case.line.split(' ').map(|word| self.fill(word)).collect();
        let mut ran = self.command(etcdctl, &args, case.input).await?;
        if let Some(rest) = ran.out.strip_prefix("lease ")
            && rest.contains(" granted")
        {
            self.lease = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        for text in [&mut ran.out, &mut ran.err] {
            if let Ok(lease) = i64::from_str_radix(&self.lease, 16) {
                *text = text
                    .replace(&self.lease, "LEASE")
                    .replace(&lease.to_string(), "LEASE");
            }
            *text = self.names(text);
            *text = (case.mask)(&self.ids.text(text));
        }
        Ok(ran)
    }

    /// Names of members as positions, wherever a format puts them.
    fn names(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (at, (_, name)) in self.ids.members.iter().enumerate() {
            for (before, after) in [(", ", ","), ("\"", "\""), ("│ ", " "), ("  ", " ")] {
                let found = format!("{before}{name}{after}");
                text = text.replace(&found, &format!("{before}name-{at}{after}"));
            }
        }
        text
    }

    fn fill(&self, word: &str) -> String {
        let member = |at: usize| format!("{:x}", self.ids.members[at].0);
        word.replace("$LEASE", &self.lease)
            .replace("$LEADER", &member(0))
            .replace("$FOLLOWER", &member(1))
            .replace(
                "$FIRST",
                self.endpoints.split(',').next().unwrap_or_default(),
            )
            .replace('~', " ")
    }

    /// Runs etcdctl against all members. A command that goes on by itself (a watch) is ended when
    /// its output has not grown for a while.
    async fn command(
        &self,
        etcdctl: &std::path::Path,
        args: &[String],
        input: Option<&str>,
    ) -> Result<Ran> {
        let mut command = Command::new(etcdctl);
        command.kill_on_drop(true);
        // In front, since what follows `--` is a command for a watch to run.
        if !args.iter().any(|arg| arg.starts_with("--endpoints")) {
            command.arg(format!("--endpoints={}", self.endpoints));
        }
        command.args(args);
        let endless = args.first().is_some_and(|first| first == "watch");
        for name in ["ETCDCTL_ENDPOINTS", "ETCDCTL_API", "ETCDCTL_USER"] {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("start etcdctl")?;
        let mut stdin = child.stdin.take().context("stdin")?;
        stdin
            .write_all(input.unwrap_or_default().as_bytes())
            .await?;
        if endless {
            // A watch reads its input to the end, then goes on.
            let _open = stdin;
            return watched(child).await;
        }
        drop(stdin);
        let done = tokio::time::timeout(COMMAND_WAIT, child.wait_with_output()).await;
        let done = done.with_context(|| format!("etcdctl {args:?} does not end"))??;
        Ok(Ran {
            code: done.status.code(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: mask::errors(&String::from_utf8_lossy(&done.stderr)),
        })
    }
}

/// Collects what a watch prints until, after its first output, nothing more has come for a second.
async fn watched(mut child: tokio::process::Child) -> Result<Ran> {
    use tokio::io::AsyncReadExt;
    const QUIET: Duration = Duration::from_millis(1000);
    let mut stdout = child.stdout.take().context("stdout")?;
    let mut out = Vec::new();
    let mut code = None;
    loop {
        let mut buffer = [0; 16384];
        // A slow machine may need its time to start the program.
        let patience = if out.is_empty() { COMMAND_WAIT } else { QUIET };
        match tokio::time::timeout(patience, stdout.read(&mut buffer)).await {
            Ok(Ok(0)) => {
                code = child.wait().await?.code();
                break;
            }
            Ok(read) => out.extend_from_slice(&buffer[..read?]),
            Err(_) => break,
        }
    }
    child.start_kill().ok();
    Ok(Ran {
        code,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::new(),
    })
}
