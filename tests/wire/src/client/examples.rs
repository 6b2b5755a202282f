//! The programs that the client's pages show, run as a reader runs them: every file of its folder of
//! examples, whichever product answers.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use mainstay_client::watch::Watch;
use mainstay_client::{Client, EventType, TlsFiles, access::Permission, watch::Seen};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use xtask::places;

use super::{Site, WAIT, soon};

/// Where the examples lie in the checkout, and their keys in a cluster.
const SOURCES: &str = "store/client/examples";
const PREFIX: &str = "examples/";
const ROOT: Account = ("root", "secret");
/// Who may do what `client` does, and nothing else.
const SHOP: Account = ("shop", "its password");

/// A user's name and password.
type Account = (&'static str, &'static str);

/// An example that goes on until it is told to stop, and what it makes of an object.
struct Controls {
    program: &'static str,
    kind: &'static str,
    wanted: &'static str,
    /// The status it tells, as JSON.
    told: &'static str,
}

const CONTROLLERS: &[Controls] = &[
    Controls {
        program: "controller",
        kind: "examples/names",
        wanted: r#""Anna""#,
        told: r#""hello, Anna""#,
    },
    Controls {
        program: "replicas",
        kind: "examples/orders",
        wanted: "prices: [3, 4]",
        told: "7",
    },
];

/// All of them on plain connections, where nobody is asked who they are.
pub async fn all(site: &mut Site<'_>) -> Result<()> {
    each(site, &site.client()?, |_| None).await
}

/// All of them over TLS with certificates on both sides, and as users.
pub async fn users(site: &mut Site<'_>) -> Result<()> {
    let secure = site.cluster.secure.as_ref().context("no certificates")?;
    let pair = (secure.client.cert.clone(), secure.client.key.clone());
    let files = TlsFiles {
        trusted_ca: Some(secure.ca.clone()),
        pair: Some(pair),
        skip_verify: false,
    };
    let endpoints = site.cluster.peers.iter().map(|peer| peer.client_url());
    let endpoints: Vec<String> = endpoints.collect();
    let builder = || Client::builder().endpoints(&endpoints).tls(files.clone());
    let access = builder().build()?.access();
    for ((name, password), role) in [(ROOT, "root"), (SHOP, "greeters")] {
        access.add_user(name, password).await?;
        access.add_role(role).await?;
        access.grant_role(name, role).await?;
    }
    let greetings = Permission::read_write().prefix("examples/client/");
    access.grant_permission("greeters", greetings).await?;
    access.enable().await?;
    let root = builder().user(ROOT.0, ROOT.1).build()?;
    let account = |name: &str| Some(if name == "client" { SHOP } else { ROOT });
    each(site, &root, account).await?;
    let (users, roles) = (root.access().users().await?, root.access().roles().await?);
    ensure!(users == ["root", "shop"], "users are left: {users:?}");
    ensure!(roles == ["greeters", "root"], "roles are left: {roles:?}");
    Ok(())
}

async fn each(
    site: &Site<'_>,
    client: &Client,
    account: impl Fn(&str) -> Option<Account>,
) -> Result<()> {
    let names = names()?;
    for controller in CONTROLLERS {
        let name = controller.program;
        ensure!(names.iter().any(|known| known == name), "{name} is gone");
    }
    for name in names {
        let start = || Running::start(site, &name, account(&name));
        let mut controllers = CONTROLLERS.iter();
        match controllers.find(|controller| controller.program == name) {
            Some(controller) => controls(client, controller, start).await?,
            None => start()?.ended().await?,
        }
        let left = client.get(PREFIX).prefix().keys_only().await?;
        let left: Vec<_> = left.kvs.into_iter().map(|kv| kv.key).collect();
        ensure!(left.is_empty(), "{name} leaves {left:?} behind");
    }
    Ok(())
}

/// One for each file, so that an example that was not built is missed.
fn names() -> Result<Vec<String>> {
    let folder = places::checkout()?.join(SOURCES);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_stem().and_then(|name| name.to_str());
            names.push(name.context("a file without a name")?.to_owned());
        }
    }
    ensure!(!names.is_empty(), "{} has no examples", folder.display());
    names.sort();
    Ok(names)
}

/// One does what is wanted, and so does another that was started beside it and is left alone.
async fn controls(
    client: &Client,
    controller: &Controls,
    start: impl Fn() -> Result<Running>,
) -> Result<()> {
    let first = start()?;
    let done = works(client, controller, "first").await;
    done.with_context(|| first.told())?;
    let second = start()?;
    first.terminate()?.ended().await?;
    let done = works(client, controller, "second").await;
    done.with_context(|| second.told())?;
    second.terminate()?.ended().await
}

/// An object gets its status, which goes when it does.
async fn works(client: &Client, controller: &Controls, name: &str) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        observed_generation: i64,
        status: serde_json::Value,
    }
    let (kind, wanted) = (controller.kind, controller.wanted);
    let (key, status) = (format!("{kind}/{name}"), format!("{kind}.status/{name}"));
    let generation = client.put(&key, wanted).await?.revision;
    let mut watch = client.watch(&status).from_revision(generation).await?;
    let told = soon(&status, next(&mut watch)).await??;
    let told = told.context("a status is deleted that was never there")?;
    let told: Told = serde_json::from_slice(&told)?;
    let right: serde_json::Value = serde_json::from_str(controller.told)?;
    ensure!(told.status == right, "{status} is {}", told.status);
    ensure!(told.observed_generation == generation, "of an older one");
    client.delete(&key).await?;
    let gone = soon("the status to go", next(&mut watch)).await??;
    ensure!(gone.is_none(), "{status} is {gone:?} without its object");
    Ok(())
}

/// What the next event of a key makes it hold.
async fn next(watch: &mut Watch) -> Result<Option<Vec<u8>>> {
    while let Some(seen) = watch.next().await.transpose()? {
        let Seen::Events { events, .. } = seen else {
            continue;
        };
        let event = events.into_iter().next().context("no event")?;
        let is_put = event.r#type == EventType::Put as i32;
        let kv = event.kv.filter(|_| is_put);
        return Ok(kv.map(|kv| kv.value.to_vec()));
    }
    bail!("the watch has ended")
}

/// A program and the file that takes all it says.
struct Running {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Running {
    fn start(site: &Site<'_>, name: &str, account: Option<Account>) -> Result<Running> {
        let program = site.options.examples.join(name);
        let lacks = || format!("{} is not built", program.display());
        ensure!(program.is_file(), lacks());
        let output = site.cluster.dir().join(format!("example-{name}.log"));
        let mut log = std::fs::File::options();
        let log = log.create(true).append(true).open(&output)?;
        let mut command = Command::new(&program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MAINSTAY_") {
                command.env_remove(variable);
            }
        }
        command.env("MAINSTAY_ENDPOINTS", site.cluster.endpoints());
        if let Some(secure) = &site.cluster.secure {
            command.env("MAINSTAY_CACERT", &secure.ca);
            command.env("MAINSTAY_CERT", &secure.client.cert);
            command.env("MAINSTAY_KEY", &secure.client.key);
        }
        if let Some((user, password)) = account {
            command.env("MAINSTAY_USER", user);
            command.env("MAINSTAY_PASSWORD", password);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().with_context(lacks)?;
        Ok(Running {
            name: name.to_owned(),
            child,
            output,
        })
    }

    /// For a failure report.
    fn told(&self) -> String {
        let output = std::fs::read(&self.output).unwrap_or_default();
        format!("{} says\n{}", self.name, String::from_utf8_lossy(&output))
    }

    fn terminate(self) -> Result<Running> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        kill_process(pid.with_context(|| self.told())?, Signal::TERM)?;
        Ok(self)
    }

    /// It must end in time, and well.
    async fn ended(mut self) -> Result<()> {
        match tokio::time::timeout(WAIT, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                ensure!(status.success(), "{status}: {}", self.told());
                Ok(())
            }
            Err(_) => bail!("not ended within {WAIT:?}: {}", self.told()),
        }
    }
}
