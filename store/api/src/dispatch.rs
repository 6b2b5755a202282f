//! Takes an HTTP request to the service it is for.
//!
//! A gRPC request finds its row in the table of rights, is counted, decoded and admitted, and
//! only then reaches a handler. The handlers that carry the load are awaited in place; the others
//! are boxed, so that the future of every request is not as large as the largest of them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method as HttpMethod, Request, Response, header::CONTENT_TYPE};
use prost::Message;
use tonic::{Code, Status};

use crate::context::Context;
use crate::grpc::{self, Body, Call, Coding, MessageStream, Messages};
use crate::metadata::{Caller, admit};
use crate::rights::{self, Method, Right, Row};
use crate::services::{
    auth, cluster, downgrade, election, health, kv, lease, lock, maintenance, reflection, snapshot,
    watch,
};

/// Request bodies this server reads.
pub trait Incoming:
    http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static
{
}

impl<B> Incoming for B
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
}

/// Whether a request is gRPC: by its content type, whatever the HTTP version.
pub fn is_grpc<B>(request: &Request<B>) -> bool {
    let content = request.headers().get(CONTENT_TYPE);
    content.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a gRPC request.
pub async fn grpc<B: Incoming>(context: Arc<Context>, request: Request<B>) -> Response<Body> {
    let path = request.uri().path();
    let Some(row) = rights::find(path) else {
        return grpc::refused(&Status::new(Code::Unimplemented, rights::unknown(path)));
    };
    if request.method() != HttpMethod::POST {
        return grpc::refused(&Status::new(
            Code::Internal,
            "grpc: the request is not a POST",
        ));
    }
    let spans = context.spans.as_ref();
    let trace = spans.and_then(|spans| spans.begin(row, request.headers(), request.extensions()));
    let mut call = context.calls.start(row.method as usize).traced(trace);
    let coding = match Coding::of(request.headers()) {
        Ok(coding) => coding,
        Err(status) => {
            call.end_with(&status);
            return grpc::refused(&status);
        }
    };
    route(Exchange {
        context,
        row,
        coding,
        call,
        request,
    })
    .await
}

/// One request on its way to its handler.
struct Exchange<B> {
    context: Arc<Context>,
    row: &'static Row,
    coding: Coding,
    call: Call,
    request: Request<B>,
}

async fn route<B: Incoming>(exchange: Exchange<B>) -> Response<Body> {
    match exchange.row.method {
        Method::Put => exchange.unary_for(kv::put).await,
        Method::Range => exchange.unary_encoded(kv::range).await,
        Method::Txn => exchange.unary_for(kv::txn).await,
        Method::Watch => Box::pin(exchange.stream(watch::watch)).await,
        _ => Box::pin(route_rare(exchange)).await,
    }
}

async fn route_rare<B: Incoming>(exchange: Exchange<B>) -> Response<Body> {
    match exchange.row.method {
        Method::RangeStream => exchange.stream(kv::range_stream).await,
        Method::DeleteRange => exchange.unary_for(kv::delete_range).await,
        Method::Compact => exchange.unary_for(kv::compact).await,
        Method::LeaseGrant => exchange.unary_for(lease::grant).await,
        Method::LeaseRevoke => exchange.unary_for(lease::revoke).await,
        Method::LeaseKeepAlive => exchange.stream(lease::keep_alive).await,
        Method::LeaseTimeToLive => exchange.unary_for(lease::time_to_live).await,
        Method::LeaseLeases => exchange.unary_for(lease::leases).await,
        Method::MemberAdd => exchange.unary(cluster::member_add).await,
        Method::MemberRemove => exchange.unary(cluster::member_remove).await,
        Method::MemberUpdate => exchange.unary(cluster::member_update).await,
        Method::MemberPromote => exchange.unary(cluster::member_promote).await,
        Method::MemberList => exchange.unary(cluster::member_list).await,
        Method::Alarm => exchange.unary_for(maintenance::alarm).await,
        Method::Status => exchange.unary(maintenance::status).await,
        Method::Downgrade => exchange.unary_for(downgrade::downgrade).await,
        Method::Defragment => exchange.unary(maintenance::defragment).await,
        Method::Hash => exchange.unary(maintenance::hash).await,
        Method::HashKv => exchange.unary(maintenance::hash_kv).await,
        Method::Snapshot => exchange.stream(snapshot::snapshot).await,
        Method::MoveLeader => exchange.unary(maintenance::move_leader).await,
        Method::AuthEnable => exchange.unary_for(auth::enable).await,
        Method::AuthDisable => exchange.unary_for(auth::disable).await,
        Method::AuthStatus => exchange.unary_for(auth::status).await,
        Method::Authenticate => exchange.unary_for(auth::authenticate).await,
        Method::UserAdd => exchange.unary_for(auth::user_add).await,
        Method::UserGet => exchange.unary_for(auth::user_get).await,
        Method::UserList => exchange.unary_for(auth::user_list).await,
        Method::UserDelete => exchange.unary_for(auth::user_delete).await,
        Method::UserChangePassword => exchange.unary_for(auth::user_change_password).await,
        Method::UserGrantRole => exchange.unary_for(auth::user_grant_role).await,
        Method::UserRevokeRole => exchange.unary_for(auth::user_revoke_role).await,
        Method::RoleAdd => exchange.unary_for(auth::role_add).await,
        Method::RoleGet => exchange.unary_for(auth::role_get).await,
        Method::RoleList => exchange.unary_for(auth::role_list).await,
        Method::RoleDelete => exchange.unary_for(auth::role_delete).await,
        Method::RoleGrantPermission => exchange.unary_for(auth::role_grant_permission).await,
        Method::RoleRevokePermission => exchange.unary_for(auth::role_revoke_permission).await,
        Method::Lock => exchange.unary_for(lock::lock).await,
        Method::Unlock => exchange.unary_for(lock::unlock).await,
        Method::Campaign => exchange.unary_for(election::campaign).await,
        Method::Proclaim => exchange.unary_for(election::proclaim).await,
        Method::Leader => exchange.unary_for(election::leader).await,
        Method::Observe => exchange.stream(election::observe).await,
        Method::Resign => exchange.unary_for(election::resign).await,
        Method::HealthCheck => exchange.unary(health::check).await,
        Method::HealthWatch => exchange.stream(health::watch).await,
        Method::Reflection | Method::ReflectionAlpha => {
            let mut call = exchange.call;
            let response = reflection::answer(exchange.row.method, exchange.request).await;
            call.end(Code::Ok);
            response
        }
        // The frequent ones went another way.
        Method::Range | Method::Put | Method::Txn | Method::Watch => {
            Box::pin(route(exchange)).await
        }
    }
}

async fn let_in(
    context: &Context,
    row: &'static Row,
    parts: &http::request::Parts,
) -> Result<Caller, Status> {
    let caller = admit(context, row, &parts.headers, &parts.extensions)?;
    if context.logins.registry().is_enabled() {
        // Boxed, so that requests of a cluster without users are no larger for it.
        Box::pin(enter(context, row, &caller)).await?;
    }
    Ok(caller)
}

/// Sees to the rights that a row alone tells.
async fn enter(context: &Context, row: &Row, caller: &Caller) -> Result<(), Status> {
    // Nothing is read under it: the handler asks again for what it reads.
    let _ = match row.right {
        Right::Token => context.permit(caller, |gate| gate.known()).await?,
        Right::Root => context.permit(caller, |gate| gate.root()).await?,
        Right::Nobody | Right::Keys | Right::LeaseKeys | Right::RootOrOwn => return Ok(()),
    };
    Ok(())
}

impl<B: Incoming> Exchange<B> {
    /// One message in, one out, whoever asks: its row has seen to the caller.
    async fn unary<Q, A, F, H>(self, handler: H) -> Response<Body>
    where
        Q: Message + Default,
        A: Message,
        F: Future<Output = Result<A, Status>>,
        H: FnOnce(Arc<Context>, Q) -> F,
    {
        self.unary_for(|context, _, request| handler(context, request))
            .await
    }

    /// The same with who asks.
    async fn unary_for<Q, A, F, H>(self, handler: H) -> Response<Body>
    where
        Q: Message + Default,
        A: Message,
        F: Future<Output = Result<A, Status>>,
        H: FnOnce(Arc<Context>, Caller, Q) -> F,
    {
        self.unary_encoded(|context, caller, request, coding| {
            let answer = handler(context, caller, request);
            async move { grpc::encode(&answer.await?, coding) }
        })
        .await
    }

    /// One message in; the handler encodes the answer itself, wherever it has read it.
    async fn unary_encoded<Q, F, H>(self, handler: H) -> Response<Body>
    where
        Q: Message + Default,
        F: Future<Output = Result<Bytes, Status>>,
        H: FnOnce(Arc<Context>, Caller, Q, Coding) -> F,
    {
        let Exchange {
            context,
            row,
            coding,
            mut call,
            request,
        } = self;
        let (parts, body) = request.into_parts();
        let limit = context.limits.message_bytes();
        let mut messages = Messages::new(body, coding, limit, call.tally());
        let answer = match messages.only::<Q>().await {
            Err(status) => Err(status),
            Ok(message) => match let_in(&context, row, &parts).await {
                Err(status) => Err(status),
                Ok(caller) => {
                    let caller = caller.traced(call.trace());
                    handler(context, caller, message, coding).await
                }
            },
        };
        match answer {
            Ok(encoded) => {
                call.sent(encoded.len().saturating_sub(grpc::PREFIX_BYTES));
                call.end(Code::Ok);
                grpc::unary(encoded, coding)
            }
            Err(status) => {
                call.end_with(&status);
                grpc::refused(&status)
            }
        }
    }

    /// A stream of messages out, and whatever comes in.
    async fn stream<F, H>(self, handler: H) -> Response<Body>
    where
        F: Future<Output = Result<MessageStream, Status>>,
        H: FnOnce(Arc<Context>, Messages<B>, Caller) -> F,
    {
        let Exchange {
            context,
            row,
            coding,
            mut call,
            request,
        } = self;
        let (parts, body) = request.into_parts();
        let messages = Messages::new(body, coding, context.limits.message_bytes(), call.tally());
        let stream = match let_in(&context, row, &parts).await {
            Err(status) => Err(status),
            Ok(caller) => handler(context, messages, caller.traced(call.trace())).await,
        };
        match stream {
            Ok(stream) => grpc::streamed(stream, coding, call),
            Err(status) => {
                call.end_with(&status);
                grpc::refused(&status)
            }
        }
    }
}
