//! A range request: which keys, in which order, how many, and what of them.

use mainstay_proto::{
    etcdserverpb::{
        RangeRequest,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};

use crate::{
    Error,
    reader::{Hit, Moment, Reader},
};

/// Answer to a range request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeResult {
    pub kvs: Vec<KeyValue>,
    /// Keys in the range at the revision read, whatever limit and filters cut away.
    pub count: i64,
    /// Whether the limit cut something off.
    pub more: bool,
    /// Revision of the store, not the one read.
    pub revision: i64,
}

/// The keys a request names, by etcd's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds<'a> {
    Empty,
    One(&'a [u8]),
    /// From `from` on and below `end`, if there is one.
    Span {
        from: &'a [u8],
        end: Option<&'a [u8]>,
    },
}

impl<'a> Bounds<'a> {
    /// An empty end means one key, a single zero byte no end, an end not after the key nothing.
    pub fn new(key: &'a [u8], range_end: &'a [u8]) -> Bounds<'a> {
        match range_end {
            [] => Bounds::One(key),
            [0] => Bounds::Span {
                from: key,
                end: None,
            },
            end if end <= key => Bounds::Empty,
            end => Bounds::Span {
                from: key,
                end: Some(end),
            },
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Bounds::Empty => false,
            Bounds::One(only) => key == *only,
            Bounds::Span { from, end } => key >= *from && end.is_none_or(|end| key < end),
        }
    }
}

/// Reads at the revision of the request, as `reader` sees it.
pub(crate) fn range(reader: &Reader<'_>, request: &RangeRequest) -> Result<RangeResult, Error> {
    let bounds = Bounds::new(&request.key, &request.range_end);
    let moment = reader.moment(request.revision)?;
    let mut result = RangeResult {
        revision: moment.current,
        ..RangeResult::default()
    };
    if request.count_only {
        result.count = reader.count(&bounds, &moment)? as i64;
        reader.check(&moment)?;
        return Ok(result);
    }
    let limit = usize::try_from(request.limit)
        .ok()
        .filter(|limit| *limit > 0);
    let order = Order::of(request);
    let whole = order.sorts() || filters(request);
    if let Some(limit) = limit.filter(|_| order.last_keys() && !filters(request))
        && let Some((hits, count)) = reader.tail(&bounds, &moment, limit)?
    {
        result.count = count as i64;
        result.more = true;
        result.kvs = values(reader, hits.into_iter().rev().collect(), request, &moment)?;
        reader.check(&moment)?;
        return Ok(result);
    }
    let mut hits = match limit {
        Some(limit) if !whole => reader.gather(&bounds, &moment, limit)?,
        _ => reader.gather(&bounds, &moment, usize::MAX)?,
    };
    result.count = match limit {
        Some(limit) if !whole && hits.len() == limit => reader.count(&bounds, &moment)? as i64,
        _ => hits.len() as i64,
    };
    hits.retain(|hit| passes(request, hit));
    let kept = if whole {
        hits.len() as i64
    } else {
        result.count
    };
    result.more = limit.is_some_and(|limit| kept > limit as i64);
    result.kvs = if order.target == SortTarget::Value {
        let mut kvs = reader.fetch(hits, &moment)?;
        order.sort(&mut kvs, |kv| kv.value.clone());
        kvs.truncate(limit.unwrap_or(usize::MAX));
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Default::default());
        }
        kvs
    } else {
        order.sort_hits(&mut hits);
        hits.truncate(limit.unwrap_or(usize::MAX));
        values(reader, hits, request, &moment)?
    };
    reader.check(&moment)?;
    Ok(result)
}

fn values(
    reader: &Reader<'_>,
    hits: Vec<Hit>,
    request: &RangeRequest,
    moment: &Moment,
) -> Result<Vec<KeyValue>, Error> {
    match request.keys_only {
        // Served from the index, as etcd 3.7 does: neither value nor lease.
        true => Ok(hits.into_iter().map(Hit::into_bare_kv).collect()),
        false => reader.fetch(hits, moment),
    }
}

/// How results are sorted. Keys are read in ascending order, which is what is left of `NONE`.
#[derive(Debug, Clone, Copy)]
struct Order {
    target: SortTarget,
    descending: bool,
}

impl Order {
    /// A target other than the key without an order sorts ascending. etcd then cuts to the limit
    /// before it sorts; we sort everything first, as its documentation says.
    fn of(request: &RangeRequest) -> Order {
        Order {
            target: request.sort_target(),
            descending: request.sort_order() == SortOrder::Descend,
        }
    }

    fn sorts(&self) -> bool {
        self.descending || self.target != SortTarget::Key
    }

    /// Whether a limit asks for the last keys.
    fn last_keys(&self) -> bool {
        self.descending && self.target == SortTarget::Key
    }

    fn sort_hits(&self, hits: &mut [Hit]) {
        match self.target {
            SortTarget::Key | SortTarget::Value if self.descending => hits.reverse(),
            SortTarget::Key | SortTarget::Value => {}
            SortTarget::Version => self.sort(hits, |hit| hit.latest.version),
            SortTarget::Create => self.sort(hits, |hit| hit.latest.create),
            SortTarget::Mod => self.sort(hits, |hit| hit.latest.main),
        }
    }

    /// Equal ones stay in key order, whichever the direction.
    fn sort<T, K: Ord>(&self, items: &mut [T], by: impl Fn(&T) -> K) {
        if self.descending {
            items.sort_by_cached_key(|item| std::cmp::Reverse(by(item)));
        } else {
            items.sort_by_cached_key(by);
        }
    }
}

fn filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// Bounds that are zero do not bound.
fn passes(request: &RangeRequest, hit: &Hit) -> bool {
    let within = |revision: i64, min: i64, max: i64| {
        (min == 0 || revision >= min) && (max == 0 || revision <= max)
    };
    within(
        hit.latest.main,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && within(
        hit.latest.create,
        request.min_create_revision,
        request.max_create_revision,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_etcds_rules() {
        assert_eq!(Bounds::new(b"a", b""), Bounds::One(b"a"));
        assert_eq!(
            Bounds::new(b"a", b"\0"),
            Bounds::Span {
                from: b"a",
                end: None
            }
        );
        assert_eq!(Bounds::new(b"b", b"a"), Bounds::Empty);
        assert_eq!(Bounds::new(b"b", b"b"), Bounds::Empty);
        let span = Bounds::new(b"a", b"c");
        assert!(span.contains(b"a") && span.contains(b"bz") && !span.contains(b"c"));
    }
}
