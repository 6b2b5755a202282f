//! `cargo xtask demo`: a fleet of processes kept by a controller that watches keys, to play with.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::cluster::{Cluster, Plan};
use xtask::{interrupt, places, process};

use crate::{peers, server, setup};

/// How long the members may take from their start to serving.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a process may take to end once it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const PROGRAM: &str = "mainstay-fleet";
/// The replicas of the controller; one of them leads.
const REPLICAS: [&str; 2] = ["one", "two"];

/// A process of the demonstration, killed when it is dropped.
struct Running {
    name: String,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Asks it to end and waits for that.
    fn stop(mut self) -> Result<()> {
        process::terminate(self.child.id());
        let what = format!("{} ends", self.name);
        let ended = || Ok(self.child.try_wait()?.is_some());
        process::wait_to_stop(&what, STOP_LIMIT, ended)?;
        Ok(())
    }
}

pub fn run(arguments: &[String]) -> Result<()> {
    let wanted = match arguments {
        [] => "3",
        [flag, count] if flag == "--workers" && count.parse::<usize>().is_ok() => count,
        _ => bail!("the only argument is --workers N"),
    };
    interrupt::listen()?;
    setup::check_tools()?;
    let etcdctl = peers::ensure(peers::ETCD)?.join("etcdctl");
    let program = server::everyday()?;
    let fleet = server::test_program(PROGRAM)?;

    let folder = places::cache()?.join("demo");
    let _ = fs::remove_dir_all(&folder);
    let mut cluster = Cluster::start(&Plan {
        program,
        folder: folder.clone(),
        ports: Plan::default_ports(3),
        token: "mainstay-demo".to_owned(),
        secure: false,
        flags: Vec::new(),
    })?;
    cluster.wait_until_serving(START_LIMIT)?;
    let endpoints = cluster.endpoints().join(",");
    let mut controllers = Vec::new();
    for name in REPLICAS {
        let arguments = ["controller", "--endpoints", &endpoints, "--name", name];
        controllers.push(start(&fleet, name, &arguments, &folder)?);
    }
    let etcdctl = format!("{} --endpoints {endpoints}", etcdctl.display());
    put(
        &etcdctl,
        &format!(r#"{{"workers":{wanted},"job":"paint"}}"#),
    )?;
    print_lines_to_try(&etcdctl, &controllers, &cluster);
    let table = Command::new(&fleet)
        .args(["table", "--endpoints", &endpoints])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot show the table")?;
    let mut table = Running {
        name: "the table".to_owned(),
        child: table,
    };
    let mut shown = Ok(());
    while !interrupt::asked() && shown.is_ok() {
        if let Some(status) = table.child.try_wait()? {
            shown = Err(anyhow::anyhow!("the table ended: {status}"));
        }
        std::thread::sleep(process::POLL);
    }
    drop(table);
    println!("\nstopping the controllers, the workers and the members");
    controllers.into_iter().try_for_each(Running::stop)?;
    let stopped = Command::new(&fleet)
        .args(["stop", "--endpoints", &endpoints])
        .status();
    cluster.stop(None)?;
    stopped.context("cannot stop the workers")?;
    shown
}

fn start(program: &Path, name: &str, arguments: &[&str], folder: &Path) -> Result<Running> {
    let log = File::create(folder.join(format!("controller-{name}.log")))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start the controller {name}"))?;
    Ok(Running {
        name: format!("controller {name}"),
        child,
    })
}

/// By etcdctl, as anybody would.
fn put(etcdctl: &str, value: &str) -> Result<()> {
    let mut words = etcdctl.split(' ');
    let program = words.next().context("no etcdctl")?;
    let output = Command::new(program)
        .args(words)
        .args(["put", "fleet/kinds/blue", value])
        .output()
        .context("cannot run etcdctl")?;
    if !output.status.success() {
        bail!("etcdctl put: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn print_lines_to_try(etcdctl: &str, controllers: &[Running], cluster: &Cluster) {
    println!("\na fleet is kept as the keys under fleet/kinds/ say. In another terminal:");
    for line in [
        r#"put fleet/kinds/blue '{"workers":5,"job":"paint"}'"#,
        r#"put fleet/kinds/blue '{"workers":5,"job":"sing"}'"#,
        r#"put fleet/kinds/green '{"workers":2}'"#,
        "del fleet/kinds/green",
    ] {
        println!("  {etcdctl} {line}");
    }
    println!("  kill -9 <a process of the table>");
    for controller in controllers {
        println!(
            "  kill -9 {}    # {}",
            controller.child.id(),
            controller.name
        );
    }
    for (member, pid) in cluster.members.iter().zip(cluster.pids()) {
        println!("  kill -9 {pid}    # member {}", member.name);
    }
    println!("Ctrl-C stops everything\n");
}
