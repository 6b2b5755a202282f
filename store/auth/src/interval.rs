//! Ranges of keys, and the union of those a user may read or write.
//!
//! One type serves permissions and requests alike: an empty end stands for the one key, the end
//! `\0` for everything from the key on. Ranges that touch or overlap are one, so a request that
//! reaches over several permissions is allowed if together they leave no gap.

use std::cmp::Ordering;

use bytes::{BufMut, Bytes, BytesMut};

/// The end that stands for "from the key on".
const FROM_KEY: &[u8] = b"\0";

/// Keys from `begin` on, up to but without `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    pub begin: Bytes,
    /// `None` where the range has no end.
    pub end: Option<Bytes>,
}

impl Interval {
    /// The keys that a key and a range end stand for.
    pub fn of(key: &[u8], range_end: &[u8]) -> Interval {
        let begin = Bytes::copy_from_slice(key);
        let end = match range_end {
            b"" => Some(after(key)),
            FROM_KEY => None,
            end => Some(Bytes::copy_from_slice(end)),
        };
        Interval { begin, end }
    }

    fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.begin)
    }
}

/// The first key behind `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len().saturating_add(1));
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// Compares two ends; no end is behind every other.
fn compare_ends(left: Option<&[u8]>, right: Option<&[u8]>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.cmp(right),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

/// A set of keys as the fewest ranges, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Union(Vec<Interval>);

impl FromIterator<Interval> for Union {
    fn from_iter<T: IntoIterator<Item = Interval>>(intervals: T) -> Union {
        let mut sorted: Vec<Interval> = intervals
            .into_iter()
            .filter(|interval| !interval.is_empty())
            .collect();
        sorted.sort_by(|left, right| left.begin.cmp(&right.begin));
        let mut union: Vec<Interval> = Vec::with_capacity(sorted.len());
        for interval in sorted {
            match union.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| *end >= interval.begin) => {
                    if compare_ends(last.end.as_deref(), interval.end.as_deref()).is_lt() {
                        last.end = interval.end;
                    }
                }
                _ => union.push(interval),
            }
        }
        Union(union)
    }
}

impl Union {
    /// Whether every key of the range of a request is in the set. A range that ends where it
    /// begins, or before, holds no key: it is allowed to whom both of its ends are, as in etcd.
    pub fn covers(&self, key: &[u8], range_end: &[u8]) -> bool {
        let behind = self
            .0
            .partition_point(|interval| interval.begin.as_ref() <= key);
        let Some(around) = behind.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return false;
        };
        let end = around.end.as_deref();
        if end.is_some_and(|end| key >= end) {
            return false;
        }
        match range_end {
            b"" => true,
            FROM_KEY => end.is_none(),
            asked if asked <= key => around.begin.as_ref() < asked,
            asked => compare_ends(end, Some(asked)).is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every key of up to two bytes over three letters.
    fn universe() -> Vec<Vec<u8>> {
        let letters = [0_u8, b'a', b'b'];
        let mut keys: Vec<Vec<u8>> = letters.iter().map(|letter| vec![*letter]).collect();
        for first in letters {
            keys.extend(letters.map(|second| vec![first, second]));
        }
        keys.sort();
        keys
    }

    /// Whether a key is in a range, by the words of etcd's API.
    fn holds(range: &(Vec<u8>, Vec<u8>), key: &[u8]) -> bool {
        let (begin, end) = range;
        match end.as_slice() {
            b"" => key == begin.as_slice(),
            b"\0" => key >= begin.as_slice(),
            end => key >= begin.as_slice() && key < end,
        }
    }

    fn union(ranges: &[(Vec<u8>, Vec<u8>)]) -> Union {
        let intervals = ranges.iter().map(|(key, end)| Interval::of(key, end));
        intervals.collect()
    }

    fn ranges() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        let keys = universe();
        let mut ends = keys.clone();
        ends.push(Vec::new());
        let range = (
            proptest::sample::select(keys),
            proptest::sample::select(ends),
        );
        proptest::collection::vec(range, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A range is covered if and only if each of its keys is. The keys of more than two bytes
        /// that lie between those of the universe are looked at too, as one key behind each.
        #[test]
        fn a_range_is_covered_if_each_of_its_keys_is(
            granted in ranges(),
            asked in proptest::sample::select(universe()),
            end in proptest::sample::select({
                let mut ends = universe();
                ends.push(Vec::new());
                ends
            }),
        ) {
            let mut keys = universe();
            keys.extend(universe().into_iter().map(|mut key| { key.extend([0, 0]); key }));
            keys.extend(universe().into_iter().map(|mut key| { key.push(0xff); key }));
            keys.push(vec![0xff; 3]);
            let range = (asked.clone(), end.clone());
            let wanted: Vec<_> = keys.iter().filter(|key| holds(&range, key)).collect();
            if wanted.is_empty() {
                return Ok(());
            }
            let each = wanted
                .iter()
                .all(|key| granted.iter().any(|granted| holds(granted, key)));
            prop_assert_eq!(union(&granted).covers(&asked, &end), each, "{:?}", union(&granted));
        }
    }

    #[test]
    fn ranges_that_touch_are_one_and_others_are_not() {
        let of = |key: &str, end: &str| (key.into(), end.into());
        let touching = union(&[of("a", "c"), of("c", "e"), of("d", "f")]);
        assert!(touching.covers(b"a", b"f"));
        assert!(!touching.covers(b"a", b"g") && !touching.covers(b"a", b"\0"));
        let apart = union(&[of("a", "c"), of("d", "f")]);
        assert!(!apart.covers(b"a", b"f"));
        assert!(apart.covers(b"b\xff", b"") && !apart.covers(b"c", b""));
        let point = union(&[of("k", "")]);
        assert!(point.covers(b"k", b"k\0") && !point.covers(b"k", b"l"));
        assert!(!point.covers(b"k\0", b""));
        let all = union(&[of("\0", "\0")]);
        assert!(all.covers(b"\0", b"\0") && all.covers(b"x", b""));
    }

    #[test]
    fn an_empty_range_needs_both_of_its_ends() {
        let granted = union(&[("b".into(), "m".into())]);
        assert!(granted.covers(b"k", b"c"));
        assert!(!granted.covers(b"x", b"c") && !granted.covers(b"k", b"a"));
        assert!(!granted.covers(b"b", b"b"));
    }
}
