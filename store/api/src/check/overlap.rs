//! Finds a key that one branch of a txn writes twice: put two times, or put and deleted.
//!
//! The two branches of one nested txn exclude each other, so a key put in both is fine; its
//! siblings and its parent's own operations do not. Deletes are looked at level by level and
//! child by child as etcd does, so what a later sibling deletes does not meet what an earlier one
//! has put. Every level costs O(n log n), however the ranges lie.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_proto::etcdserverpb::{RequestOp, request_op::Request};

use crate::error::Error;

/// The keys a list of operations puts and the ranges it deletes.
#[derive(Default)]
pub struct Written<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Ranges<'a>,
}

/// Checks one branch with everything nested in it.
pub fn branch(ops: &[RequestOp]) -> Result<Written<'_>, Error> {
    let mut written = Written::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            written.deletes.add(&delete.key, &delete.range_end);
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(inner)) = &op.request {
            written.nested(branch(&inner.success)?, branch(&inner.failure)?)?;
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            written.put(&put.key)?;
        }
    }
    Ok(written)
}

impl<'a> Written<'a> {
    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        if self.deletes.holds(key) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }

    fn nested(&mut self, then: Written<'a>, other: Written<'a>) -> Result<(), Error> {
        // Both are held against what was there before this txn, not against each other.
        for key in then.puts.iter().chain(&other.puts) {
            if self.puts.contains(key) || self.deletes.holds(key) {
                return Err(Error::DuplicateKey);
            }
        }
        self.puts.extend(then.puts);
        self.puts.extend(other.puts);
        self.deletes.join(then.deletes);
        self.deletes.join(other.deletes);
        Ok(())
    }
}

/// A union of half-open key ranges, kept as disjoint ones: start to end.
#[derive(Default)]
struct Ranges<'a>(BTreeMap<&'a [u8], End<'a>>);

/// Where a range stops.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End<'a> {
    Before(&'a [u8]),
    /// The one key `start`: up to its successor, which no slice of the request holds.
    After(&'a [u8]),
}

impl<'a> Ranges<'a> {
    fn add(&mut self, key: &'a [u8], range_end: &'a [u8]) {
        let end = if range_end.is_empty() {
            End::After(key)
        } else {
            End::Before(range_end)
        };
        // An inverted range conflicts with nothing; so does one that ends in a lone zero byte,
        // which etcd compares as it stands.
        if end.covers(key) {
            self.insert(key, end);
        }
    }

    fn insert(&mut self, start: &'a [u8], end: End<'a>) {
        let mut from = start;
        let mut until = end;
        if let Some((before, reach)) = self.0.range(..=start).next_back()
            && reach.reaches(start)
        {
            from = before;
            until = until.later(*reach);
        }
        let swallowed: Vec<_> = self
            .0
            .range(from..)
            .take_while(|(next, _)| until.reaches(next))
            .map(|(next, reach)| (*next, *reach))
            .collect();
        for (next, reach) in swallowed {
            self.0.remove(next);
            until = until.later(reach);
        }
        self.0.insert(from, until);
    }

    fn join(&mut self, other: Ranges<'a>) {
        for (start, end) in other.0 {
            self.insert(start, end);
        }
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.0
            .range(..=key)
            .next_back()
            .is_some_and(|(_, end)| end.covers(key))
    }
}

impl<'a> End<'a> {
    /// Whether `key`, not before the start, lies inside.
    fn covers(self, key: &[u8]) -> bool {
        match self {
            End::Before(end) => key < end,
            End::After(last) => key <= last,
        }
    }

    /// Whether a range that starts at `start` overlaps or touches.
    fn reaches(self, start: &[u8]) -> bool {
        match self {
            End::Before(end) => start <= end,
            End::After(last) => start <= last,
        }
    }

    fn later(self, other: End<'a>) -> End<'a> {
        let past = match (self, other) {
            (End::Before(a), End::Before(b)) => a < b,
            (End::After(a), End::After(b)) => a < b,
            (End::Before(a), End::After(b)) => a <= b,
            (End::After(a), End::Before(b)) => a < b,
        };
        if past { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, TxnRequest};

    use super::*;

    fn put(key: &'static str) -> RequestOp {
        let request = PutRequest {
            key: key.into(),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(request)),
        }
    }

    fn del(key: &'static str, end: &'static str) -> RequestOp {
        let request = DeleteRangeRequest {
            key: key.into(),
            range_end: end.into(),
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestDeleteRange(request)),
        }
    }

    fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        let inner = TxnRequest {
            success,
            failure,
            ..Default::default()
        };
        RequestOp {
            request: Some(Request::RequestTxn(inner)),
        }
    }

    fn clashes(ops: Vec<RequestOp>) -> bool {
        matches!(branch(&ops), Err(Error::DuplicateKey))
    }

    #[test]
    fn same_level() {
        assert!(clashes(vec![put("a"), put("a")]));
        assert!(clashes(vec![put("b"), del("a", "c")]));
        assert!(clashes(vec![del("a", "c"), put("b")]));
        assert!(clashes(vec![del("a", ""), put("a")]));
        assert!(!clashes(vec![del("a", "c"), put("c")]));
        assert!(!clashes(vec![del("a", "c"), del("b", "d")]));
        assert!(!clashes(vec![del("c", "a"), put("b")]));
        assert!(!clashes(vec![del("a", "\0"), put("b")]));
        assert!(!clashes(vec![put("a"), put("b")]));
    }

    #[test]
    fn nested() {
        assert!(clashes(vec![put("a"), txn(vec![put("a")], vec![])]));
        assert!(clashes(vec![del("a", "c"), txn(vec![], vec![put("b")])]));
        assert!(clashes(vec![txn(vec![del("a", "c")], vec![]), put("b")]));
        assert!(!clashes(vec![txn(vec![put("a")], vec![put("a")])]));
        assert!(clashes(vec![
            txn(vec![put("a")], vec![]),
            txn(vec![], vec![put("a")])
        ]));
        assert!(clashes(vec![
            txn(vec![del("a", "")], vec![]),
            txn(vec![put("a")], vec![])
        ]));
        assert!(!clashes(vec![
            txn(vec![put("a")], vec![]),
            txn(vec![del("a", "")], vec![])
        ]));
        assert!(!clashes(vec![txn(vec![put("a")], vec![del("a", "")])]));
    }

    #[test]
    fn union_of_ranges_holds_what_each_holds() {
        let keys = ["a", "aa", "b", "bb", "c", "d", "e", "ea", "f"];
        let bounds = [
            ("b", "c"),
            ("a", ""),
            ("e", ""),
            ("aa", "bb"),
            ("d", "ea"),
            ("a", "b"),
        ];
        for rotation in 0..bounds.len() {
            let mut union = Ranges::default();
            let mut order = bounds;
            order.rotate_left(rotation);
            for (start, end) in order {
                union.add(start.as_bytes(), end.as_bytes());
            }
            for key in keys {
                let expected = bounds.iter().any(|(start, end)| {
                    if end.is_empty() {
                        key == *start
                    } else {
                        (*start..*end).contains(&key)
                    }
                });
                assert_eq!(
                    union.holds(key.as_bytes()),
                    expected,
                    "{key} in rotation {rotation}"
                );
            }
        }
    }
}
