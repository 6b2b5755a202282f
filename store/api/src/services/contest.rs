//! What locks and elections share: contenders are keys under one prefix, each with the lease of
//! its owner, and the one that was created first has won.
//!
//! The rules are those of etcd's client library, whose sessions, mutexes and elections meet the
//! keys made here. Waiting is a watch on the key that was created last before one's own, so that
//! one deletion wakes one contender.

mod keys;

use std::sync::Arc;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, RangeRequest, ResponseHeader,
    TxnRequest, TxnResponse, range_request::SortOrder, request_op::Request,
};
use mainstay_proto::mvccpb::KeyValue;
use tonic::{Code, Status};

pub use keys::{first, prefix, read};

use super::key_watch::KeyWatch;
use super::{kv, lease};
use crate::context::Context;
use crate::error::Error;
use crate::metadata::Caller;
use keys::{created, key, lists, one, op, put};

/// The lease of a contender that brings none (etcd).
const SESSION_SECONDS: i64 = 60;

/// The lease that a contender stands under.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub lease: i64,
    /// Granted here; nobody else knows it until the contender is told.
    fresh: bool,
}

impl Session {
    /// The lease given, or for 0 a new one, which is not kept alive.
    pub async fn open(
        context: &Arc<Context>,
        caller: &Caller,
        given: i64,
    ) -> Result<Session, Status> {
        if given != 0 {
            let (lease, fresh) = (given, false);
            return Ok(Session { lease, fresh });
        }
        let request = LeaseGrantRequest {
            ttl: SESSION_SECONDS,
            id: 0,
        };
        let granted = lease::grant(context.clone(), caller.clone(), request).await?;
        let (lease, fresh) = (granted.id, true);
        Ok(Session { lease, fresh })
    }
}

/// A key in a contest. Dropped without [`Contender::keep`] it is taken out again: its caller has
/// gone, or can not be told that it has won.
pub struct Contender {
    context: Arc<Context>,
    caller: Caller,
    session: Session,
    pub prefix: Bytes,
    pub key: Bytes,
    /// Its create revision; 0 while that is not known.
    pub revision: i64,
    kept: bool,
}

/// What a contender found when it came.
pub struct Entry {
    pub header: Option<ResponseHeader>,
    /// Its own key, if it was there already.
    pub held: Option<KeyValue>,
    /// Nobody was there before it.
    pub first: bool,
}

impl Contender {
    /// Puts the key, unless it is there already, and looks who is first.
    pub async fn enter(
        context: &Arc<Context>,
        caller: &Caller,
        name: &[u8],
        session: Session,
        value: Bytes,
    ) -> Result<(Contender, Entry), Status> {
        let prefix = prefix(name);
        let key = key(&prefix, session.lease);
        let mut contender = Contender {
            context: context.clone(),
            caller: caller.clone(),
            session,
            prefix,
            key,
            revision: 0,
            kept: false,
        };
        let entry = contender.put(value).await?;
        Ok((contender, entry))
    }

    async fn put(&mut self, value: Bytes) -> Result<Entry, Status> {
        let first = op(Request::RequestRange(first(&self.prefix)));
        let request = TxnRequest {
            compare: vec![created(&self.key, 0)],
            success: vec![put(&self.key, value, self.session.lease), first.clone()],
            failure: vec![op(Request::RequestRange(one(&self.key))), first],
        };
        let response = kv::txn(self.context.clone(), self.caller.clone(), request).await?;
        let (header, succeeded) = (response.header, response.succeeded);
        let mut lists = lists(response);
        let first = lists.pop().unwrap_or_default().into_iter().next();
        let held = lists.pop().unwrap_or_default().into_iter().next();
        self.revision = match &held {
            Some(held) if !succeeded => held.create_revision,
            _ => header.map_or(0, |header| header.revision),
        };
        let first = first.is_none_or(|first| first.create_revision == self.revision);
        Ok(Entry {
            header,
            held,
            first,
        })
    }

    /// Waits until it has won, and looks once more: its lease may have ended while it waited, and
    /// then somebody else has.
    pub async fn win(&self, entry: &Entry) -> Result<Option<ResponseHeader>, Status> {
        if entry.first {
            return Ok(entry.header);
        }
        self.turn().await?;
        match self.stands().await? {
            (header, true) => Ok(header),
            (_, false) => Err(Error::SessionExpired.into()),
        }
    }

    /// Returns once nothing under the prefix is left that was created earlier.
    async fn turn(&self) -> Result<(), Status> {
        let request = RangeRequest {
            sort_order: SortOrder::Descend as i32,
            max_create_revision: self.revision.saturating_sub(1),
            ..first(&self.prefix)
        };
        loop {
            let (header, found) = read(&self.context, &self.caller, request.clone()).await?;
            let Some(before) = found.into_iter().next() else {
                return Ok(());
            };
            // It was there at the revision read, so only what follows can have deleted it.
            let from = header.map_or(0, |header| header.revision).saturating_add(1);
            KeyWatch::open(&self.context, before.key, Bytes::new(), from)
                .await?
                .deleted()
                .await?;
        }
    }

    /// Whether its key is still the one it came with, and the header of that look.
    async fn stands(&self) -> Result<(Option<ResponseHeader>, bool), Status> {
        let (header, found) = read(&self.context, &self.caller, one(&self.key)).await?;
        let stands = found
            .first()
            .is_some_and(|found| found.create_revision == self.revision);
        Ok((header, stands))
    }

    /// Leaves the key and its lease to the caller, who is told of them now.
    pub fn keep(mut self) -> Bytes {
        self.kept = true;
        std::mem::take(&mut self.key)
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the key ends with its lease.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.kept {
            return;
        }
        let (context, session) = (self.context.clone(), self.session);
        let caller = std::mem::take(&mut self.caller);
        let (key, revision) = (std::mem::take(&mut self.key), self.revision);
        if session.fresh {
            runtime.spawn(async move {
                let request = LeaseRevokeRequest { id: session.lease };
                log(lease::revoke(context, caller, request).await.err());
            });
        } else if revision != 0 {
            runtime.spawn(async move { log(resign(context, caller, &key, revision).await.err()) });
        }
    }
}

/// What was to be taken back ends with its lease, later.
fn log(failure: Option<Status>) {
    if let Some(status) = failure {
        let reason = status.message();
        tracing::info!(
            reason,
            "a contender that went away stays until its lease ends"
        );
    }
}

/// Deletes a contender's key if it still has its create revision.
pub async fn resign(
    context: Arc<Context>,
    caller: Caller,
    key: &Bytes,
    revision: i64,
) -> Result<TxnResponse, Status> {
    let delete = DeleteRangeRequest {
        key: key.clone(),
        ..Default::default()
    };
    let request = TxnRequest {
        compare: vec![created(key, revision)],
        success: vec![op(Request::RequestDeleteRange(delete))],
        failure: Vec::new(),
    };
    kv::txn(context, caller, request).await
}

/// Gives a contender's key another value if it still has its create revision.
pub async fn replace(
    context: Arc<Context>,
    caller: Caller,
    key: &Bytes,
    revision: i64,
    value: Bytes,
    lease: i64,
) -> Result<TxnResponse, Status> {
    let request = TxnRequest {
        compare: vec![created(key, revision)],
        success: vec![put(key, value, lease)],
        failure: Vec::new(),
    };
    kv::txn(context, caller, request).await
}

/// Everything the two services fail with has code Unknown, with the text of what failed (etcd,
/// where they are clients of the server they run in); only the end of a request's time is its own.
pub fn unknown(status: Status) -> Status {
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => status,
        _ => Status::new(Code::Unknown, status.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_lose_their_code_and_keep_their_text() {
        let status = unknown(Error::LeaseNotFound.into());
        assert_eq!(status.code(), Code::Unknown);
        assert_eq!(status.message(), Error::LeaseNotFound.text());
        let late = unknown(Error::DeadlineExceeded.into());
        assert_eq!(late.code(), Code::DeadlineExceeded);
    }
}
