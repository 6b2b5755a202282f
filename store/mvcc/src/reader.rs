//! Reading at a revision: index first, then the records it names.
//!
//! The index is locked for a bounded number of keys at a time; what a reader needs of disk comes
//! after. That works because a record never changes, and is removed only once the compact revision
//! has passed every revision that needs it: [`Reader::check`] at the end catches that case.

use std::ops::ControlFlow;

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

use crate::{
    Error,
    index::{Latest, versions::Start},
    pending::{Pending, Write},
    range::Bounds,
    record::Record,
    revision::Revision,
    store::Inner,
};

/// Keys looked at under one hold of the index lock.
const CHUNK_KEYS: usize = 1024;

/// Reads committed state, and in a batch its own writes over it.
pub(crate) struct Reader<'a> {
    pub inner: &'a Inner,
    pub own: Option<Own<'a>>,
}

/// What a batch knows beyond the committed state.
#[derive(Clone, Copy)]
pub(crate) struct Own<'a> {
    pub pending: &'a Pending,
    /// Revision reads see as the newest, own writes included.
    pub revision: i64,
    /// Highest revision a request may name.
    pub nameable: i64,
    pub compact: i64,
}

/// The revision a read is made at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Revision of the store, own writes included.
    pub current: i64,
    /// Revision to read at.
    pub main: i64,
}

/// A key alive at the revision read.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub key: Bytes,
    /// State at that revision.
    pub latest: Latest,
    /// The value, if it came along.
    value: Option<Bytes>,
}

/// A key found in the index, which may have to be followed back.
struct Found {
    key: Bytes,
    latest: Latest,
    /// Set if the newest record is after the revision read.
    start: Option<Start>,
}

impl Reader<'_> {
    /// Resolves the revision of a request, where 0 or less is the latest.
    pub fn moment(&self, requested: i64) -> Result<Moment, Error> {
        let (current, nameable, compact) = match &self.own {
            Some(own) => (own.revision, own.nameable, own.compact),
            None => {
                let shared = self.inner.shared.read();
                (shared.revision, shared.revision, shared.compact)
            }
        };
        if requested <= 0 {
            return Ok(Moment {
                current,
                main: current,
            });
        }
        if requested > nameable {
            return Err(Error::FutureRevision);
        }
        if requested < compact {
            return Err(Error::Compacted);
        }
        Ok(Moment {
            current,
            main: requested,
        })
    }

    /// Fails if a compaction has overtaken the read.
    pub fn check(&self, moment: &Moment) -> Result<(), Error> {
        let compact = match &self.own {
            Some(own) => own.compact,
            None => self.inner.compact(),
        };
        if moment.main < compact {
            Err(Error::Compacted)
        } else {
            Ok(())
        }
    }

    /// Own writes a read at this moment sees, with the committed revision under them.
    fn own_writes(&self, bounds: &Bounds<'_>, moment: &Moment) -> (Vec<&Write>, i64) {
        match &self.own {
            Some(own) => {
                let base = self.inner.revision();
                let writes = match moment.main > base {
                    true => own.pending.within(bounds, moment.main),
                    false => Vec::new(),
                };
                (writes, moment.main.min(base))
            }
            None => (Vec::new(), moment.main),
        }
    }

    /// Living keys in order, at most `limit`.
    pub fn gather(
        &self,
        bounds: &Bounds<'_>,
        moment: &Moment,
        limit: usize,
    ) -> Result<Vec<Hit>, Error> {
        let (own, main) = self.own_writes(bounds, moment);
        let hits = self.gather_committed(bounds, main, limit.saturating_add(own.len()))?;
        if own.is_empty() {
            return Ok(hits);
        }
        let mut merged = merge(hits, own);
        merged.truncate(limit);
        Ok(merged)
    }

    fn gather_committed(
        &self,
        bounds: &Bounds<'_>,
        main: i64,
        limit: usize,
    ) -> Result<Vec<Hit>, Error> {
        let mut hits = Vec::new();
        self.scan(bounds, main, limit, |hit| hits.push(hit))?;
        Ok(hits)
    }

    /// Hands over the committed keys alive at `main` in order, at most `limit`.
    pub fn scan(
        &self,
        bounds: &Bounds<'_>,
        main: i64,
        limit: usize,
        mut take: impl FnMut(Hit),
    ) -> Result<(), Error> {
        let mut taken = 0;
        let mut rest: Option<Vec<u8>> = None;
        loop {
            let bounds = match (&rest, bounds) {
                (Some(from), Bounds::Span { end, .. }) => Bounds::Span { from, end: *end },
                _ => *bounds,
            };
            let want = CHUNK_KEYS.min(limit - taken);
            let found = self.find(&bounds, main, want);
            let last = found.last().map(|f| f.key.clone());
            let full = found.len() == want && matches!(bounds, Bounds::Span { .. });
            for key in found {
                if let Some(hit) = self.resolve(key, main)? {
                    taken += 1;
                    take(hit);
                }
            }
            match last {
                Some(last) if full && taken < limit => rest = Some([&last[..], &[0]].concat()),
                _ => return Ok(()),
            }
        }
    }

    /// The last `limit` keys of a longer range, in ascending order, and how many there are. Only
    /// for the latest committed revision: there the index knows where they begin.
    pub fn tail(
        &self,
        bounds: &Bounds<'_>,
        moment: &Moment,
        limit: usize,
    ) -> Result<Option<(Vec<Hit>, u64)>, Error> {
        let (Bounds::Span { from, end }, None) = (bounds, &self.own) else {
            return Ok(None);
        };
        let (first, count) = {
            let shared = self.inner.shared.read();
            let tree = &shared.index.tree;
            let count = tree.count(from, *end);
            let Some(skipped) = count
                .checked_sub(limit as u64)
                .filter(|skipped| *skipped > 0)
            else {
                return Ok(None);
            };
            match tree.nth(tree.rank(from) + skipped) {
                Some(first) if moment.main == shared.revision => (first.to_vec(), count),
                _ => return Ok(None),
            }
        };
        let bounds = Bounds::Span {
            from: &first,
            end: *end,
        };
        Ok(Some((
            self.gather_committed(&bounds, moment.main, limit)?,
            count,
        )))
    }

    /// Up to `want` keys of the index that may be alive at `main`.
    fn find(&self, bounds: &Bounds<'_>, main: i64, want: usize) -> Vec<Found> {
        let mut found = Vec::with_capacity(if matches!(bounds, Bounds::One(_)) {
            1
        } else {
            16
        });
        if want == 0 {
            return found;
        }
        let shared = self.inner.shared.read();
        // With nothing newer than the revision read, a tombstone means absent and is skipped.
        let live_only = main >= shared.revision;
        shared.index.walk(bounds, live_only, |key, latest| {
            let start = (latest.main > main).then(|| shared.index.start(key, latest, main));
            found.push(Found {
                key: Bytes::copy_from_slice(key),
                latest: *latest,
                start,
            });
            match found.len() < want {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        found
    }

    /// The key as it stood at `main`, if it was alive.
    fn resolve(&self, found: Found, main: i64) -> Result<Option<Hit>, Error> {
        let Found { key, latest, start } = found;
        let Some(start) = start else {
            return Ok((!latest.tombstone()).then_some(Hit {
                key,
                latest,
                value: None,
            }));
        };
        let record = match start {
            Start::Exactly(version) if version.tombstone => None,
            Start::Exactly(version) => Some(self.must_read(&key, version.revision, main)?),
            Start::Follow(newer) => self.follow(&key, newer, main)?,
        };
        Ok(record.map(|record| {
            let latest = Latest::of(&record);
            Hit {
                key: record.key,
                latest,
                value: Some(record.value),
            }
        }))
    }

    /// Follows links back from a record after `main` to the one that holds at `main`.
    ///
    /// Every link followed leads to a record after `main`, or to the value that holds at `main`.
    /// Neither is ever removed while `main` is readable, so a missing one is corruption. A link to
    /// a tombstone not after `main` is not followed: the key did not exist.
    fn follow(&self, key: &Bytes, newer: Revision, main: i64) -> Result<Option<Record>, Error> {
        let mut record = self.must_read(key, newer, main)?;
        loop {
            let Some(prev) = record.prev else {
                return Ok(None);
            };
            if prev >= record.revision {
                return Err(Error::corrupt(format!(
                    "record {:?} links forward",
                    record.revision
                )));
            }
            if prev.main <= main && !record.follows_value() {
                return Ok(None);
            }
            record = self.must_read(key, prev, main)?;
            if record.revision.main <= main {
                return Ok(Some(record));
            }
        }
    }

    /// Reads a record that exists, unless a compaction has overtaken the read at `main`.
    fn must_read(&self, key: &[u8], revision: Revision, main: i64) -> Result<Record, Error> {
        match self.inner.db.record(revision)? {
            Some(record) if record.key == key => Ok(record),
            Some(_) => Err(Error::corrupt(format!(
                "record {revision:?} is of another key"
            ))),
            None if self.inner.compact() > main => Err(Error::Compacted),
            None => Err(Error::corrupt(format!("record {revision:?} is missing"))),
        }
    }

    /// Reads the values of hits that do not have theirs yet.
    pub fn fetch(&self, hits: Vec<Hit>, moment: &Moment) -> Result<Vec<KeyValue>, Error> {
        let fetch = |hit: Hit| match hit.value {
            Some(value) => Ok(KeyValue {
                value,
                lease: hit.latest.lease,
                ..hit.latest.bare_kv(hit.key)
            }),
            None => {
                let record = self.must_read(&hit.key, hit.latest.revision(), moment.main)?;
                Ok(record.into_kv())
            }
        };
        hits.into_iter().map(fetch).collect()
    }

    /// Living keys in the bounds.
    pub fn count(&self, bounds: &Bounds<'_>, moment: &Moment) -> Result<u64, Error> {
        let (own, main) = self.own_writes(bounds, moment);
        let mut count = self.count_committed(bounds, main)?;
        let shared = self.inner.shared.read();
        for write in own {
            let was = shared
                .index
                .get(&write.record.key)
                .is_some_and(|l| !l.tombstone());
            count = count + u64::from(!write.latest.tombstone()) - u64::from(was);
        }
        Ok(count)
    }

    fn count_committed(&self, bounds: &Bounds<'_>, main: i64) -> Result<u64, Error> {
        let (count, current) = {
            let shared = self.inner.shared.read();
            (shared.index.count(bounds), shared.revision)
        };
        if main >= current {
            return Ok(count);
        }
        match bounds {
            Bounds::Empty => Ok(0),
            // Whichever looks at less: the changes since, or the keys.
            Bounds::Span { .. } if current.abs_diff(main) < count => {
                self.count_back(bounds, main, count, current)
            }
            _ => Ok(self.gather_committed(bounds, main, usize::MAX)?.len() as u64),
        }
    }

    /// Corrects the count at `current` by what changed since `main`: a key's first change tells
    /// whether it was alive before, its last whether it is now.
    fn count_back(
        &self,
        bounds: &Bounds<'_>,
        main: i64,
        count: u64,
        current: i64,
    ) -> Result<u64, Error> {
        let mut changed: std::collections::HashMap<Bytes, (bool, bool)> = Default::default();
        let (from, to) = (Revision::new(main + 1, 0), Revision::last_of(current));
        for record in self.inner.db.records(from, to) {
            let record = record?;
            if bounds.contains(&record.key) {
                let (before, now) = (record.follows_value(), !record.tombstone);
                changed
                    .entry(record.key)
                    .and_modify(|c| c.1 = now)
                    .or_insert((before, now));
            }
        }
        let corrected = changed.values().fold(count as i64, |count, (before, now)| {
            count + i64::from(*before) - i64::from(*now)
        });
        // Records go missing only under a compaction, which the check at the end notices.
        Ok(u64::try_from(corrected).unwrap_or(0))
    }

    /// The key as a batch or the store has it now.
    pub fn latest(&self, key: &[u8]) -> Option<Latest> {
        if let Some(write) = self.own.as_ref().and_then(|own| own.pending.latest(key)) {
            return Some(write.latest);
        }
        self.inner.shared.read().index.get(key).copied()
    }

    /// The record of a state got from [`Reader::latest`].
    pub fn kv(&self, key: &[u8], latest: &Latest) -> Result<KeyValue, Error> {
        if let Some(write) = self.own.as_ref().and_then(|own| own.pending.latest(key))
            && write.latest.revision() == latest.revision()
        {
            return Ok(write.record.clone().into_kv());
        }
        Ok(self.must_read(key, latest.revision(), i64::MAX)?.into_kv())
    }
}

/// Lays own writes over committed hits; both are in key order.
fn merge(hits: Vec<Hit>, own: Vec<&Write>) -> Vec<Hit> {
    let mut merged = Vec::with_capacity(hits.len() + own.len());
    let mut hits = hits.into_iter().peekable();
    for write in own {
        while let Some(hit) = hits.next_if(|hit| hit.key < write.record.key) {
            merged.push(hit);
        }
        hits.next_if(|hit| hit.key == write.record.key);
        if !write.latest.tombstone() {
            merged.push(Hit {
                key: write.record.key.clone(),
                latest: write.latest,
                value: Some(write.record.value.clone()),
            });
        }
    }
    merged.extend(hits);
    merged
}

impl Latest {
    /// What the index alone can say to a client: no value, no lease.
    pub fn bare_kv(&self, key: Bytes) -> KeyValue {
        KeyValue {
            key,
            create_revision: self.create,
            mod_revision: self.main,
            version: self.version,
            value: Bytes::new(),
            lease: 0,
        }
    }
}

impl Hit {
    pub fn into_bare_kv(self) -> KeyValue {
        self.latest.bare_kv(self.key)
    }

    /// All the index knows, which a client sees only beside the value.
    pub fn into_leased_kv(self) -> KeyValue {
        KeyValue {
            lease: self.latest.lease,
            ..self.latest.bare_kv(self.key)
        }
    }
}
