//! A client of HTTP/2 that sends what it is told to, frame by frame, and no more.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A server that does not answer a ping within this time has a reason of its own not to.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// SETTINGS_MAX_CONCURRENT_STREAMS
const MAX_STREAMS: u16 = 3;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    /// The number at an offset of the payload: an error code, for one.
    pub fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// What the settings say of concurrent streams.
    pub fn max_streams(&self) -> Option<u32> {
        let mut settings = self.payload.chunks_exact(6);
        let found = settings.find(|setting| setting.starts_with(&MAX_STREAMS.to_be_bytes()))?;
        Some(u32::from_be_bytes(found.get(2..)?.try_into().ok()?))
    }
}

pub struct Client(TcpStream);

impl Client {
    pub async fn connect(port: u16) -> Result<Client> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(PREFACE).await?;
        let mut client = Client(stream);
        client.send(SETTINGS, 0, 0, &[]).await?;
        Ok(client)
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        Ok(self.0.write_all(&frame).await?)
    }

    pub async fn receive(&mut self) -> Result<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await?;
            anyhow::Ok(Frame {
                kind,
                flags,
                stream: u32::from_be_bytes(stream),
                payload,
            })
        };
        timeout(ANSWER_WAIT, read).await.context("no frame")?
    }

    /// Begins a call on a stream, with one message.
    pub async fn call(&mut self, stream: u32, path: &str, message: &[u8]) -> Result<()> {
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        // Literals that are not indexed, without Huffman's code (RFC 7541, section 6.2.2).
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len())?);
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS, stream, &block).await?;
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        body.extend_from_slice(message);
        self.send(DATA, 0, stream, &body).await
    }
}
