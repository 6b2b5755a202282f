//! Streams over a websocket: what a body of lines is over HTTP, a text frame a line, both ways.
//!
//! A browser cannot send while it receives over plain HTTP, so watch and keep-alive are of little
//! use to it otherwise. The connection leaves HTTP with the answer to its request; what it does
//! from then on is left in the [`Tunnel`] for whoever serves the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{
    Message,
    error::Error as SocketError,
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};
use tonic::{Code, Status};

use super::exchange::{Answer, Exchange};
use super::{failed, fault};
use crate::context::Context;
use crate::grpc::Body;

/// What a connection does after HTTP.
pub type Tunnel = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// The one version of the protocol (RFC 6455).
const VERSION: &[u8] = b"13";
/// A browser cannot set headers of a websocket, so it sends its token as a subprotocol:
/// `Bearer, <token>`.
const BEARER: &str = "Bearer";

/// Whether a request wants to go on as a websocket.
pub fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET
        && has_word(request.headers(), header::CONNECTION, "upgrade")
        && has_word(request.headers(), header::UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let mut words = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// Answers the handshake and leaves the call in the tunnel.
pub fn open<B: Send + 'static>(
    context: &Arc<Context>,
    exchange: Exchange,
    request: Request<B>,
    tunnel: &Tunnel,
) -> Response<Body> {
    // A page of another origin could read everything that needs no token.
    let origin = request.headers().get(header::ORIGIN);
    if origin.is_some() && context.access.origin(origin).is_none() {
        return failed(&Status::new(
            Code::PermissionDenied,
            "mainstay: the origin is not in --cors",
        ));
    }
    let accept = match handshake(request.headers()) {
        Ok(accept) => accept,
        Err(status) => return failed(&status),
    };
    let mut headers = request.headers().clone();
    let bearer = subprotocol_token(&headers);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(bearer) = bearer {
        headers.insert(header::AUTHORIZATION, bearer);
        let chosen = HeaderValue::from_static(BEARER);
        answered.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    let limit = context.limits.json_bytes();
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let upgrade = hyper::upgrade::on(request);
    *tunnel.lock() = Some(Box::pin(async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        if let Err(error) = talk(socket, exchange, headers).await {
            tracing::debug!(%error, "a websocket broke");
        }
    }));
    response
}

fn handshake(headers: &HeaderMap) -> Result<HeaderValue, Status> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    match (version, key) {
        (Some(version), Some(key)) if version.as_bytes() == VERSION => {
            HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(super::json::invalid)
        }
        _ => Err(Status::new(
            Code::InvalidArgument,
            "mainstay: the websocket handshake needs a key and version 13",
        )),
    }
}

/// The token of `Sec-WebSocket-Protocol: Bearer, <token>`, as an `Authorization`.
fn subprotocol_token(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let (bearer, token) = value.split_once(',')?;
    if bearer.trim() != BEARER {
        return None;
    }
    HeaderValue::from_str(&format!("{BEARER} {}", token.trim())).ok()
}

/// Carries the call: frames in are its text, objects out are frames. Ends with either side.
async fn talk<I>(
    mut socket: WebSocketStream<I>,
    exchange: Exchange,
    headers: HeaderMap,
) -> Result<(), SocketError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let mut frames = Box::pin(frames(exchange, headers, receiver));
    // A frame that waits until the call takes it; until then no other is read.
    let mut waiting: Option<Bytes> = None;
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(frame) => socket.send(frame).await?,
                None => return socket.close(None).await,
            },
            place = sender.reserve(), if waiting.is_some() => {
                let text = waiting.take();
                // A call that reads no more lets the rest go by.
                if let (Ok(place), Some(text)) = (place, text) {
                    place.send(text);
                }
            }
            message = socket.next(), if waiting.is_none() => match message {
                None | Some(Ok(Message::Close(_))) => return Ok(()),
                Some(Err(error)) => return Err(error),
                Some(Ok(Message::Text(text))) => waiting = Some(text.into()),
                Some(Ok(Message::Binary(bytes))) => waiting = Some(bytes),
                // Pings are answered by the socket itself.
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Makes the call and words what it answers.
fn frames(
    exchange: Exchange,
    headers: HeaderMap,
    mut texts: mpsc::Receiver<Bytes>,
) -> impl futures::Stream<Item = Message> + Send {
    async_stream::stream! {
        let text = Box::pin(async_stream::stream! {
            while let Some(text) = texts.recv().await {
                yield Ok(text);
            }
        });
        match exchange.call(&headers, text).await {
            Err(status) => yield frame(fault::body(&status)),
            Ok(Answer::One(object)) => yield frame(object),
            Ok(Answer::Many(objects)) => {
                let mut lines = super::lines(objects);
                while let Some(line) = lines.next().await {
                    yield frame(line);
                }
            }
        }
    }
}

/// A line as a text frame, without the end of the line.
fn frame(line: Bytes) -> Message {
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Message::text(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(*name, value);
        }
        request
    }

    #[test]
    fn only_an_upgrade_to_websocket_is_one() {
        let browser = asking(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ]);
        assert!(is_asked_for(&browser));
        assert!(!is_asked_for(&asking(&[
            ("connection", "Upgrade"),
            ("upgrade", "h2c")
        ])));
        assert!(!is_asked_for(&asking(&[("upgrade", "websocket")])));
    }

    #[test]
    fn the_handshake_is_that_of_the_rfc() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let good = asking(&[key, ("sec-websocket-version", "13")]);
        let accept = handshake(good.headers()).unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let old = asking(&[key, ("sec-websocket-version", "8")]);
        assert!(handshake(old.headers()).is_err());
    }

    #[test]
    fn a_token_comes_as_a_subprotocol() {
        let token =
            |value| subprotocol_token(asking(&[("sec-websocket-protocol", value)]).headers());
        assert_eq!(token("Bearer, a.1").unwrap(), "Bearer a.1");
        assert_eq!(token("Bearer,a.1").unwrap(), "Bearer a.1");
        assert_eq!(token("chat, a.1"), None);
        assert_eq!(token("Bearer"), None);
    }
}
