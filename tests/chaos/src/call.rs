//! One request to one member, and how sure we are of its outcome.

use std::{error::Error, io, time::Duration};

use mainstay_model::{Body, Outcome, Request, Response};
use mainstay_proto::etcdserverpb as pb;
use tonic::{Code, Status};

use crate::{connection::Connection, convert};

/// Sends the request once and waits for its answer, at most `timeout`.
pub async fn execute(connection: &Connection, request: &Request, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, send(connection, request)).await {
        Ok(Ok(response)) => Outcome::Ok(response),
        Ok(Err(status)) => classify(&status),
        Err(_) => Outcome::Unknown {
            message: "the client gave up".to_owned(),
        },
    }
}

async fn send(connection: &Connection, request: &Request) -> Result<Response, Status> {
    match request {
        Request::Range {
            key,
            range_end,
            revision,
            limit,
            serializable,
        } => {
            let message = convert::range(key, range_end, *revision, *limit, *serializable);
            let response = connection.kv().range(message).await?.into_inner();
            Ok(answer(response.header, convert::range_body(response)))
        }
        Request::Put {
            key,
            value,
            lease,
            prev_kv,
        } => {
            let message = convert::put(key, value, *lease, *prev_kv);
            let response = connection.kv().put(message).await?.into_inner();
            Ok(answer(response.header, convert::put_body(response)))
        }
        Request::DeleteRange {
            key,
            range_end,
            prev_kv,
        } => {
            let message = convert::delete(key, range_end, *prev_kv);
            let response = connection.kv().delete_range(message).await?.into_inner();
            Ok(answer(response.header, convert::delete_body(response)))
        }
        Request::Txn {
            compare,
            success,
            failure,
        } => {
            let message = convert::txn(compare, success, failure);
            let response = connection.kv().txn(message).await?.into_inner();
            Ok(answer(response.header, convert::txn_body(response)))
        }
        Request::Compact { revision } => {
            let message = pb::CompactionRequest {
                revision: *revision,
                physical: false,
            };
            let response = connection.kv().compact(message).await?.into_inner();
            Ok(answer(response.header, Body::Compact))
        }
        Request::LeaseGrant { .. }
        | Request::LeaseRevoke { .. }
        | Request::LeaseKeepAlive { .. } => send_lease(connection, request).await,
    }
}

async fn send_lease(connection: &Connection, request: &Request) -> Result<Response, Status> {
    let mut lease = connection.lease();
    match *request {
        Request::LeaseGrant { id, ttl } => {
            let response = lease
                .lease_grant(pb::LeaseGrantRequest { ttl, id })
                .await?
                .into_inner();
            let body = Body::LeaseGrant {
                id: response.id,
                ttl: response.ttl,
            };
            Ok(answer(response.header, body))
        }
        Request::LeaseRevoke { id } => {
            let response = lease
                .lease_revoke(pb::LeaseRevokeRequest { id })
                .await?
                .into_inner();
            Ok(answer(response.header, Body::LeaseRevoke))
        }
        Request::LeaseKeepAlive { id } => {
            let one = tokio_stream::iter([pb::LeaseKeepAliveRequest { id }]);
            let mut answers = lease.lease_keep_alive(one).await?.into_inner();
            let response = answers.message().await?;
            let response = response.ok_or_else(|| Status::unknown("the stream ended"))?;
            let body = Body::LeaseKeepAlive { ttl: response.ttl };
            Ok(answer(response.header, body))
        }
        _ => Err(Status::invalid_argument("not a lease request")),
    }
}

fn answer(header: Option<pb::ResponseHeader>, body: Body) -> Response {
    Response {
        revision: header.map_or(0, |header| header.revision),
        body,
    }
}

/// A refusal is certain only if its code cannot come from a request that went to the log and was
/// lost on the way, or if no connection was ever made.
fn classify(status: &Status) -> Outcome {
    let certain = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    );
    let message = status.message().to_owned();
    if certain {
        Outcome::Failed {
            code: format!("{:?}", status.code()),
            message,
        }
    } else if was_refused(status) {
        Outcome::Failed {
            code: "ConnectionRefused".to_owned(),
            message,
        }
    } else {
        Outcome::Unknown {
            message: format!("{:?}: {message}", status.code()),
        }
    }
}

fn was_refused(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
