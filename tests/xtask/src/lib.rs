//! What the chores share with the other test programs: where things lie, how a cluster of real
//! processes is started and stopped, and what the kernel says about a process.
//!
//! It starts programs by etcd's flags only, so etcd and Mainstay are driven by the same lines. It
//! must not depend on a crate of `store/`. Read next: `cluster.rs`.

pub mod cluster;
pub mod interrupt;
pub mod places;
pub mod process;
pub mod status;
pub mod tally;
