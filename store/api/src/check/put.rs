//! Rules of a Put request.

use mainstay_proto::etcdserverpb::PutRequest;

use crate::error::Error;

/// A key is there, and nothing is both given and to be kept.
pub fn put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let request = PutRequest {
            key: "k".into(),
            ..Default::default()
        };
        assert_eq!(put(&request), Ok(()));
        assert_eq!(put(&PutRequest::default()), Err(Error::EmptyKey));
        let value = PutRequest {
            ignore_value: true,
            value: "v".into(),
            ..request.clone()
        };
        assert_eq!(put(&value), Err(Error::ValueProvided));
        let lease = PutRequest {
            ignore_lease: true,
            lease: -1,
            ..request.clone()
        };
        assert_eq!(put(&lease), Err(Error::LeaseProvided));
        let both = PutRequest {
            ignore_value: true,
            ignore_lease: true,
            ..request
        };
        assert_eq!(put(&both), Ok(()));
    }
}
