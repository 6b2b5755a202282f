//! The node's network: a bridge in a network namespace, and one cable to the machine.
//!
//! ```text
//! machine                     | namespace of the node
//! mainstay-node 10.89.0.254 --+-- uplink --+
//!                             |            bridge0 10.89.0.1 -- pods 10.89.0.10-250
//! ```
//!
//! The bridge's address is that of the API server, the kubelet and the name server. The machine
//! has a route to the Services, so a test outside of the node is a client like a pod.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::NAME;
use crate::tools;

/// The address of the API server, the kubelet and the name server.
pub const API: &str = "10.89.0.1";
pub const API_PORT: &str = "6443";
/// The name server of the pods.
pub const DNS: &str = API;
/// This machine, seen from the pods.
pub const HOST: &str = "10.89.0.254";
pub const PODS: &str = "10.89.0.0/24";
pub const POD_RANGE: (&str, &str) = ("10.89.0.10", "10.89.0.250");
pub const SERVICES: &str = "10.96.0.0/16";
/// The Service `kubernetes` takes the first address of [`SERVICES`].
pub const FIRST_SERVICE: &str = "10.96.0.1";
pub const BRIDGE: &str = "bridge0";
pub const UPLINK: &str = "uplink";
/// The bridge's hardware address: of those that anybody may give, with [`API`] in its last bytes.
///
/// A bridge that is given none goes by the lowest of its ports', and takes another when that pod
/// goes. Nobody is told: whoever has just spoken to [`API`] goes on sending to an address that is
/// no more, for half a minute and longer.
const BRIDGE_ADDRESS: &str = "02:00:0a:59:00:01";

/// Lays the cable into the namespace of process `pid` and makes it usable on this side.
///
/// The other side is [`inside`]'s; traffic flows once both are done.
pub fn connect(pid: u32) -> Result<()> {
    let pid = pid.to_string();
    ip(&[
        "link", "add", NAME, "type", "veth", "peer", "name", UPLINK, "netns", &pid,
    ])?;
    ip(&["address", "add", &format!("{HOST}/24"), "dev", NAME])?;
    ip(&["link", "set", NAME, "up"])?;
    ip(&["route", "add", SERVICES, "via", API, "dev", NAME])
}

/// Takes the cable away; without one it does nothing.
pub fn disconnect() -> Result<()> {
    if exists(NAME) {
        ip(&["link", "delete", NAME])?;
    }
    Ok(())
}

/// An error if the addresses of the node are in use on this machine, by somebody else.
pub fn check_free() -> Result<()> {
    for range in [PODS, SERVICES] {
        let found = tools::output(Command::new("ip").args(["route", "show", "to", "root", range]))?;
        if !found.trim().is_empty() {
            bail!("{range} is in use here: {}", found.trim());
        }
    }
    Ok(())
}

/// True if a network interface has this name, in the caller's namespace.
pub fn exists(name: &str) -> bool {
    tools::output(Command::new("ip").args(["link", "show", "dev", name])).is_ok()
}

/// The node's side, run in its namespace once the cable is there.
pub fn inside() -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&[
        "link",
        "add",
        BRIDGE,
        "address",
        BRIDGE_ADDRESS,
        "type",
        "bridge",
    ])?;
    ip(&["address", "add", &format!("{API}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    ip(&["link", "set", UPLINK, "master", BRIDGE, "up"])?;
    // Foreign addresses are nowhere to be found, rather than waited for.
    ip(&["route", "add", "unreachable", "default"])?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on forwarding")
}

/// Plugs a cable into the bridge of the node whose first process is `pid`, or pulls it out.
///
/// Its hardware address is lower than those that pods are given, which are drawn by chance; this
/// machine asks for the bridge's anew, as it does when it has not spoken to it for a while.
pub fn plug(pid: u32, plugged: bool) -> Result<()> {
    const CABLE: &str = "lowest";
    let pid = pid.to_string();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--net", "ip", "link"]);
        tools::output(command.args(arguments)).map(drop)
    };
    if !plugged {
        return inside(&["delete", CABLE]);
    }
    let address = "02:00:00:00:00:01";
    inside(&["add", CABLE, "address", address, "type", "veth"])?;
    inside(&["set", CABLE, "master", BRIDGE, "up"])?;
    ip(&["neighbour", "flush", "to", API, "dev", NAME])
}

fn ip(arguments: &[&str]) -> Result<()> {
    tools::output(Command::new("ip").args(arguments)).map(drop)
}
