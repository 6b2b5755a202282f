//! The suite of the node itself: what a user of Kubernetes expects works on it, and nothing of it
//! stays on the machine.

mod machine;
mod server;
mod workload;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::node::{Node, Options, down};
use crate::{cgroup, image, network};
use machine::Machine;
use workload::Workload;
pub(crate) use workload::fetch;
use xtask::tally::Tally;

/// Runs all of it with a node of its own; true if every case passed.
pub fn run(options: &Options) -> Result<bool> {
    down(&options.folder)?;
    let before = Machine::look()?;
    // The caller's images are ours, see `main.rs`.
    let ours = !options.images.is_empty();
    let mut options = options.clone();
    let busybox = busybox_archive()?;
    options.images.push(busybox.clone());
    let mut tally = Tally::default();
    let mut node = None;
    let up = tally.case("up", || {
        node = Some(Node::up(&options)?);
        Ok(())
    });
    if let (true, Some(node)) = (up, &node) {
        use_it(&mut tally, node, &busybox);
        if ours {
            tally.case("image-of-mainstay-serves", || server::serves(&node.kubectl));
        }
        tally.case("another-run-refused", || another_run_is_refused(&options));
        tally.case("nothing-ended", || node.check());
        print_memory();
        tally.case("an-end-is-told", || an_end_is_told(node));
    }
    tally.case("down-leaves-no-trace", || {
        match node.take() {
            Some(node) => node.down()?,
            None => down(&options.folder)?,
        }
        before.compare(&Machine::look()?)
    });
    tally.case("up-after-a-killed-run", || after_a_kill(&options));
    tally.case("down-again-leaves-no-trace", || {
        down(&options.folder)?;
        before.compare(&Machine::look()?)
    });
    std::fs::remove_file(&busybox).context("cannot remove the test's image")?;
    Ok(tally.close())
}

/// Cases that use one node, in this order.
fn use_it(tally: &mut Tally, node: &Node, archive: &Path) {
    let workload = Workload::new(node.kubectl.clone());
    tally.case("image-loaded-while-up", || node.load(archive));
    tally.case("stateful-set", || workload.start());
    tally.case("headless-names", || workload.headless_names());
    tally.case("cluster-ip", || workload.cluster_ip());
    tally.case("exec-and-logs", || workload.exec_and_logs());
    tally.case("secret-updated", || workload.secret_updated());
    tally.case("claim-grown", || workload.claim_grown());
    tally.case("volume-outlives-its-pod", || {
        workload.volume_outlives_its_pod()
    });
    tally.case("volume-goes-with-its-claim", || {
        workload.volume_goes_with_its_claim(&node.folder.volumes())
    });
    tally.case("bad-manifest-refused", || workload.bad_manifest_refused());
    tally.case("reached-when-a-pod-goes", || reached_when_a_pod_goes(node));
}

/// The address by which the bridge is reached is not that of any pod, and does not go with one.
fn reached_when_a_pod_goes(node: &Node) -> Result<()> {
    let pid = cgroup::first_process()?.context("the node has no process")?;
    let ask = || node.kubectl.run(&["get", "--raw", "/readyz"]).map(drop);
    network::plug(pid, true)?;
    let asked = ask();
    network::plug(pid, false)?;
    asked.and_then(|()| ask())
}

fn print_memory() {
    match machine::memory() {
        Ok(lines) => lines.iter().for_each(|line| println!("      {line}")),
        Err(error) => println!("      memory: {error:#}"),
    }
}

/// A program of the node that ends is named from then on.
fn an_end_is_told(node: &Node) -> Result<()> {
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let processes = cgroup::processes()?;
    let scheduler = processes
        .into_iter()
        .find(|pid| name(pid).trim() == "kube-scheduler");
    xtask::process::kill(scheduler.context("no scheduler runs")?);
    xtask::process::wait_until("its end is told", workload::LIMIT, || {
        let told = node.check().err().map(|error| error.to_string());
        Ok(told.is_some_and(|text| text.contains("kube-scheduler ended")))
    })?;
    Ok(())
}

/// Nobody takes the node from under a program that uses it.
fn another_run_is_refused(options: &Options) -> Result<()> {
    for refused in [Node::up(options).map(drop), down(&options.folder)] {
        match refused {
            Ok(()) => bail!("another run was let in"),
            Err(error) if format!("{error:#}").contains("another run") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A run that is killed leaves its node; another one must not mind.
fn after_a_kill(options: &Options) -> Result<()> {
    // The first is let go while it runs, the second loses its processes but not its folder.
    drop(Node::up(options)?);
    let first = cgroup::processes()?;
    let node = Node::up(options)?;
    let second = cgroup::processes()?;
    if let Some(pid) = first.iter().find(|pid| second.contains(pid)) {
        bail!("process {pid} of the first node is still there");
    }
    let keeper = cgroup::first_process()?.context("the second node has no process")?;
    xtask::process::kill(keeper);
    xtask::process::wait_until(
        "the node ends with its first process",
        workload::LIMIT,
        || Ok(cgroup::processes()?.is_empty()),
    )?;
    drop(node);
    Node::up(options)?.check()
}

fn busybox_archive() -> Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("mainstay-busybox-{}.tar", std::process::id()));
    image::busybox()?.write(&path)?;
    Ok(path)
}
