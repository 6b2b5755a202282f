//! Makes HTTP responses of messages and statuses.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use prost::Message;
use tonic::{Code, Status};

use super::{Body, Call, Coding, MessageStream, PREFIX_BYTES, gzip};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// One message with its prefix, packed if `coding` says so. Messages beyond 4 GiB are refused.
pub fn encode(message: &impl Message, coding: Coding) -> Result<Bytes, Status> {
    if coding == Coding::Gzip {
        return pack(message.encode_to_vec().into());
    }
    let length = message.encoded_len();
    let Ok(prefix) = u32::try_from(length) else {
        return Err(too_large(length));
    };
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + length);
    out.put_u8(0);
    out.put_u32(prefix);
    message.encode(&mut out).map_err(|error| {
        Status::new(Code::Internal, format!("grpc: error marshalling: {error}"))
    })?;
    Ok(out.freeze())
}

/// A packed message with its prefix.
pub fn pack(plain: Bytes) -> Result<Bytes, Status> {
    let mut out = vec![0; PREFIX_BYTES];
    gzip::pack(plain, &mut out).map_err(|error| {
        Status::new(Code::Internal, format!("grpc: error compressing: {error}"))
    })?;
    let length = out.len() - PREFIX_BYTES;
    let Ok(prefix) = u32::try_from(length) else {
        return Err(too_large(length));
    };
    if let Some(head) = out.first_chunk_mut::<PREFIX_BYTES>() {
        let [a, b, c, d] = prefix.to_be_bytes();
        *head = [1, a, b, c, d];
    }
    Ok(out.into())
}

/// The answer of a unary call: headers, the message, status OK.
pub fn unary(message: Bytes, coding: Coding) -> Response<Body> {
    respond(Body::message(message), coding)
}

/// The answer of a streaming call; its status comes at the end of the stream.
pub fn streamed(stream: MessageStream, coding: Coding, call: Call) -> Response<Body> {
    respond(Body::stream(stream, coding, call), coding)
}

/// An answer of nothing but a status.
pub fn refused(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    // A text that is no header value is percent-encoded by tonic, so this cannot fail; and a
    // response without a status is read as an error by every client.
    let _ = status.add_header(response.headers_mut());
    response
}

fn respond(body: Body, coding: Coding) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    if coding == Coding::Gzip {
        response
            .headers_mut()
            .insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    response
}

fn too_large(length: usize) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!(
            "grpc: trying to send message larger than max ({length} vs. {})",
            u32::MAX
        ),
    )
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::PutRequest;

    use super::*;

    #[test]
    fn prefix_counts_the_message() {
        let message = PutRequest {
            key: "k".into(),
            ..Default::default()
        };
        let encoded = encode(&message, Coding::Identity).unwrap();
        assert_eq!(&encoded[..5], &[0, 0, 0, 0, 3]);
        assert_eq!(PutRequest::decode(&encoded[5..]).unwrap(), message);
    }

    #[test]
    fn refusals_are_headers_alone() {
        let response = refused(&Status::new(Code::NotFound, "a\nb"));
        assert_eq!(response.headers()["grpc-status"], "5");
        assert_eq!(response.headers()["grpc-message"], "a%0Ab");
        assert_eq!(response.headers()["content-type"], "application/grpc");
    }
}
