//! Transactions: conditions, and what is done if they all hold, and what if they do not; all of it
//! at one revision, or not at all.

use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use mainstay_proto::etcdserverpb::request_op::Request;
use mainstay_proto::etcdserverpb::response_op::Response;
use mainstay_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
};

use super::{Compare, Deleted, Found, Stored};
use crate::calls::Kind;
use crate::client::Client;
use crate::error::Error;
use crate::keys::{Keys, Namespace};

/// One step of a branch.
#[derive(Clone, Debug)]
pub enum Op {
    Get {
        key: Bytes,
    },
    GetPrefix {
        key: Bytes,
    },
    Put {
        key: Bytes,
        value: Bytes,
        lease: i64,
    },
    Delete {
        key: Bytes,
    },
    DeletePrefix {
        key: Bytes,
    },
}

impl Op {
    pub fn get(key: impl AsRef<[u8]>) -> Op {
        let key = Bytes::copy_from_slice(key.as_ref());
        Op::Get { key }
    }

    pub fn put(key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Op {
        Op::put_leased(key, value, 0)
    }

    /// A put whose key goes when the lease does.
    pub fn put_leased(key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>, lease: i64) -> Op {
        Op::Put {
            key: Bytes::copy_from_slice(key.as_ref()),
            value: Bytes::from(value.into()),
            lease,
        }
    }

    pub fn delete(key: impl AsRef<[u8]>) -> Op {
        let key = Bytes::copy_from_slice(key.as_ref());
        Op::Delete { key }
    }

    fn message(self, namespace: &Namespace) -> RequestOp {
        let request = match self {
            Op::Get { key } => range(namespace, &Keys::one(&key)),
            Op::GetPrefix { key } => range(namespace, &Keys::one(&key).with_prefix()),
            Op::Put { key, value, lease } => Request::RequestPut(PutRequest {
                key: namespace.key(&key),
                value,
                lease,
                ..PutRequest::default()
            }),
            Op::Delete { key } => delete(namespace, &Keys::one(&key)),
            Op::DeletePrefix { key } => delete(namespace, &Keys::one(&key).with_prefix()),
        };
        RequestOp {
            request: Some(request),
        }
    }
}

fn range(namespace: &Namespace, keys: &Keys) -> Request {
    let keys = namespace.keys(keys);
    Request::RequestRange(RangeRequest {
        key: keys.key,
        range_end: keys.end,
        ..RangeRequest::default()
    })
}

fn delete(namespace: &Namespace, keys: &Keys) -> Request {
    let keys = namespace.keys(keys);
    Request::RequestDeleteRange(DeleteRangeRequest {
        key: keys.key,
        range_end: keys.end,
        prev_kv: false,
    })
}

/// A transaction. One that writes is sent once: see [`Error::OutcomeUnknown`].
#[must_use = "a transaction is sent by .await"]
#[derive(Clone, Debug)]
pub struct Txn {
    client: Client,
    compares: Vec<Compare>,
    then: Vec<Op>,
    otherwise: Vec<Op>,
    within: Duration,
}

/// What came of one step.
#[derive(Clone, Debug)]
pub enum Outcome {
    Found(Found),
    Stored(Stored),
    Deleted(Deleted),
}

#[derive(Clone, Debug)]
pub struct TxnOutcome {
    /// True if all conditions held, so that the first branch was taken.
    pub succeeded: bool,
    /// The newest revision of the store, which is this transaction's own if it changed anything.
    pub revision: i64,
    /// One for each step of the branch that was taken.
    pub outcomes: Vec<Outcome>,
}

impl TxnOutcome {
    /// What the first step that read has found.
    pub fn found(&self) -> Option<&Found> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Found(found) => Some(found),
            _ => None,
        })
    }
}

impl Txn {
    pub(crate) fn new(client: Client) -> Txn {
        let within = client.deadline();
        Txn {
            client,
            compares: Vec::new(),
            then: Vec::new(),
            otherwise: Vec::new(),
            within,
        }
    }

    /// A condition; all of them must hold.
    pub fn when(mut self, compare: Compare) -> Txn {
        self.compares.push(compare);
        self
    }

    /// A step that is done if they hold.
    pub fn then(mut self, op: Op) -> Txn {
        self.then.push(op);
        self
    }

    /// A step that is done if one does not.
    pub fn otherwise(mut self, op: Op) -> Txn {
        self.otherwise.push(op);
        self
    }

    /// Instead of the client's deadline.
    pub fn within(mut self, deadline: Duration) -> Txn {
        self.within = deadline;
        self
    }

    fn kind(&self) -> Kind {
        let reads = |op: &Op| matches!(op, Op::Get { .. } | Op::GetPrefix { .. });
        match self.then.iter().chain(&self.otherwise).all(reads) {
            true => Kind::Read,
            false => Kind::Write,
        }
    }

    async fn send(self) -> Result<TxnOutcome, Error> {
        let (kind, within) = (self.kind(), self.within);
        let namespace = self.client.namespace();
        let ops = |ops: Vec<Op>| ops.into_iter().map(|op| op.message(namespace)).collect();
        let compares = self.compares.into_iter();
        let request = TxnRequest {
            compare: compares.map(|compare| compare.message(namespace)).collect(),
            success: ops(self.then),
            failure: ops(self.otherwise),
        };
        let ask = |line| {
            let (mut kv, request) = (crate::client::kv(line), request.clone());
            async move { kv.txn(request).await }
        };
        let answer = self.client.calls().ask("Txn", kind, within, ask).await?;
        let responses = answer.responses.into_iter();
        Ok(TxnOutcome {
            succeeded: answer.succeeded,
            revision: answer.header.map_or(0, |header| header.revision),
            outcomes: responses
                .map(|response| outcome(response, namespace))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn outcome(response: ResponseOp, namespace: &Namespace) -> Result<Outcome, Error> {
    match response.response {
        Some(Response::ResponseRange(found)) => Ok(Outcome::Found(Found::of(found, namespace))),
        Some(Response::ResponsePut(stored)) => Ok(Outcome::Stored(Stored::of(stored, namespace))),
        Some(Response::ResponseDeleteRange(deleted)) => {
            Ok(Outcome::Deleted(Deleted::of(deleted, namespace)))
        }
        Some(Response::ResponseTxn(_)) | None => Err(Error::Malformed {
            call: "Txn",
            reason: "an answer to no step that was sent".to_owned(),
        }),
    }
}

impl IntoFuture for Txn {
    type Output = Result<TxnOutcome, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
