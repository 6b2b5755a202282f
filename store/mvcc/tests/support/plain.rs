//! The plainest store that could work: every version of every key in a map, searched from end to
//! end. What it answers is what the rules say.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_mvcc::{Change, HashKv};
use mainstay_proto::{
    etcdserverpb::{
        RangeRequest,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};
use prost::Message;

/// What a record counts for beyond key and value.
const OVERHEAD: i64 = 64;

#[derive(Debug, Clone)]
pub struct Version {
    pub main: i64,
    pub sub: i64,
    /// None is a tombstone.
    pub kv: Option<KeyValue>,
}

#[derive(Debug, Clone)]
pub struct Plain {
    pub keys: BTreeMap<Vec<u8>, Vec<Version>>,
    pub revision: i64,
    pub compact: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Compacted,
    Future,
}

type Answer = (Vec<KeyValue>, i64, bool);

impl Default for Plain {
    fn default() -> Plain {
        Plain {
            keys: BTreeMap::new(),
            revision: 1,
            compact: -1,
        }
    }
}

pub fn inside(key: &[u8], from: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == from,
        [0] => key >= from,
        end => key >= from && key < end,
    }
}

impl Plain {
    pub fn at(&self, main: i64) -> BTreeMap<Vec<u8>, KeyValue> {
        let mut alive = BTreeMap::new();
        for (key, versions) in &self.keys {
            let newest = versions.iter().rfind(|v| v.main <= main);
            if let Some(kv) = newest.and_then(|v| v.kv.clone()) {
                alive.insert(key.clone(), kv);
            }
        }
        alive
    }

    pub fn alive(&self, key: &[u8]) -> Option<KeyValue> {
        self.keys.get(key)?.last()?.kv.clone()
    }

    pub fn put(&mut self, main: i64, sub: i64, key: &[u8], value: &[u8], lease: i64) {
        let before = self.alive(key);
        let kv = KeyValue {
            key: Bytes::copy_from_slice(key),
            create_revision: before.as_ref().map_or(main, |kv| kv.create_revision),
            mod_revision: main,
            version: before.map_or(1, |kv| kv.version + 1),
            value: Bytes::copy_from_slice(value),
            lease,
        };
        self.keys.entry(key.to_vec()).or_default().push(Version {
            main,
            sub,
            kv: Some(kv),
        });
    }

    pub fn delete(&mut self, main: i64, sub: i64, key: &[u8]) {
        let tombstone = Version {
            main,
            sub,
            kv: None,
        };
        self.keys.entry(key.to_vec()).or_default().push(tombstone);
    }

    pub fn compact(&mut self, to: i64) {
        self.compact = to;
        for versions in self.keys.values_mut() {
            let Some(newest) = versions.iter().rposition(|v| v.main <= to) else {
                continue;
            };
            let gone = versions[newest].kv.is_none() && versions[newest].main < to;
            versions.drain(..newest + usize::from(gone));
        }
        self.keys.retain(|_, versions| !versions.is_empty());
    }

    pub fn check(&self, revision: i64) -> Result<i64, Refused> {
        match revision {
            ..=0 => Ok(self.revision),
            r if r > self.revision => Err(Refused::Future),
            r if r < self.compact => Err(Refused::Compacted),
            r => Ok(r),
        }
    }

    pub fn range(&self, request: &RangeRequest) -> Result<Answer, Refused> {
        let main = self.check(request.revision)?;
        let mut kvs: Vec<KeyValue> = self.at(main).into_values().collect();
        kvs.retain(|kv| inside(&kv.key, &request.key, &request.range_end));
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok((Vec::new(), count, false));
        }
        let bounds = |revision: i64, min: i64, max: i64| {
            (min == 0 || revision >= min) && (max == 0 || revision <= max)
        };
        kvs.retain(|kv| {
            bounds(
                kv.mod_revision,
                request.min_mod_revision,
                request.max_mod_revision,
            ) && bounds(
                kv.create_revision,
                request.min_create_revision,
                request.max_create_revision,
            )
        });
        let down = request.sort_order() == SortOrder::Descend;
        let by = |a: &KeyValue, b: &KeyValue| match request.sort_target() {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        kvs.sort_by(|a, b| if down { by(b, a) } else { by(a, b) });
        let more = request.limit > 0 && kvs.len() as i64 > request.limit;
        if request.limit > 0 {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                if request.sort_target() != SortTarget::Value {
                    kv.lease = 0;
                }
            }
        }
        Ok((kvs, count, more))
    }

    /// All versions there are, in revision order, with the value before each.
    pub fn history(&self, from: i64, to: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (key, versions) in &self.keys {
            for (at, version) in versions.iter().enumerate() {
                let before = at.checked_sub(1).and_then(|i| versions[i].kv.clone());
                let tombstone = KeyValue {
                    key: Bytes::copy_from_slice(key),
                    mod_revision: version.main,
                    ..KeyValue::default()
                };
                changes.push(Change {
                    revision: version.main,
                    sub: version.sub,
                    delete: version.kv.is_none(),
                    kv: version.kv.clone().unwrap_or(tombstone),
                    prev: before.filter(|_| version.main > self.compact),
                });
            }
        }
        changes.retain(|c| (from..=to).contains(&c.revision));
        changes.sort_by_key(|c| (c.revision, c.sub));
        changes
    }

    /// etcd's algorithm, over what a finished compaction has left.
    pub fn hash(&self, main: i64) -> HashKv {
        let alive = self.at(main);
        let mut crc = crc32c::crc32c(b"key");
        for change in self.history(i64::MIN, main) {
            let newest = alive.get(&change.kv.key[..]);
            let kept = newest.is_some_and(|kv| !change.delete && *kv == change.kv);
            if change.revision <= self.compact && !alive.is_empty() && !kept {
                continue;
            }
            if change.delete && change.revision == self.compact {
                continue;
            }
            let mut row = change.revision.to_be_bytes().to_vec();
            row.push(b'_');
            row.extend_from_slice(&change.sub.to_be_bytes());
            let mut kv = change.kv;
            if change.delete {
                row.push(b't');
                kv.mod_revision = 0;
            }
            row.extend_from_slice(&kv.encode_to_vec());
            crc = crc32c::crc32c_append(crc, &row);
        }
        HashKv {
            hash: crc,
            compact_revision: self.compact,
            hash_revision: main,
        }
    }

    pub fn logical_bytes(&self) -> i64 {
        let versions = self
            .keys
            .iter()
            .flat_map(|(k, vs)| vs.iter().map(move |v| (k, v)));
        let value = |v: &Version| v.kv.as_ref().map_or(0, |kv| kv.value.len());
        versions
            .map(|(k, v)| OVERHEAD + (k.len() + value(v)) as i64)
            .sum()
    }
}
