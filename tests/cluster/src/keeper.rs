//! The first process of the node's namespaces: it starts everything and buries what has ended.
//!
//! When it ends the kernel ends all others with it. It prints a line for each step and
//! [`READY`] at the end; what it prints after that is a complaint.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::WaitOptions;
use xtask::process;

use crate::folder::Folder;
use crate::kubectl::Kubectl;
use crate::order::{Order, Program};
use crate::{NAME, control_plane, network, provisioner, tools, traces, worker};

/// The line that says that the node can be used.
pub const READY: &str = "the node is ready";
/// How long each step may take. The API server alone takes three seconds on two idle cores.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// Lines of a log quoted when a program ends during the start.
const QUOTED_LINES: usize = 12;

struct Keeper {
    order: Order,
    running: Vec<(Program, Child)>,
    begin: Instant,
}

/// Starts the node that the order describes and stays as long as any program of it runs.
pub fn run(order: &Path) -> Result<()> {
    let mut keeper = Keeper {
        order: Order::read(order)?,
        running: Vec::new(),
        begin: Instant::now(),
    };
    keeper.start()?;
    println!("{READY}");
    keeper.bury()
}

impl Keeper {
    fn start(&mut self) -> Result<()> {
        cover()?;
        self.wait("the cable to the machine", || {
            Ok(network::exists(network::UPLINK))
        })?;
        network::inside()?;
        self.spawn(worker::containerd(&self.order)?)?;
        self.spawn(control_plane::datastore(&self.order))?;
        self.wait("the datastore", || {
            Ok(TcpStream::connect("127.0.0.1:2379").is_ok())
        })?;
        self.spawn(control_plane::api_server(&self.order))?;
        self.images()?;
        let kubectl = self.kubectl();
        self.wait_for(
            &kubectl,
            "the API server",
            &["get", "--raw", "/readyz"],
            "ok",
        )?;
        self.spawn(control_plane::controller_manager(&self.order))?;
        self.spawn(control_plane::scheduler(&self.order))?;
        self.spawn(worker::kubelet(&self.order)?)?;
        self.spawn(worker::proxy(&self.order)?)?;
        self.spawn(control_plane::name_server(&self.order)?)?;
        kubectl.apply(&[provisioner::storage_class()])?;
        self.spawn(provisioner::program(&self.order.folder)?)?;
        let account = ["get", "serviceaccount", "default", "-o", "name"];
        self.wait_for(
            &kubectl,
            "the controllers",
            &account,
            "serviceaccount/default",
        )?;
        let status = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        self.wait_for(
            &kubectl,
            "the node's kubelet",
            &["get", "node", NAME, status],
            "True",
        )?;
        self.wait("the name server", || {
            Ok(resolves("kubernetes.default.svc.cluster.local"))
        })
    }

    fn spawn(&mut self, program: Program) -> Result<()> {
        let child = program.spawn(&self.order.folder)?;
        self.running.push((program, child));
        Ok(())
    }

    /// Gives containerd the images that the node begins with.
    fn images(&mut self) -> Result<()> {
        let folder = self.order.folder.clone();
        self.wait("containerd", || {
            Ok(tools::output(ctr(&folder).arg("version")).is_ok())
        })?;
        for archive in &self.order.images {
            import(&folder, archive)?;
        }
        Ok(())
    }

    fn kubectl(&self) -> Kubectl {
        Kubectl {
            program: self.order.peer("kubectl"),
            kubeconfig: self.order.folder.kubeconfig(),
            namespace: None,
        }
    }

    fn wait_for(
        &mut self,
        kubectl: &Kubectl,
        what: &str,
        arguments: &[&str],
        wanted: &str,
    ) -> Result<()> {
        let answers = || {
            Ok(kubectl
                .run(arguments)
                .is_ok_and(|answer| answer.trim() == wanted))
        };
        self.wait(what, answers)
    }

    /// Waits for a condition; a program that ends meanwhile is an error with its last words.
    fn wait(&mut self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        let folder = self.order.folder.clone();
        let running = &mut self.running;
        process::wait_until(what, STEP_LIMIT, || {
            for (program, child) in running.iter_mut() {
                if let Some(status) = child.try_wait()? {
                    let log = program.log(&folder);
                    bail!(
                        "{} ended with {status}:\n{}",
                        program.name,
                        last_lines(&log)
                    );
                }
            }
            condition()
        })?;
        println!("{:5.1} s  {what}", self.begin.elapsed().as_secs_f64());
        Ok(())
    }

    /// Waits for processes to end, those of the node and orphans of its pods, until all have.
    fn bury(self) -> Result<()> {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let is_it = |child: &Child| {
                        i64::from(child.id()) == i64::from(pid.as_raw_nonzero().get())
                    };
                    if let Some((program, _)) = self.running.iter().find(|(_, child)| is_it(child))
                    {
                        println!("{} ended: {status:?}", program.name);
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error).context("cannot wait for processes"),
            }
        }
    }
}

/// Mounts that only the node sees: its own `/run`, and an empty folder over each place in which
/// its programs write by fixed names.
fn cover() -> Result<()> {
    // The kubelet wants mounts to propagate from it into pods.
    tools::output(Command::new("mount").args(["--make-rshared", "/"]))?;
    for place in traces::PLACES.iter().chain(&["/run"]) {
        tools::output(Command::new("mount").args(["-t", "tmpfs", NAME, place]))?;
    }
    Ok(())
}

/// containerd's client, in the kubelet's namespace of images.
pub(crate) fn ctr(folder: &Folder) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(folder.containerd_socket())
        .args(["--namespace", "k8s.io"]);
    command
}

/// Gives an archive of an image to containerd.
pub(crate) fn import(folder: &Folder, archive: &Path) -> Result<()> {
    tools::output(ctr(folder).args(["images", "import"]).arg(archive)).map(drop)
}

fn resolves(name: &str) -> bool {
    tools::output(Command::new("busybox").args(["nslookup", name, network::DNS])).is_ok()
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(QUOTED_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// What the node's programs have complained about since it was ready.
pub(crate) fn complaints(folder: &Folder) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(folder.progress()).context("the node has no log")?;
    let after = text.lines().skip_while(|line| *line != READY).skip(1);
    Ok(after.map(str::to_owned).collect())
}
