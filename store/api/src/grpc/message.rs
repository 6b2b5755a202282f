//! Cuts a request body into messages.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use tonic::{Code, Status};

use super::{PREFIX_BYTES, Tally, gzip, gzip::Coding};
use crate::error::Error;

/// The messages of one request body. Dropping a pending [`Messages::next`] loses nothing: what has
/// arrived is kept here.
pub struct Messages<B> {
    body: B,
    /// What came last and is not used up; most often one frame that holds one whole message.
    head: Bytes,
    /// A message that came in several frames.
    parts: BytesMut,
    coding: Coding,
    limit: usize,
    ended: bool,
    tally: Tally,
}

impl<B> Messages<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    /// `limit` is the largest message accepted, in bytes, packed and unpacked.
    pub fn new(body: B, coding: Coding, limit: usize, tally: Tally) -> Self {
        let (head, parts) = (Bytes::new(), BytesMut::new());
        Messages {
            body,
            head,
            parts,
            coding,
            limit,
            ended: false,
            tally,
        }
    }

    /// The next message, decoded; none after the client has closed its side.
    pub async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, Status> {
        match poll_fn(|cx| self.poll_bytes(cx)).await? {
            Some(bytes) => decode(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The one message of a unary request, and the end of the request after it.
    pub async fn only<T: Message + Default>(&mut self) -> Result<T, Status> {
        let Some(message) = self.next().await? else {
            return Err(Status::new(
                Code::Internal,
                "grpc: the request holds no message",
            ));
        };
        if self.head.is_empty() && (self.ended || self.body.is_end_stream()) {
            return Ok(message);
        }
        match poll_fn(|cx| self.poll_bytes(cx)).await? {
            None => Ok(message),
            Some(_) => Err(Status::new(
                Code::Internal,
                "grpc: a unary request holds two messages",
            )),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.cut()? {
                self.tally.received(message.len());
                return Poll::Ready(Ok(Some(message)));
            }
            if self.ended {
                let clean = self.head.is_empty() && self.parts.is_empty();
                return Poll::Ready(if clean { Ok(None) } else { Err(truncated()) });
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = true,
                // The client has gone or reset the stream: there is nobody to answer.
                Some(Err(_)) => {
                    self.ended = true;
                    return Poll::Ready(Err(Status::new(Code::Cancelled, "context canceled")));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(data);
                    }
                }
            }
        }
    }

    /// Keeps the frame; if a message is under way already, behind what there is of it.
    fn take(&mut self, data: Bytes) {
        if self.head.is_empty() && self.parts.is_empty() {
            self.head = data;
            return;
        }
        if !self.head.is_empty() {
            self.parts.extend_from_slice(&self.head);
            self.head = Bytes::new();
        }
        self.parts.extend_from_slice(&data);
    }

    /// Takes one whole message from the front, if it is there.
    fn cut(&mut self) -> Result<Option<Bytes>, Status> {
        let available: &[u8] = if self.parts.is_empty() {
            &self.head
        } else {
            &self.parts
        };
        let Some((&[flag, a, b, c, d], rest)) = available.split_first_chunk::<PREFIX_BYTES>()
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.limit {
            let text = format!(
                "grpc: received message larger than max ({length} vs. {})",
                self.limit
            );
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if rest.len() < length {
            if !self.parts.is_empty() {
                let missing = length - rest.len();
                self.parts.reserve(missing);
            }
            return Ok(None);
        }
        let body = if self.parts.is_empty() {
            self.head.advance(PREFIX_BYTES);
            self.head.split_to(length)
        } else {
            self.parts.advance(PREFIX_BYTES);
            self.parts.split_to(length).freeze()
        };
        match (flag, self.coding) {
            (0, _) => Ok(Some(body)),
            (1, Coding::Gzip) => gzip::unpack(&body, self.limit).map(Some),
            (1, Coding::Identity) => Err(Status::new(
                Code::Internal,
                "grpc: compressed flag set with identity or empty encoding",
            )),
            (flag, _) => Err(Status::new(
                Code::Internal,
                format!("grpc: received unexpected payload format {flag}"),
            )),
        }
    }
}

fn decode<T: Message + Default>(bytes: Bytes) -> Result<T, Status> {
    T::decode(bytes).map_err(|error| {
        let text = error.to_string();
        // The only message that can hold itself is a txn, and etcd refuses one as deep as this.
        if text.ends_with(NESTED_TOO_DEEP) {
            return Error::TooManyOps.into();
        }
        Status::new(
            Code::Internal,
            format!("grpc: error unmarshalling request: {text}"),
        )
    })
}

/// How prost ends its complaint about a message nested beyond its limit of 100.
const NESTED_TOO_DEEP: &str = "recursion limit reached";

fn truncated() -> Status {
    Status::new(Code::Internal, "grpc: the request ends inside a message")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;
    use mainstay_proto::etcdserverpb::PutRequest;

    use super::*;
    use crate::grpc::{Calls, encode};

    fn tally() -> Tally {
        Calls::new(1, false).start(0).tally()
    }

    fn body(frames: Vec<Bytes>) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = frames.into_iter().map(|bytes| Ok(Frame::data(bytes)));
        StreamBody::new(futures::stream::iter(frames))
    }

    fn put(bytes: usize) -> PutRequest {
        PutRequest {
            key: "key".into(),
            value: vec![1; bytes].into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn messages_survive_every_cut_of_the_frames() {
        let first = encode(&put(40), Coding::Identity).unwrap();
        let second = encode(&put(3), Coding::Gzip).unwrap();
        let whole = [first.as_ref(), second.as_ref()].concat();
        for at in 0..whole.len() {
            let (left, right) = whole.split_at(at);
            let frames = vec![Bytes::copy_from_slice(left), Bytes::copy_from_slice(right)];
            let mut messages = Messages::new(body(frames), Coding::Gzip, 1000, tally());
            assert_eq!(messages.next::<PutRequest>().await.unwrap(), Some(put(40)));
            assert_eq!(messages.next::<PutRequest>().await.unwrap(), Some(put(3)));
            assert_eq!(messages.next::<PutRequest>().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_request_that_ends_early_is_no_message() {
        let whole = encode(&put(40), Coding::Identity).unwrap();
        for at in 1..whole.len() {
            let mut messages = Messages::new(
                body(vec![whole.slice(..at)]),
                Coding::Identity,
                1000,
                tally(),
            );
            assert_eq!(
                messages.next::<PutRequest>().await.unwrap_err().code(),
                Code::Internal
            );
        }
    }

    #[tokio::test]
    async fn too_large_is_worded_as_grpc_go_words_it() {
        let whole = encode(&put(2_097_152), Coding::Identity).unwrap();
        let length = whole.len() - PREFIX_BYTES;
        let frame = whole.slice(..100);
        let mut messages = Messages::new(body(vec![frame]), Coding::Identity, 2_097_152, tally());
        let refused = messages.only::<PutRequest>().await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(
            refused.message(),
            format!("grpc: received message larger than max ({length} vs. 2097152)")
        );
    }

    #[tokio::test]
    async fn a_unary_request_holds_exactly_one() {
        let one = encode(&put(1), Coding::Identity).unwrap();
        let mut good = Messages::new(body(vec![one.clone()]), Coding::Identity, 1000, tally());
        assert_eq!(good.only::<PutRequest>().await.unwrap(), put(1));
        let mut two = Messages::new(
            body(vec![one.clone(), one]),
            Coding::Identity,
            1000,
            tally(),
        );
        assert_eq!(
            two.only::<PutRequest>().await.unwrap_err().code(),
            Code::Internal
        );
        let mut none = Messages::new(body(vec![]), Coding::Identity, 1000, tally());
        assert_eq!(
            none.only::<PutRequest>().await.unwrap_err().code(),
            Code::Internal
        );
    }
}
