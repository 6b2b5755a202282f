//! Response bodies: one message, a stream of messages, or plain HTTP content.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::Stream;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};

use super::{Call, Coding, PREFIX_BYTES, pack};
use crate::limits::{COALESCE_BYTES, UNCOPIED_BYTES};

/// Encoded messages without their prefixes, then the status the call ends with (OK at the end).
pub type MessageStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Pieces of HTTP content.
pub type Pieces = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of any response of this server.
pub struct Body(Kind);

enum Kind {
    Empty,
    /// HTTP content.
    Full(Bytes),
    /// One prefixed message, then status OK.
    Message(Bytes),
    /// What is left after the message.
    Ok,
    Stream(Box<Streaming>),
    /// HTTP content that comes piece by piece.
    Pieces(Pieces),
    /// A service of tonic's own (reflection).
    Tonic(Box<tonic::body::Body>),
}

struct Streaming {
    source: MessageStream,
    coding: Coding,
    call: Call,
    /// Small messages put together.
    small: BytesMut,
    /// A large one that waits until the small ones before it are out.
    large: Option<Bytes>,
    end: Option<Status>,
}

/// A piece of a body. A large message keeps its own bytes and gets its prefix in front.
pub struct Chunk {
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix is out already.
    at: usize,
    rest: Bytes,
}

impl Body {
    pub fn empty() -> Body {
        Body(Kind::Empty)
    }

    pub fn full(content: impl Into<Bytes>) -> Body {
        Body(Kind::Full(content.into()))
    }

    /// One message that has its prefix already.
    pub fn message(prefixed: Bytes) -> Body {
        Body(Kind::Message(prefixed))
    }

    pub fn stream(source: MessageStream, coding: Coding, call: Call) -> Body {
        let (small, large, end) = (BytesMut::new(), None, None);
        Body(Kind::Stream(Box::new(Streaming {
            source,
            coding,
            call,
            small,
            large,
            end,
        })))
    }

    pub fn pieces(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        Body(Kind::Pieces(Box::pin(pieces)))
    }

    pub fn tonic(body: tonic::body::Body) -> Body {
        Body(Kind::Tonic(Box::new(body)))
    }
}

impl http_body::Body for Body {
    type Data = Chunk;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Status>>> {
        let kind = &mut self.0;
        match kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(content) => {
                let content = std::mem::take(content);
                *kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(Chunk::plain(content)))))
            }
            Kind::Message(message) => {
                let message = std::mem::take(message);
                *kind = Kind::Ok;
                Poll::Ready(Some(Ok(Frame::data(Chunk::plain(message)))))
            }
            Kind::Ok => {
                *kind = Kind::Empty;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Kind::Stream(stream) => {
                let frame = ready!(stream.poll(cx));
                if frame.is_trailers() {
                    *kind = Kind::Empty;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Kind::Pieces(pieces) => {
                let piece = ready!(pieces.as_mut().poll_next(cx));
                Poll::Ready(piece.map(|piece| Ok(Frame::data(Chunk::plain(piece)))))
            }
            Kind::Tonic(body) => {
                let frame = ready!(Pin::new(body.as_mut()).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(Chunk::plain))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(content) => SizeHint::with_exact(content.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

impl Streaming {
    /// Puts small messages that are ready together into one frame; a large one goes as it is.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Frame<Chunk>> {
        loop {
            if self.small.is_empty() {
                if let Some(large) = self.large.take() {
                    return Poll::Ready(Frame::data(Chunk::prefixed(large)));
                }
                if let Some(status) = self.end.take() {
                    self.call.end_with(&status);
                    return Poll::Ready(Frame::trailers(trailers(&status)));
                }
            } else if self.small.len() >= COALESCE_BYTES
                || self.large.is_some()
                || self.end.is_some()
            {
                return Poll::Ready(Frame::data(Chunk::plain(self.small.split().freeze())));
            }
            match self.source.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => self.add(message),
                Poll::Ready(Some(Err(status))) => self.end = Some(status),
                Poll::Ready(None) => self.end = Some(Status::new(Code::Ok, "")),
                Poll::Pending if self.small.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    return Poll::Ready(Frame::data(Chunk::plain(self.small.split().freeze())));
                }
            }
        }
    }

    fn add(&mut self, message: Bytes) {
        self.call.sent(message.len());
        if self.coding == Coding::Gzip {
            match pack(message) {
                Ok(packed) => self.small.extend_from_slice(&packed),
                Err(status) => self.end = Some(status),
            }
        } else if message.len() >= UNCOPIED_BYTES {
            self.large = Some(message);
        } else {
            self.small.reserve(PREFIX_BYTES + message.len());
            self.small.put_u8(0);
            self.small.put_u32(message.len() as u32);
            self.small.extend_from_slice(&message);
        }
    }
}

/// The trailers that carry a status.
fn trailers(status: &Status) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(2);
    if status.add_header(&mut map).is_err() {
        map.insert("grpc-status", HeaderValue::from_static("2"));
    }
    map
}

impl Chunk {
    fn plain(rest: Bytes) -> Chunk {
        Chunk {
            prefix: [0; PREFIX_BYTES],
            at: PREFIX_BYTES,
            rest,
        }
    }

    fn prefixed(rest: Bytes) -> Chunk {
        let [a, b, c, d] = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_be_bytes();
        Chunk {
            prefix: [0, a, b, c, d],
            at: 0,
            rest,
        }
    }

    fn prefix_left(&self) -> &[u8] {
        self.prefix.get(self.at..).unwrap_or_default()
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.prefix_left().len() + self.rest.len()
    }

    fn chunk(&self) -> &[u8] {
        let prefix = self.prefix_left();
        if prefix.is_empty() {
            &self.rest
        } else {
            prefix
        }
    }

    fn advance(&mut self, count: usize) {
        let of_prefix = count.min(self.prefix_left().len());
        self.at += of_prefix;
        self.rest.advance(count - of_prefix);
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        if self.prefix_left().is_empty() {
            return self.rest.copy_to_bytes(len);
        }
        let mut copy = BytesMut::with_capacity(len);
        copy.put(self.take(len));
        copy.freeze()
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [std::io::IoSlice<'a>]) -> usize {
        let parts = [self.prefix_left(), &self.rest];
        let full = parts.into_iter().filter(|part| !part.is_empty());
        out.iter_mut()
            .zip(full)
            .map(|(slot, part)| *slot = std::io::IoSlice::new(part))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::grpc::Calls;

    async fn frames(messages: Vec<Result<Bytes, Status>>) -> (Vec<Vec<u8>>, HeaderMap) {
        let source = Box::pin(futures::stream::iter(messages));
        let mut body = Body::stream(source, Coding::Identity, Calls::new(1, false).start(0));
        let (mut datas, mut end) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(mut chunk) => {
                    let mut data = Vec::new();
                    while chunk.has_remaining() {
                        let step = chunk.chunk().len().min(3);
                        data.extend_from_slice(&chunk.chunk()[..step]);
                        chunk.advance(step);
                    }
                    datas.push(data);
                }
                Err(frame) => end = frame.into_trailers().unwrap_or_default(),
            }
        }
        (datas, end)
    }

    #[tokio::test]
    async fn small_messages_share_a_frame_and_large_ones_stand_alone() {
        let large = Bytes::from(vec![9; UNCOPIED_BYTES]);
        let messages = vec![
            Ok("one".into()),
            Ok("two".into()),
            Ok(large.clone()),
            Ok("x".into()),
        ];
        let (datas, end) = frames(messages).await;
        assert_eq!(datas[0], b"\0\0\0\0\x03one\0\0\0\0\x03two");
        assert_eq!(datas[1][..PREFIX_BYTES], [0, 0, 0, 16, 0]);
        assert_eq!(datas[1][PREFIX_BYTES..], large);
        assert_eq!(datas[2], b"\0\0\0\0\x01x");
        assert_eq!(end["grpc-status"], "0");
    }

    #[tokio::test]
    async fn a_failure_comes_after_what_was_sent_before_it() {
        let failure = Err(Status::new(Code::Unavailable, "gone"));
        let (datas, end) = frames(vec![Ok("one".into()), failure]).await;
        assert_eq!(datas.len(), 1);
        assert_eq!(end["grpc-status"], "14");
        assert_eq!(end["grpc-message"], "gone");
    }

    #[tokio::test]
    async fn unary_bodies_end_with_their_status() {
        let mut body = Body::message("m".into());
        assert!(body.frame().await.unwrap().unwrap().is_data());
        let end = body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_trailers()
            .ok()
            .unwrap();
        assert_eq!(end["grpc-status"], "0");
        assert!(body.frame().await.is_none());
    }
}
