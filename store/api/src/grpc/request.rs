//! Request bodies: what a connection brings, or what this server calls itself with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use hyper::body::Incoming;

/// The body of any request that is dispatched. One type, so that every handler is compiled once.
pub struct RequestBody(Kind);

enum Kind {
    Wire(Incoming),
    /// One message with its prefix.
    Once(Option<Bytes>),
    /// Messages with their prefixes, made as they are asked for.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Gone>> + Send>>),
}

/// The client has gone before its request was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client has gone")
    }
}

impl std::error::Error for Gone {}

impl RequestBody {
    pub fn wire(body: Incoming) -> RequestBody {
        RequestBody(Kind::Wire(body))
    }

    pub fn once(message: Bytes) -> RequestBody {
        RequestBody(Kind::Once(Some(message)))
    }

    pub fn stream(
        messages: impl Stream<Item = Result<Bytes, Gone>> + Send + 'static,
    ) -> RequestBody {
        RequestBody(Kind::Stream(Box::pin(messages)))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        match &mut self.0 {
            Kind::Wire(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Gone)))
            }
            Kind::Once(message) => Poll::Ready(message.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(messages) => {
                let message = ready!(messages.as_mut().poll_next(cx));
                Poll::Ready(message.map(|message| message.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Wire(body) => body.is_end_stream(),
            Kind::Once(message) => message.is_none(),
            Kind::Stream(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_of_one_message_ends_with_it() {
        let mut body = RequestBody::once("m".into());
        assert!(!body.is_end_stream());
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().ok().unwrap(), "m");
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_client_that_goes_is_an_error() {
        let messages = futures::stream::iter([Ok(Bytes::from("a")), Err(Gone)]);
        let mut body = RequestBody::stream(messages);
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().err(), Some(Gone));
    }
}
