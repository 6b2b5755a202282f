//! Typed objects over keys, each with what is wanted of it and what has been made of it.
//!
//! An object of kind `fleet/workers` called `blue` is three keys at most:
//!
//! | key | who writes it | what it holds |
//! |---|---|---|
//! | `fleet/workers/blue` | people, programs | what is wanted, in the kind's format |
//! | `fleet/workers.status/blue` | the controller | what is so, as JSON |
//! | `fleet/workers.held/blue` | the controller | finalizers, and what was wanted last, as JSON |
//!
//! The *generation* of an object is the revision at which its first key was written last, and its
//! identity the one at which it was made: no counter has to be kept by whoever writes, and a plain
//! `etcdctl put` or `del` is enough. An object whose first key is gone while finalizers hold it is
//! *being deleted*, and is gone when the last finalizer is.
//!
//! ```no_run
#![doc = include_str!("../examples/resource.rs")]
//! ```

mod api;
mod format;
mod object;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use api::Resources;
pub use format::{Format, Json, Raw, Yaml};
pub use object::Object;
pub(crate) use object::{Parts, Role, Triple};

/// A kind of objects: the type itself is what people want of one.
pub trait Resource: Clone + Send + Sync + Sized + 'static {
    /// The prefix of its keys, without the slash at the end.
    const KIND: &'static str;
    /// What a controller tells of an object; `()` if nothing.
    type Status: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static;
    /// How it is written: [`Json`], [`Yaml`] or [`Raw`] bytes.
    type Format: Format<Self>;
}
