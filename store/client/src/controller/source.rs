//! Where triggers come from: the objects themselves, and other keys that are watched for their sake.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, select_all};
use mainstay_proto::mvccpb::KeyValue;

use crate::error::Error;
use crate::reflector::{Change, Reflector};
use crate::resource::{Parts, Role};

/// Names the objects that a key is watched for.
pub(super) type Mapper = Arc<dyn Fn(&KeyValue) -> Vec<String> + Send + Sync>;

/// What a source tells.
#[derive(Debug)]
pub(crate) enum Trigger {
    Names(Vec<String>),
    /// The copy of this source is whole: its first list is done.
    Synced(usize),
    Failed(Error),
}

/// All sources of one controller.
pub(super) struct Sources {
    own: Reflector,
    parts: Parts,
    counted: Vec<Role>,
    others: Vec<(Mapper, Reflector)>,
}

impl Sources {
    pub(super) fn new(own: Reflector, parts: Parts) -> Sources {
        Sources {
            own,
            parts,
            counted: vec![Role::Spec, Role::Held],
            others: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, mapper: Mapper, keys: Reflector) {
        self.others.push((mapper, keys));
    }

    pub(super) fn count(&mut self, roles: impl IntoIterator<Item = Role>) {
        self.counted = roles.into_iter().collect();
    }
}

/// Something that a runner takes triggers from; in tests it is a script.
pub(crate) trait Triggers {
    /// How many sources must be whole before anything is reconciled.
    fn sources(&self) -> usize;
    fn stream(self) -> SelectAll<BoxStream<'static, Trigger>>;
}

impl Triggers for Sources {
    fn sources(&self) -> usize {
        1 + self.others.len()
    }

    fn stream(self) -> SelectAll<BoxStream<'static, Trigger>> {
        let (parts, counted, cache) = (self.parts, self.counted, self.own.cache());
        let own: Mapper = Arc::new(move |kv| {
            let Some((role, name)) = parts.read(&kv.key) else {
                return Vec::new();
            };
            let there = |role| cache.get(parts.key(role, name)).is_some();
            // A status without an object is looked at, so that it is swept.
            let counts = counted.contains(&role) || !(there(Role::Spec) || there(Role::Held));
            Vec::from_iter(counts.then(|| name.to_owned()))
        });
        let mut streams = vec![stream(0, own, self.own)];
        for (at, (mapper, keys)) in self.others.into_iter().enumerate() {
            streams.push(stream(at + 1, mapper, keys));
        }
        select_all(streams)
    }
}

fn stream(at: usize, mapper: Mapper, keys: Reflector) -> BoxStream<'static, Trigger> {
    let next = move |(mut keys, mapper): (Reflector, Mapper)| async move {
        let trigger = match keys.next().await {
            Ok(Change::Synced { .. }) => Trigger::Synced(at),
            Ok(Change::Put { now, before }) => {
                let mut names = mapper(&now);
                if let Some(before) = before {
                    names.extend(mapper(&before));
                }
                names.sort_unstable();
                names.dedup();
                Trigger::Names(names)
            }
            Ok(Change::Deleted { before }) => Trigger::Names(mapper(&before)),
            Err(error) => Trigger::Failed(error),
        };
        Some((trigger, (keys, mapper)))
    };
    futures::stream::unfold((keys, mapper), next).boxed()
}
