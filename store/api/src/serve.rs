//! Serves connections: HTTP/2 with large windows for gRPC, HTTP/1 for the rest, and websockets that
//! began as HTTP/1.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use ::http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::context::Context;
use crate::dispatch;
use crate::gateway::Tunnel;
use crate::grpc::{Body, RequestBody};
use crate::http::{self, Listener, Serves};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEADER_LIST_BYTES, HTTP1_BUFFER_BYTES, PENDING_RESETS,
    SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES,
};
use crate::logins::credentials::{CertificateName, Source};
use crate::pings::Pinged;
use crate::spans::LocalAddress;

/// The API of one member; clones are cheap.
#[derive(Clone)]
pub struct Api {
    context: Arc<Context>,
    builder: Arc<Builder<TokioExecutor>>,
}

/// Where a connection comes from, as the listener has seen it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub address: Option<IpAddr>,
    /// The common name of the certificate that its other side has proven to hold the key of.
    pub certificate_name: Option<Arc<str>>,
    /// The address of ours that it came in by.
    pub local: Option<SocketAddr>,
}

impl Origin {
    /// Leaves it with a request of this connection. Nothing else does, so no header can.
    fn mark(&self, extensions: &mut Extensions) {
        if let Some(address) = self.address {
            extensions.insert(Source(address));
        }
        if let Some(name) = &self.certificate_name {
            extensions.insert(CertificateName(name.clone()));
        }
        if let Some(local) = self.local {
            extensions.insert(LocalAddress(local));
        }
    }
}

/// How a connection came to its end.
#[derive(Debug)]
pub enum Connection {
    /// Closed by the client or, after the last request, by us.
    Closed,
    /// Broke, or spoke no HTTP.
    Broken(String),
}

impl Api {
    pub fn new(context: Arc<Context>) -> Api {
        let builder = Arc::new(builder(&context));
        Api { context, builder }
    }

    /// Serves one accepted connection until it closes. Once `stop` is ready no new request is
    /// taken and the connection ends with its last one; whoever calls cuts it if that lasts too
    /// long.
    pub async fn serve<I>(
        &self,
        io: I,
        listener: Listener,
        from: Origin,
        stop: impl Future<Output = ()>,
    ) -> Connection
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let context = self.context.clone();
        // Only spans tell it.
        let local = from.local.filter(|_| context.spans.is_some());
        let from = Origin { local, ..from };
        let tunnel = Tunnel::default();
        let left = tunnel.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (context, tunnel) = (context.clone(), tunnel.clone());
            from.mark(request.extensions_mut());
            async move { answer(context, request, listener, &tunnel).await }
        });
        let io = Pinged::new(io, self.context.limits.keepalive_min_time);
        let io = TokioIo::new(io);
        let connection = self.builder.serve_connection_with_upgrades(io, service);
        let mut connection = pin!(connection);
        let mut stop = pin!(stop);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = stop.as_mut(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        // A connection that has left HTTP goes on as what it has become, until it is told to stop.
        let upgraded = left.lock().take();
        if let (Some(upgraded), Ok(()), false) = (upgraded, &ended, stopping) {
            tokio::select! {
                () = upgraded => {}
                () = stop.as_mut() => {}
            }
        }
        match ended {
            Ok(()) => Connection::Closed,
            Err(error) => Connection::Broken(error.to_string()),
        }
    }
}

async fn answer(
    context: Arc<Context>,
    request: Request<Incoming>,
    listener: Listener,
    tunnel: &Tunnel,
) -> Result<Response<Body>, NotServed> {
    match listener {
        Listener::Client { serves, .. }
            if serves != Serves::Http && dispatch::is_grpc(&request) =>
        {
            Ok(dispatch::grpc(context, request.map(RequestBody::wire)).await)
        }
        Listener::Client {
            serves: Serves::Grpc,
            ..
        } => Err(NotServed),
        _ => Ok(Box::pin(http::answer(&context, request, listener, tunnel)).await),
    }
}

/// Ends the connection, or under HTTP/2 the request, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("this URL serves gRPC alone")]
struct NotServed;

fn builder(context: &Context) -> Builder<TokioExecutor> {
    let limits = &context.limits;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let interval = Some(limits.keepalive_interval).filter(|interval| !interval.is_zero());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.concurrent_streams)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        // grpc-go sends none, and it would be formatted anew every second.
        .auto_date_header(false);
    builder
}
