//! The hub on a real store: what watches are handed must be a replay of the store's history.

mod bench;
mod model;
mod rules;
mod support;
