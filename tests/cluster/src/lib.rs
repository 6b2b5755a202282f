//! A real Kubernetes node on this machine, for the operator's tests and for people to try.
//!
//! The node is one process tree in namespaces of its own, as a container would be: its bridge, its
//! iptables, its ports, its mounts and its processes are not those of the machine, so two runs
//! cannot disturb each other and taking it down is ending one process. What it does leave outside
//! (one network interface, control groups, some kernel settings) is listed in `traces.rs` and
//! undone from there, even after a run that was killed.
//!
//! [`Node::up`] and [`Node::down`] are the door; read `node.rs` first, then `keeper.rs`, which is
//! the first process inside.

mod cgroup;
mod control_plane;
mod folder;
mod identity;
pub mod image;
pub mod keeper;
mod kubectl;
mod network;
mod node;
pub mod operator;
mod order;
pub mod provisioner;
pub mod suite;
mod tools;
mod traces;
mod worker;

pub use folder::Folder;
pub use kubectl::Kubectl;
pub use network::{API, DNS, HOST};
pub use node::{Datastore, Node, Options, down};

/// The name of the node in Kubernetes, of its interface here and of its control groups. There is
/// one node a machine.
pub const NAME: &str = "mainstay-node";
