//! The hub on a real store: what watches are handed must be a replay of the store's history.

mod bench;
#[cfg(feature = "planted-faults")]
mod fault;
mod model;
mod race;
mod rules;
mod support;
