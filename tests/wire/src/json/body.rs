use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split,
};

use crate::door::{Door, Stream};

/// How long a line of a stream may take.
const LINE_WAIT: Duration = Duration::from_secs(10);

/// A POST whose body grows while its answer is read: HTTP/1.1, chunked both ways.
pub struct Exchange {
    reader: BufReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// Set once the head of the answer has come.
    status: Option<u16>,
    /// What has come of the body and is no whole line yet.
    text: Vec<u8>,
    /// No more of the body comes.
    ended: bool,
}

/// RFC 9112, section 7.1.
fn chunk(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

impl Exchange {
    pub async fn open(door: &Door, path: &str, headers: &[(&str, &str)]) -> Result<Exchange> {
        let (reader, mut writer) = split(door.open().await?);
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n",
            door.host()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        writer.write_all(head.as_bytes()).await?;
        writer.flush().await?;
        Ok(Exchange {
            reader: BufReader::new(reader),
            writer,
            status: None,
            text: Vec::new(),
            ended: false,
        })
    }

    /// Sends a piece of the body; more may follow.
    pub async fn send(&mut self, piece: &str) -> Result<()> {
        self.writer.write_all(chunk(piece).as_bytes()).await?;
        Ok(self.writer.flush().await?)
    }

    /// Sends all of the body, a chunk for each piece, and its end. It goes out in one write: Go's
    /// server, which is etcd's, throws away what it has not read of a body when the answer begins,
    /// so etcd does not hear requests that come in later packets than one it has answered. The whole
    /// of it must fit what Go's JSON decoder reads at first, 512 bytes.
    pub async fn whole(&mut self, pieces: &[&str]) -> Result<()> {
        let mut body: String = pieces.iter().map(|piece| chunk(piece)).collect();
        body.push_str("0\r\n\r\n");
        self.writer.write_all(body.as_bytes()).await?;
        Ok(self.writer.flush().await?)
    }

    /// The status of the answer; waits for it.
    pub async fn status(&mut self) -> Result<u16> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let head = tokio::time::timeout(LINE_WAIT, self.head()).await;
        head.context("no answer has begun")?
    }

    async fn head(&mut self) -> Result<u16> {
        let mut line = String::new();
        self.reader.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = None;
        loop {
            line.clear();
            self.reader.read_line(&mut line).await?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        self.status = Some(status);
        if let Some(length) = length {
            let mut body = vec![0; length];
            self.reader.read_exact(&mut body).await?;
            self.text = body;
            self.text.push(b'\n');
            self.ended = true;
        }
        Ok(status)
    }

    /// The next line of the answer, none at its end.
    pub async fn line(&mut self) -> Result<Option<Value>> {
        self.status().await?;
        let line = tokio::time::timeout(LINE_WAIT, self.read_line()).await;
        line.context("no line has come")?
    }

    async fn read_line(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(at) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=at).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.ended {
                return Ok(None);
            }
            let mut size = String::new();
            if self.reader.read_line(&mut size).await? == 0 {
                return Ok(None);
            }
            let size = usize::from_str_radix(size.trim(), 16).context("size of a chunk")?;
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).await?;
            if size == 0 {
                self.ended = true;
                if !self.text.is_empty() {
                    bail!("the last line has no end");
                }
                return Ok(None);
            }
            self.text.extend_from_slice(&chunk[..size]);
        }
    }
}
