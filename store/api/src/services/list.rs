//! Reads keys of the local store and encodes the answer: where it stands if it is short, on the
//! scan pool if it may be long.

use bytes::Bytes;
use mainstay_mvcc::Store;
use mainstay_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use tonic::Status;

use crate::context::Context;
use crate::error::Error;
use crate::grpc::{self, Coding};
use crate::header;
use crate::limits::INLINE_LIST_KEYS;

/// Reads and encodes.
pub async fn answer(
    context: &Context,
    request: RangeRequest,
    coding: Coding,
) -> Result<Bytes, Status> {
    let ids = header::at(&context.node, 0);
    if is_short(&request) {
        let response = read(&context.store(), &request, ids)?;
        return grpc::encode(&response, coding);
    }
    // Encoded on the pool too: the answer may be as long as the store.
    context
        .scan(move |store| grpc::encode(&read(store, &request, ids)?, coding))
        .await
}

fn read(
    store: &Store,
    request: &RangeRequest,
    ids: ResponseHeader,
) -> Result<RangeResponse, Status> {
    let found = store.range(request).map_err(Error::from)?;
    let header = Some(ResponseHeader {
        revision: found.revision,
        ..ids
    });
    let (kvs, more, count) = (found.kvs, found.more, found.count);
    Ok(RangeResponse {
        header,
        kvs,
        more,
        count,
    })
}

/// Whether it costs no more than a few lookups: one key, a count of now, or the head of a list in
/// its natural order.
pub fn is_short(request: &RangeRequest) -> bool {
    if request.range_end.is_empty() {
        return true;
    }
    if request.revision > 0 {
        return false;
    }
    if request.count_only {
        return true;
    }
    let sorted = request.sort_order != 0 || request.sort_target != 0;
    let filtered = request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    !sorted && !filtered && (1..=INLINE_LIST_KEYS).contains(&request.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_costs_little_is_read_in_place() {
        let key = RangeRequest {
            key: "k".into(),
            ..Default::default()
        };
        assert!(is_short(&key));
        assert!(is_short(&RangeRequest {
            revision: 5,
            ..key.clone()
        }));
        let all = RangeRequest {
            range_end: vec![0].into(),
            ..key
        };
        assert!(!is_short(&all));
        assert!(is_short(&RangeRequest {
            count_only: true,
            ..all.clone()
        }));
        assert!(!is_short(&RangeRequest {
            count_only: true,
            revision: 5,
            ..all.clone()
        }));
        let head = RangeRequest {
            limit: 8,
            ..all.clone()
        };
        assert!(is_short(&head));
        assert!(!is_short(&RangeRequest { limit: 9, ..all }));
        assert!(!is_short(&RangeRequest {
            sort_order: 2,
            ..head.clone()
        }));
        assert!(!is_short(&RangeRequest {
            min_mod_revision: 1,
            ..head.clone()
        }));
        assert!(!is_short(&RangeRequest {
            revision: 1,
            ..head
        }));
    }
}
