use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::door::Door;

/// Longest wait for a whole answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Largest answer taken, in bytes; a scrape of metrics is about 200 KB.
const MAX_ANSWER: u64 = 32 << 20;

/// An HTTP/1.1 answer. Names of headers are in lower case.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// One request on a connection of its own, so that nothing is left over from another.
pub async fn call(at: impl Into<Door>, method: &str, path: &str) -> Result<Answer> {
    send(at, method, path, "").await
}

/// A request with a JSON body, when there is one.
pub async fn send(at: impl Into<Door>, method: &str, path: &str, body: &str) -> Result<Answer> {
    let door = at.into();
    let host = door.host();
    with_headers(door, method, path, &[("Host", &host)], body).await
}

/// A request with these headers, `Host` among them.
pub async fn with_headers(
    at: impl Into<Door>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let door = at.into();
    let exchange = async {
        let mut socket = door.open().await?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            let length = body.len();
            request.push_str("Content-Type: application/json\r\n");
            request.push_str(&format!("Content-Length: {length}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        socket.write_all(request.as_bytes()).await?;
        socket.flush().await?;
        let mut bytes = Vec::new();
        socket.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
        parse(&bytes)
    };
    let answer = tokio::time::timeout(ANSWER_WAIT, exchange).await;
    answer.with_context(|| format!("{method} {path}: no answer within {ANSWER_WAIT:?}"))?
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no header")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status")?;
    let mut headers = BTreeMap::new();
    for line in lines {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let rest = &bytes[end + 4..];
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|kind| kind == "chunked");
    let body = if chunked {
        unchunk(rest)?
    } else {
        rest.to_vec()
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer {
        status: status.parse()?,
        headers,
        body,
    })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .context("a chunk has no size")?;
        let size = std::str::from_utf8(&rest[..line])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        if rest.len() < size + 2 {
            bail!("a chunk of {size} bytes is cut short");
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let raw =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        let answer = parse(raw).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "abcd"));
    }

    #[test]
    fn an_answer_cut_short_is_an_error() {
        let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc\r\n";
        assert!(parse(raw).is_err());
    }
}
