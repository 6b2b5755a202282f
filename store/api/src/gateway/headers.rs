//! What of an HTTP request's headers an RPC sees: the same names a gRPC client would send.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, header::CONTENT_TYPE};
use tonic::Status;

use super::json::invalid;

/// A header with this in front of its name is metadata.
const METADATA_PREFIX: &str = "grpc-metadata-";
const TIMEOUT: &str = "grpc-timeout";

/// The metadata of the call: `Authorization`, and every `Grpc-Metadata-*` without that prefix.
/// Names that belong to the transport itself are left out.
pub fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    let grpc = HeaderValue::from_static("application/grpc");
    metadata.insert(CONTENT_TYPE, grpc);
    for value in headers.get_all(AUTHORIZATION) {
        metadata.append(AUTHORIZATION, value.clone());
    }
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(METADATA_PREFIX) else {
            continue;
        };
        let of_transport = name.starts_with("grpc-") || matches!(name, "content-type" | "te");
        if let (false, Ok(name)) = (of_transport, HeaderName::try_from(name)) {
            metadata.append(name, value.clone());
        }
    }
    metadata
}

/// How long the caller wants to wait at most: `Grpc-Timeout`, up to eight digits and a unit.
pub fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(duration);
    match parsed {
        Some(duration) => Ok(Some(duration)),
        None => Err(invalid(format!("invalid grpc-timeout: {value:?}"))),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        pairs.collect()
    }

    #[test]
    fn tokens_and_metadata_are_handed_on_and_nothing_else() {
        let request = headers(&[
            ("Authorization", "Bearer a.1"),
            ("Grpc-Metadata-Token", "b.2"),
            ("Grpc-Metadata-hasleader", "true"),
            ("Grpc-Metadata-Grpc-Encoding", "gzip"),
            ("Grpc-Metadata-Content-Type", "text/html"),
            ("Content-Type", "text/html"),
            ("Cookie", "token=c.3"),
            ("token", "d.4"),
        ]);
        let mut found = metadata(&request);
        assert_eq!(found.remove("content-type").unwrap(), "application/grpc");
        assert_eq!(found.remove("authorization").unwrap(), "Bearer a.1");
        assert_eq!(found.remove("token").unwrap(), "b.2");
        assert_eq!(found.remove("hasleader").unwrap(), "true");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn timeouts_have_a_unit() {
        let read = |text: &str| timeout(&headers(&[(TIMEOUT, text)])).ok().flatten();
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("150m"), Some(Duration::from_millis(150)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for wrong in ["", "S", "2", "2s", "-2S", "123456789S", "2é"] {
            let value = HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
            let one = HeaderMap::from_iter([(HeaderName::from_static(TIMEOUT), value)]);
            assert!(timeout(&one).is_err(), "{wrong:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }
}
