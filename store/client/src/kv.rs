//! Keys and values: requests that are put together field by field and sent by `.await`.
//!
//! ```no_run
#![doc = include_str!("../examples/kv.rs")]
//! ```

mod compare;
mod delete;
mod get;
mod pages;
mod put;
mod txn;

pub use compare::Compare;
pub use delete::{Delete, Deleted};
pub use get::{Found, Get};
pub use pages::Pages;
pub use put::{Put, Stored};
pub use txn::{Op, Outcome, Txn, TxnOutcome};
