//! Takes the answer of an RPC apart again: its messages, then its status.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::{Code, Status};

use crate::error::Error;
use crate::grpc::{Body, PREFIX_BYTES};

/// The messages of one answer, without their prefixes. Nothing is read ahead of what is asked for.
pub struct Replies {
    body: Body,
    /// What has come and is not cut yet.
    held: Bytes,
    /// Set once the answer has ended.
    end: Option<Result<(), Status>>,
}

impl Replies {
    pub fn new(response: Response<Body>) -> Replies {
        let (head, body) = response.into_parts();
        Replies {
            body,
            held: Bytes::new(),
            // An answer of nothing but a status has it in its headers.
            end: status(&head.headers),
        }
    }

    /// The next message; after the last the error it has ended with, or none.
    pub async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            if let Some(message) = self.cut() {
                return Some(Ok(message));
            }
            if let Some(end) = &mut self.end {
                return std::mem::replace(end, Ok(())).err().map(Err);
            }
            match self.body.frame().await {
                None => self.end = Some(Err(Error::Storage.into())),
                Some(Err(status)) => self.end = Some(Err(status)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut chunk) => self.take(chunk.copy_to_bytes(chunk.remaining())),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.end = Some(status(&trailers).unwrap_or(Ok(())));
                    }
                },
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        if self.held.is_empty() {
            self.held = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.held.len() + chunk.len());
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(&chunk);
            self.held = joined.freeze();
        }
    }

    fn cut(&mut self) -> Option<Bytes> {
        let (&[_, a, b, c, d], rest) = self.held.split_first_chunk::<PREFIX_BYTES>()?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if rest.len() < length {
            return None;
        }
        self.held.advance(PREFIX_BYTES);
        Some(self.held.split_to(length))
    }
}

/// The status in headers or trailers, if there is one.
fn status(headers: &HeaderMap) -> Option<Result<(), Status>> {
    let status = Status::from_header_map(headers)?;
    Some(match status.code() {
        Code::Ok => Ok(()),
        _ => Err(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{self, Calls, Coding};

    async fn all(response: Response<Body>) -> (Vec<Bytes>, Option<Status>) {
        let mut replies = Replies::new(response);
        let mut messages = Vec::new();
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(message) => messages.push(message),
                Err(status) => return (messages, Some(status)),
            }
        }
        assert!(replies.next().await.is_none());
        (messages, None)
    }

    #[tokio::test]
    async fn unary_answers_and_refusals() {
        let one = grpc::unary(Bytes::from_static(b"\0\0\0\0\x02hi"), Coding::Identity);
        assert_eq!(all(one).await.0, ["hi"]);
        let (none, status) = all(grpc::refused(&Status::not_found("a\nb"))).await;
        assert!(none.is_empty());
        assert_eq!(status.unwrap().message(), "a\nb");
    }

    #[tokio::test]
    async fn streams_end_with_their_status() {
        let large = Bytes::from(vec![7; 100_000]);
        let messages = [
            Ok("one".into()),
            Ok(large.clone()),
            Ok(Bytes::new()),
            Err(Status::unavailable("gone")),
        ];
        let call = Calls::new(1, false).start(0);
        let source = Box::pin(futures::stream::iter(messages));
        let (messages, status) = all(grpc::streamed(source, Coding::Identity, call)).await;
        assert_eq!(messages, ["one".into(), large, Bytes::new()]);
        assert_eq!(status.unwrap().message(), "gone");
    }
}
