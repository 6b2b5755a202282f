//! The resources that people write: `MainstayCluster`; `MainstayBackup` and `MainstayBackupSchedule`;
//! `MainstayUser` and `MainstayRole`.
//!
//! The Rust types are the source; `crdgen` writes `crds/` from them, and doc comments become what
//! `kubectl explain` prints. Rules that the API server can hold are CEL beside the field they guard;
//! what takes a look at the cluster is the planner's (`operator/plan`).
//!
//! Read next: `cluster.rs` for the spec, `status.rs` for what is told back, `condition.rs` for the
//! reasons; `operator/README.md` says what to do about each of them.

// Each printer column has a type and a path; the lint takes them for repetitions of one attribute.
#![allow(clippy::duplicated_attributes)]

pub mod access;
pub mod annotation;
pub mod backup;
pub mod bootstrap;
pub mod cluster;
pub mod condition;
pub mod definition;
pub mod keyset;
pub mod quantity;
pub mod recovery;
pub mod scheduling;
pub mod server;
pub mod service;
pub mod status;
pub mod storage;
pub mod tls;

pub use access::{MainstayRole, MainstayUser};
pub use backup::{MainstayBackup, MainstayBackupSchedule};
pub use cluster::{MainstayCluster, MainstayClusterSpec};
pub use keyset::MainstayKeySet;
pub use status::MainstayClusterStatus;

/// The group of every resource.
pub const GROUP: &str = "mainstay.dev";
/// Their one version.
pub const VERSION: &str = "v1alpha1";
/// On a cluster as long as the operator has something to clear away.
pub const FINALIZER: &str = "mainstay.dev/cluster";
