//! The planner against a small simulated cluster: stories that can be read, and properties over
//! thousands of histories.
//!
//! The simulation plays the StatefulSet controller, pods, volumes, the servers with their intents,
//! and the list of members. It is written from what those do, not from what the planner expects.

mod hand;
mod kubernetes;
mod promises;
mod properties;
mod servers;
mod stories;
mod trials;
mod world;
