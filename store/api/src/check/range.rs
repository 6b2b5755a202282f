//! Rules of a Range request.

use mainstay_proto::etcdserverpb::{
    RangeRequest,
    range_request::{SortOrder, SortTarget},
};

use crate::error::Error;

/// A key is there and both sort fields hold a value of their enum.
pub fn range(request: &RangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let known =
        SortOrder::is_valid(request.sort_order) && SortTarget::is_valid(request.sort_target);
    if known {
        Ok(())
    } else {
        Err(Error::InvalidSortOption)
    }
}

/// What a stream cannot do: a sort that needs every key at once, and filters. An ascending sort
/// by key is the natural order, and without an order the target means nothing.
pub fn range_stream(request: &RangeRequest) -> Result<(), Error> {
    range(request)?;
    let by_key = request.sort_target == SortTarget::Key as i32;
    let natural = request.sort_order == SortOrder::None as i32
        || (request.sort_order == SortOrder::Ascend as i32 && by_key);
    if !natural {
        return Err(Error::StreamSort);
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|bound| *bound != 0) {
        return Err(Error::StreamFilter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RangeRequest {
        RangeRequest {
            key: "k".into(),
            ..Default::default()
        }
    }

    #[test]
    fn key_and_sort() {
        assert_eq!(range(&request()), Ok(()));
        assert_eq!(range(&RangeRequest::default()), Err(Error::EmptyKey));
        for (order, target) in [(3, 0), (-1, 0), (0, 5), (0, -1)] {
            let odd = RangeRequest {
                sort_order: order,
                sort_target: target,
                ..request()
            };
            assert_eq!(range(&odd), Err(Error::InvalidSortOption));
        }
    }

    #[test]
    fn streams_take_natural_order_only() {
        let sorted = |sort_order, sort_target| {
            range_stream(&RangeRequest {
                sort_order,
                sort_target,
                ..request()
            })
        };
        assert_eq!(sorted(0, 0), Ok(()));
        assert_eq!(sorted(1, 0), Ok(()));
        assert_eq!(sorted(0, 4), Ok(()));
        assert_eq!(sorted(2, 0), Err(Error::StreamSort));
        assert_eq!(sorted(1, 3), Err(Error::StreamSort));
        assert_eq!(sorted(0, 9), Err(Error::InvalidSortOption));
        let filtered = RangeRequest {
            max_create_revision: 3,
            ..request()
        };
        assert_eq!(range_stream(&filtered), Err(Error::StreamFilter));
    }
}
