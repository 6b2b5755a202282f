//! Members in network namespaces of their own, so that one can be cut off as if its cable were
//! pulled: nothing is refused and nothing is reset, packets are gone. Only root can do that.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Begin of the names of everything that is made here; the process's id follows.
const TAG: &str = "mw";
/// Networks of which the first that nobody uses here is taken.
const NETWORKS: &str = "10.94";

/// A bridge on this side, and for each member a namespace with one cable to it.
#[derive(Debug)]
pub struct Network {
    tag: String,
    third: u8,
    size: usize,
}

impl Network {
    /// True if this user may make one.
    pub fn is_possible() -> bool {
        rustix::process::geteuid().is_root()
    }

    pub fn lay(size: usize) -> Result<Network> {
        remove_left_over()?;
        let taken = output("ip", &["-o", "address"])?;
        let free = |third: &u8| !taken.contains(&format!("{NETWORKS}.{third}."));
        let third = (0..=u8::MAX).find(free).context("no network is free")?;
        let tag = format!("{TAG}{}", std::process::id());
        let network = Network { tag, third, size };
        let bridge = network.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let here = format!("{NETWORKS}.{third}.254/24");
        ip(&["address", "add", &here, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for at in 0..size {
            let (space, cable) = (network.space(at), network.cable(at));
            ip(&["netns", "add", &space])?;
            ip(&[
                "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &space,
            ])?;
            ip(&["link", "set", &cable, "master", &bridge, "up"])?;
            let address = format!("{}/24", network.address(at));
            for inside in [
                &["address", "add", &address, "dev", "eth0"][..],
                &["link", "set", "eth0", "up"],
                &["link", "set", "lo", "up"],
            ] {
                ip(&[&["-n", &space][..], inside].concat())?;
            }
        }
        Ok(network)
    }

    /// Where a member listens.
    pub fn address(&self, at: usize) -> String {
        format!("{NETWORKS}.{}.{}", self.third, at + 1)
    }

    /// What a program is started by to run there; it becomes the program without a fork.
    pub fn wrapper(&self, at: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(at)]
            .map(str::to_owned)
            .to_vec()
    }

    /// Cuts a member off from the others and from clients.
    pub fn cut(&self, at: usize) -> Result<()> {
        ip(&["link", "set", &self.cable(at), "down"])
    }

    pub fn mend(&self, at: usize) -> Result<()> {
        ip(&["link", "set", &self.cable(at), "up"])
    }

    fn bridge(&self) -> String {
        format!("{}b", self.tag)
    }

    fn space(&self, at: usize) -> String {
        format!("{}n{at}", self.tag)
    }

    fn cable(&self, at: usize) -> String {
        format!("{}v{at}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A namespace lives for as long as a process that ends has it, and its cable would too.
        let cables = (0..self.size).map(|at| self.cable(at));
        for link in cables.chain([self.bridge()]) {
            if Path::new("/sys/class/net").join(&link).exists() {
                tell(ip(&["link", "delete", &link]));
            }
        }
        for space in (0..self.size).map(|at| self.space(at)) {
            if Path::new("/run/netns").join(&space).exists() {
                tell(ip(&["netns", "delete", &space]));
            }
        }
    }
}

fn tell(done: Result<()>) {
    if let Err(error) = done {
        eprintln!("a part of the network stays: {error:#}");
    }
}

/// What runs have left that were killed.
fn remove_left_over() -> Result<()> {
    let is_left = |name: &str| {
        let rest = name.strip_prefix(TAG)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let kind = rest.strip_prefix(&digits)?;
        let ours = !digits.is_empty() && kind.starts_with(['b', 'n']);
        (ours && !Path::new("/proc").join(digits).exists()).then_some(())
    };
    let names = output("ip", &["netns", "list"])?;
    for name in names.lines().filter_map(|line| line.split(' ').next()) {
        if is_left(name).is_some() {
            ip(&["netns", "delete", name])?;
        }
    }
    let links = output("ip", &["-o", "link", "show", "type", "bridge"])?;
    for name in links.lines().filter_map(|line| line.split(": ").nth(1)) {
        if is_left(name).is_some() {
            ip(&["link", "delete", name])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    output("ip", arguments).map(drop)
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program).args(arguments).output();
    let done = done.with_context(|| format!("cannot run {program}"))?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {}: {}", arguments.join(" "), errors.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
