//! The port for probes: HTTP without TLS, and without data.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::try_unfold;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Error;

/// A probe that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(3);
/// `/metrics` of a member with many clients is far below.
const BODY_BYTES_MAX: usize = 4 << 20;
/// A line of a stream is one small object.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What a path answers, whatever its status.
pub async fn get(socket: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Error> {
    let asked = async {
        let response = open(socket, path).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
        let body = body.await.map_err(|error| unreachable(socket, error))?;
        Ok((status, body.to_bytes()))
    };
    match timeout(DEADLINE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(unreachable(socket, "the probe took too long")),
    }
}

/// The lines of a stream that does not end by itself. An error or its end means that the member has
/// gone, or that nothing came for `silence`.
pub async fn lines(
    socket: SocketAddr,
    path: &str,
    silence: Duration,
) -> Result<impl Stream<Item = Result<String, Error>> + use<>, Error> {
    let response = match timeout(DEADLINE, open(socket, path)).await {
        Ok(response) => response?,
        Err(_) => return Err(unreachable(socket, "the stream took too long to begin")),
    };
    if response.status() != StatusCode::OK {
        return Err(Error::Status {
            host: socket.to_string(),
            path: path.to_owned(),
            status: response.status().as_u16(),
            text: String::new(),
        });
    }
    let begin = (response.into_body(), BytesMut::new());
    Ok(try_unfold(begin, move |(body, buffer)| {
        line(socket, body, buffer, silence)
    }))
}

async fn line(
    socket: SocketAddr,
    mut body: Incoming,
    mut buffer: BytesMut,
    silence: Duration,
) -> Result<Option<(String, (Incoming, BytesMut))>, Error> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let text = buffer.split_to(end + 1);
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            // An empty line only says that the member is alive.
            if text.is_empty() {
                continue;
            }
            return Ok(Some((text, (body, buffer))));
        }
        if buffer.len() > LINE_BYTES_MAX {
            return Err(unreachable(socket, "a line of the stream is too long"));
        }
        let frame = match timeout(silence, body.frame()).await {
            Ok(Some(frame)) => frame.map_err(|error| unreachable(socket, error))?,
            Ok(None) => return Ok(None),
            Err(_) => return Err(unreachable(socket, "the stream is silent")),
        };
        if let Some(data) = frame.data_ref() {
            buffer.extend_from_slice(data);
        }
    }
}

async fn open(socket: SocketAddr, path: &str) -> Result<hyper::Response<Incoming>, Error> {
    let failed = |error: hyper::Error| unreachable(socket, error);
    let stream = TcpStream::connect(socket).await;
    let stream = stream.map_err(|error| unreachable(socket, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // It ends when the answer has been read, or dropped.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(http::header::HOST, socket.to_string())
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| unreachable(socket, error))?;
    sender.send_request(request).await.map_err(failed)
}

fn unreachable(socket: SocketAddr, reason: impl ToString) -> Error {
    Error::Unreachable {
        host: socket.to_string(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, pin_mut};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes, then holds the connection for as long as is asked.
    async fn server(answer: &'static str, hold: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            if hold {
                std::future::pending::<()>().await;
            }
        });
        socket
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_whatever_its_status() {
        let answer = "HTTP/1.1 503 x\r\ncontent-length: 3\r\n\r\nno\n";
        let socket = server(answer, true).await;
        let (status, body) = get(socket, "/readyz").await.unwrap();
        assert_eq!((status.as_u16(), &body[..]), (503, &b"no\n"[..]));
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_silence_is_an_error() {
        let answer = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n\
                      4\r\n{}\n{\r\n3\r\n1}\n\r\n1\r\n\n\r\n";
        let socket = server(answer, true).await;
        let stream = lines(socket, "/member?watch=true", Duration::from_millis(200)).await;
        let stream = stream.unwrap();
        pin_mut!(stream);
        assert_eq!(stream.next().await.unwrap().unwrap(), "{}");
        assert_eq!(stream.next().await.unwrap().unwrap(), "{1}");
        let silent = stream.next().await.unwrap().unwrap_err();
        assert!(silent.to_string().contains("silent"), "{silent}");
    }

    #[tokio::test]
    async fn a_stream_whose_member_goes_away_says_so() {
        let answer = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n";
        let socket = server(answer, false).await;
        let stream = lines(socket, "/member?watch=true", Duration::from_secs(60)).await;
        let stream = stream.unwrap();
        pin_mut!(stream);
        assert_eq!(stream.next().await.unwrap().unwrap(), "{}");
        assert!(stream.next().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap();
        drop(listener);
        let error = get(socket, "/readyz").await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }
}
