//! Consensus: from a request on any member to an entry that every member applies, and the checks
//! that make reads linearizable. openraft decides; this crate gives it a log, a network and a
//! state machine, and does what openraft leaves to the application: forwarding, read index on
//! followers, forming a cluster once, leases that end with their leader's term.
//!
//! It must not know gRPC, and openraft's types do not leave it: [`Node`] is the seam at which the
//! library can be changed. Follow a write from `propose`, a read from `read_index`, an append from
//! a leader through `peer/serve` to `log`, and an entry through `machine` to `store/apply`.

mod append_stream;
mod applied;
mod bootstrap;
mod changes;
mod codec;
mod consensus;
mod corruption;
pub mod describe;
mod force_new;
mod handler;
pub mod identity;
mod join;
mod keeper;
mod leadership;
mod lease;
mod log;
mod machine;
mod membership;
mod network;
mod node;
mod peer;
mod peers;
mod propose;
mod read_index;
mod snapshot;
mod start;
mod status;
mod transfer;
mod types;

pub use bootstrap::BootstrapError;
pub use changes::Changes;
pub use corruption::{Corruption, Finding, HashError, Hashed};
pub use identity::{Identity, IdentityError, InitialCluster};
pub use join::{JoinError, join};
pub use keeper::Limits as KeeperLimits;
pub use lease::LeaseError;
pub use machine::CommitObserver;
pub use membership::Member;
pub use membership::change::{ChangeError, Policy as MemberPolicy, added_id};
pub use membership::removal::{LINGER as REMOVAL_LINGER, Removal};
pub use membership::rules::{Change, Refusal};
pub use node::Node;
pub use peer::dial::Dialler;
pub use peer::listen::PeerListener;
pub use peer::{PeerError, ROUND_TRIP_BOUND_MICROS, SharedTraffic, Traffic};
pub use propose::{OUTSTANDING_MAX, ProposeError};
pub use read_index::ReadError;
pub use start::{Parts, Settings, StartError, start};
pub use status::{NodeMetrics, NodeStatus, PeerMetrics};
pub use transfer::TransferError;
pub use types::Peer;
