//! Apply on a real store: replies, state and what survives a reopen, against etcd's rules.

mod auth;
mod model;
mod robust;
mod rules;
mod support;
mod txn;
