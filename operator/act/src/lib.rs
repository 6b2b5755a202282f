//! Carries out one step of a plan: each is idempotent and names the object it was decided about.
//!
//! No decision is made here. `render` is what the objects of a cluster look like, `tls` makes
//! certificates, `apply` and `ledger` bring objects to the API server and see whether they are still
//! as they were left, `finalizer` holds a resource until its things are gone, `step` is the one door.

pub mod apply;
mod error;
pub mod finalizer;
pub mod labels;
pub mod ledger;
pub mod parts;
pub mod render;
pub mod step;
pub mod tls;

pub use error::Error;
pub use step::Actor;
