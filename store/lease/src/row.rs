//! A lease's row in the store, for the lessor and for whoever copies a store.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Error;

/// Rows of leases: this prefix, then the id, big endian.
pub const PREFIX: &[u8] = b"lease/";

/// First byte of a row's value; the granted TTL follows, big endian.
const VERSION: u8 = 1;

/// Key and value of a lease's row.
pub fn encode(id: i64, granted_seconds: i64) -> (Bytes, Bytes) {
    let mut value = BytesMut::with_capacity(9);
    value.put_u8(VERSION);
    value.put_i64(granted_seconds);
    (key(id), value.freeze())
}

pub fn key(id: i64) -> Bytes {
    let mut key = BytesMut::with_capacity(PREFIX.len() + 8);
    key.put_slice(PREFIX);
    key.put_i64(id);
    key.freeze()
}

/// Id and granted seconds of a row.
pub fn decode(key: &[u8], value: &[u8]) -> Result<(i64, i64), Error> {
    let id = key
        .strip_prefix(PREFIX)
        .and_then(|id| <[u8; 8]>::try_from(id).ok());
    let granted = match value.split_first() {
        Some((&VERSION, seconds)) => <[u8; 8]>::try_from(seconds).ok(),
        _ => None,
    };
    match (id, granted) {
        (Some(id), Some(granted)) => Ok((i64::from_be_bytes(id), i64::from_be_bytes(granted))),
        _ => Err(Error::corrupt(format!(
            "lease record {key:02x?} cannot be read"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TTL_MAX_SECONDS;

    #[test]
    fn a_record_reads_back_and_anything_else_is_refused() {
        for (id, ttl) in [(1, 1), (-5, 60), (i64::MIN, TTL_MAX_SECONDS), (i64::MAX, 2)] {
            let (key, value) = encode(id, ttl);
            assert_eq!(decode(&key, &value).expect("own record"), (id, ttl));
        }
        let (key, good) = encode(1, 7);
        assert!(decode(b"lease/short", &good).is_err());
        assert!(decode(&key, &good[..8]).is_err());
        assert!(decode(&key, b"").is_err());
        let mut newer = good.to_vec();
        newer[0] = VERSION + 1;
        assert!(decode(&key, &newer).is_err());
    }
}
