//! The log as its callers and its disk see it: restarts, crashes, damage, failures.

mod crash;
mod damage;
mod failure;
#[cfg(feature = "planted-faults")]
mod faults;
mod log;
mod model;
mod readers;
mod support;
