//! Compression of messages: gzip or none, as the client asks, and the answer like the request.

use std::io::Read;

use bytes::{Buf, Bytes};
use flate2::{Compression, bufread::GzDecoder, bufread::GzEncoder};
use http::HeaderMap;
use tonic::{Code, Status};

/// What `grpc-encoding` of a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// Reads the header; a coding that is not there is refused as grpc-go refuses it.
    pub fn of(headers: &HeaderMap) -> Result<Coding, Status> {
        match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
            None | Some(b"identity") => Ok(Coding::Identity),
            Some(b"gzip") => Ok(Coding::Gzip),
            Some(other) => Err(Status::new(
                Code::Unimplemented,
                format!(
                    "grpc: Decompressor is not installed for grpc-encoding {:?}",
                    String::from_utf8_lossy(other)
                ),
            )),
        }
    }
}

/// Unpacks a message, never beyond `limit` bytes: a small body may hold a very large message.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, Status> {
    let mut plain = Vec::new();
    let bound = limit as u64 + 1;
    let read = GzDecoder::new(packed).take(bound).read_to_end(&mut plain);
    if let Err(error) = read {
        let text = format!("grpc: failed to decompress the received message: {error}");
        return Err(Status::new(Code::Internal, text));
    }
    if plain.len() > limit {
        let text = format!("grpc: message after decompression larger than max {limit}");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(plain.into())
}

/// Packs a message, appending to `out`.
pub fn pack(plain: impl Buf, out: &mut Vec<u8>) -> std::io::Result<()> {
    let reader = std::io::BufReader::new(plain.reader());
    GzEncoder::new(reader, Compression::fast()).read_to_end(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let plain = Bytes::from(vec![7u8; 100_000]);
        let mut packed = Vec::new();
        pack(plain.clone(), &mut packed).unwrap();
        assert!(packed.len() < 1000);
        assert_eq!(unpack(&packed, 100_000).unwrap(), plain);
        let refused = unpack(&packed, 99_999).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(unpack(b"junk", 10).unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn unknown_coding() {
        let mut headers = HeaderMap::new();
        assert_eq!(Coding::of(&headers).unwrap(), Coding::Identity);
        headers.insert("grpc-encoding", "snappy".parse().unwrap());
        let refused = Coding::of(&headers).unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert_eq!(
            refused.message(),
            "grpc: Decompressor is not installed for grpc-encoding \"snappy\""
        );
    }
}
