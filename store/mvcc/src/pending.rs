//! Writes of a batch that are not committed yet, so that reads in the batch see them.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

use crate::{index::Latest, range::Bounds, record::Record};

#[derive(Debug)]
pub(crate) struct Write {
    pub record: Record,
    pub latest: Latest,
    /// The record before, with its value, if somebody wants it.
    pub before: Option<KeyValue>,
    /// The write of the same key before this one in the batch.
    earlier: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    writes: Vec<Write>,
    newest: BTreeMap<Bytes, usize>,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    pub fn push(&mut self, record: Record, before: Option<KeyValue>) {
        let earlier = self.newest.insert(record.key.clone(), self.writes.len());
        let latest = Latest::of(&record);
        self.writes.push(Write {
            record,
            latest,
            before,
            earlier,
        });
    }

    /// Takes back all writes but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        while self.writes.len() > len
            && let Some(write) = self.writes.pop()
        {
            match write.earlier {
                Some(earlier) => self.newest.insert(write.record.key, earlier),
                None => self.newest.remove(&write.record.key),
            };
        }
    }

    /// The newest write of a key.
    pub fn latest(&self, key: &[u8]) -> Option<&Write> {
        self.writes.get(*self.newest.get(key)?)
    }

    /// The newest write of each key in the bounds that is not after `main`, in key order.
    pub fn within(&self, bounds: &Bounds<'_>, main: i64) -> Vec<&Write> {
        let visible = |at: &usize| {
            let mut write = self.writes.get(*at)?;
            while write.record.revision.main > main {
                write = self.writes.get(write.earlier?)?;
            }
            Some(write)
        };
        match bounds {
            Bounds::Empty => Vec::new(),
            Bounds::One(key) => self
                .newest
                .get(*key)
                .and_then(visible)
                .into_iter()
                .collect(),
            Bounds::Span { from, end } => {
                let end = end.map_or(Bound::Unbounded, Bound::Excluded);
                let keys = self.newest.range::<[u8], _>((Bound::Included(*from), end));
                keys.filter_map(|(_, at)| visible(at)).collect()
            }
        }
    }
}
