//! What the rules about this repository are tested with: its tracked files, its manifests, and the
//! sizes of its files and functions.
//!
//! Rules that a test can hold are in `tests/`; sizes are only reported (`src/main.rs`), because a
//! long table can be right. Nothing here runs a part of the store.

pub mod manifest;
pub mod sizes;
pub mod tree;
