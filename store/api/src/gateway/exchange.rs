//! One call through the gateway: JSON in, the RPC as any gRPC client would call it, JSON out.
//!
//! The call goes in by `dispatch`, so rights, limits, counters and the service itself are those of
//! gRPC. What is long is converted on the scan pool, off the thread that carries raft.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use prost_reflect::MessageDescriptor;
use tonic::Status;

use super::cutter::Cutter;
use super::json::{self, Shapes};
use super::replies::Replies;
use super::{headers, routes};
use crate::context::Context;
use crate::dispatch;
use crate::error::Error;
use crate::grpc::{Body, Gone, RequestBody};
use crate::limits::INLINE_JSON_BYTES;
use crate::logins::credentials::Source;
use crate::rights::{Row, Shape};

/// The pieces of a request's text; an error when its client has gone.
pub type Text = Pin<Box<dyn Stream<Item = Result<Bytes, Gone>> + Send>>;

/// The messages of an answer as JSON objects, then what it has failed with.
pub type Objects = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What a call is to be answered with.
pub enum Answer {
    One(Bytes),
    Many(Objects),
}

/// A call that has its path.
pub struct Exchange {
    context: Arc<Context>,
    row: &'static Row,
    shapes: Shapes,
    headers: HeaderMap,
    /// Of the connection only its address goes on: whose certificate it has shown is not the
    /// gateway's to say.
    source: Option<Source>,
}

impl Exchange {
    /// Finds the RPC of a path below `/v3/`.
    pub fn find(context: &Arc<Context>, path: &str) -> Option<Exchange> {
        let row = routes::find(path)?;
        Some(Exchange {
            context: context.clone(),
            row,
            shapes: Shapes::of(row)?,
            headers: HeaderMap::new(),
            source: None,
        })
    }

    /// Notes where the call comes from.
    pub fn from(mut self, source: Option<Source>) -> Exchange {
        self.source = source;
        self
    }

    /// Makes the call. An error came before anything was answered.
    pub async fn call(mut self, headers: &HeaderMap, text: Text) -> Result<Answer, Status> {
        let timeout = headers::timeout(headers)?;
        self.headers = headers::metadata(headers);
        match self.row.shape {
            Shape::Unary => {
                let answer = self.unary(text);
                Ok(Answer::One(within(timeout, answer).await?))
            }
            Shape::ServerStream => {
                let message = self.message(text).await?;
                let failure = Arc::default();
                Ok(Answer::Many(self.stream(
                    RequestBody::once(message),
                    failure,
                    timeout,
                )))
            }
            Shape::Bidi => {
                let failure = Arc::new(Mutex::new(None));
                let body = RequestBody::stream(self.messages(text, failure.clone()));
                Ok(Answer::Many(self.stream(body, failure, timeout)))
            }
        }
    }

    async fn unary(self, text: Text) -> Result<Bytes, Status> {
        let message = self.message(text).await?;
        let mut replies = Replies::new(self.dispatch(RequestBody::once(message)).await);
        match replies.next().await {
            Some(Ok(message)) => write(&self.context, message, self.shapes.response).await,
            Some(Err(status)) => Err(status),
            None => Err(Error::Storage.into()),
        }
    }

    /// The first object of the text as a message; no text stands for an empty one, and what
    /// follows it is not looked at (etcd).
    async fn message(&self, mut text: Text) -> Result<Bytes, Status> {
        let mut cutter = Cutter::new(self.context.limits.json_bytes());
        let object = loop {
            if let Some(object) = cutter.next()? {
                break object;
            }
            match text.next().await {
                Some(Ok(piece)) => cutter.push(&piece),
                Some(Err(Gone)) => return Err(Error::ContextCanceled.into()),
                None => {
                    cutter.end()?;
                    break Bytes::from_static(b"{}");
                }
            }
        };
        read(&self.context, object, self.shapes.request.clone()).await
    }

    /// Each object of the text as a message. One that cannot be read ends the call, and is told
    /// by way of `failure`: the RPC itself only sees that its client has gone.
    fn messages(
        &self,
        mut text: Text,
        failure: Arc<Mutex<Option<Status>>>,
    ) -> impl Stream<Item = Result<Bytes, Gone>> + Send + use<> {
        let (context, shape) = (self.context.clone(), self.shapes.request.clone());
        async_stream::stream! {
            let mut cutter = Cutter::new(context.limits.json_bytes());
            loop {
                let object = match cutter.next() {
                    Ok(Some(object)) => Ok(object),
                    Ok(None) => match text.next().await {
                        Some(Ok(piece)) => {
                            cutter.push(&piece);
                            continue;
                        }
                        Some(Err(Gone)) => {
                            yield Err(Gone);
                            break;
                        }
                        None => match cutter.end() {
                            Ok(()) => break,
                            Err(status) => Err(status),
                        },
                    },
                    Err(status) => Err(status),
                };
                let message = match object {
                    Ok(object) => read(&context, object, shape.clone()).await,
                    Err(status) => Err(status),
                };
                match message {
                    Ok(message) => yield Ok(message),
                    Err(status) => {
                        *failure.lock() = Some(status);
                        yield Err(Gone);
                        break;
                    }
                }
            }
        }
    }

    fn stream(
        self,
        body: RequestBody,
        failure: Arc<Mutex<Option<Status>>>,
        timeout: Option<Duration>,
    ) -> Objects {
        Box::pin(async_stream::stream! {
            let late = async {
                match timeout {
                    Some(timeout) => tokio::time::sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(late);
            let opening = self.dispatch(body);
            let mut replies = tokio::select! {
                response = opening => Replies::new(response),
                () = &mut late => {
                    yield Err(Error::DeadlineExceeded.into());
                    return;
                }
            };
            loop {
                let reply = tokio::select! {
                    reply = replies.next() => reply,
                    () = &mut late => Some(Err(Error::DeadlineExceeded.into())),
                };
                let object = match reply {
                    None => break,
                    Some(Ok(message)) => {
                        write(&self.context, message, self.shapes.response.clone()).await
                    }
                    Some(Err(status)) => Err(failure.lock().take().unwrap_or(status)),
                };
                let last = object.is_err();
                yield object;
                if last {
                    break;
                }
            }
        })
    }

    /// Calls the RPC, in place of a connection.
    async fn dispatch(&self, body: RequestBody) -> Response<Body> {
        let path = format!("/{}/{}", self.row.service, self.row.name);
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        if let Some(source) = self.source {
            request.extensions_mut().insert(source);
        }
        // Names of the table are no URI only if the table is broken, and then no path is found.
        *request.uri_mut() = path.parse().unwrap_or_default();
        dispatch::grpc(self.context.clone(), request).await
    }
}

async fn within<T>(
    timeout: Option<Duration>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match timeout {
        None => answer.await,
        Some(timeout) => tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or_else(|_| Err(Error::DeadlineExceeded.into())),
    }
}

async fn read(context: &Context, object: Bytes, shape: MessageDescriptor) -> Result<Bytes, Status> {
    if object.len() <= INLINE_JSON_BYTES {
        return json::read(&object, shape);
    }
    context.scan(move |_| json::read(&object, shape)).await
}

async fn write(
    context: &Context,
    message: Bytes,
    shape: MessageDescriptor,
) -> Result<Bytes, Status> {
    if message.len() <= INLINE_JSON_BYTES {
        return json::write(message, shape);
    }
    context.scan(move |_| json::write(message, shape)).await
}
