//! Rules of a DeleteRange request.

use mainstay_proto::etcdserverpb::DeleteRangeRequest;

use crate::error::Error;

/// A key is there.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_a_key() {
        let all = DeleteRangeRequest {
            key: vec![0].into(),
            ..Default::default()
        };
        assert_eq!(delete_range(&all), Ok(()));
        assert_eq!(
            delete_range(&DeleteRangeRequest::default()),
            Err(Error::EmptyKey)
        );
    }
}
