use std::sync::Arc;

use anyhow::Result;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::client;

/// Where HTTP/1.1 is spoken with a member, and what is shaken hands with where it speaks TLS.
#[derive(Clone, Debug)]
pub struct Door {
    pub port: u16,
    secure: Option<Arc<ClientConfig>>,
}

/// A connection with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Door {
    pub fn new(port: u16, secure: Option<Arc<ClientConfig>>) -> Door {
        Door { port, secure }
    }

    /// A new connection.
    pub async fn open(&self) -> Result<Box<dyn Stream>> {
        Ok(match &self.secure {
            Some(config) => Box::new(client::dial(self.port, config.clone()).await?),
            None => Box::new(TcpStream::connect(("127.0.0.1", self.port)).await?),
        })
    }

    /// What a client writes into `Host`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl From<u16> for Door {
    fn from(port: u16) -> Door {
        Door::new(port, None)
    }
}

impl From<&Door> for Door {
    fn from(door: &Door) -> Door {
        door.clone()
    }
}
