//! A connection that ends when it would no longer be let in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::Refused;
use crate::session::Session;

/// Reads and writes fail with [`Refused`] inside from the moment on at which the certificate of the
/// other side no longer verifies. Writes too: who only writes, because a request is there that it has
/// not read yet, would go on for ever.
pub struct Guarded<S> {
    stream: S,
    ended: Pin<Box<dyn Future<Output = Refused> + Send + Sync>>,
}

impl<S> Guarded<S> {
    pub(crate) fn new(stream: S, mut session: Session) -> Guarded<S> {
        let ended = Box::pin(async move { session.no_longer_valid().await });
        Guarded { stream, ended }
    }

    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S> Guarded<S> {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Poll::Ready(refused) = self.ended.as_mut().poll(context) else {
            return Ok(());
        };
        tracing::warn!(reason = %refused, "an open connection is cut off");
        // A future that has ended must not be asked again.
        self.ended = Box::pin(std::future::ready(refused.clone()));
        Err(io::Error::new(io::ErrorKind::PermissionDenied, refused))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
