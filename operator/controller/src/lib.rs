//! The operator's process: what triggers a pass over a cluster, which of several processes works, and
//! what it tells about itself.
//!
//! Read `run.rs` for the wiring, `clusters.rs` for what triggers a pass, `pass.rs` for what happens
//! in one. Decisions are in `operator/plan`, changes in `operator/act`.

mod access;
pub mod agent;
mod backoff;
mod backups;
pub mod check;
mod clusters;
mod context;
mod events;
mod keysets;
mod labels;
mod lease;
pub mod log;
mod metrics;
pub mod options;
mod pass;
mod passes;
pub mod plugin;
mod probes;
mod roles;
pub mod run;
mod sessions;
mod status;
