//! Writes of one key.

use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use mainstay_proto::etcdserverpb::{PutRequest, PutResponse};
use mainstay_proto::mvccpb::KeyValue;

use crate::calls::Kind;
use crate::client::Client;
use crate::error::Error;
use crate::keys::Namespace;

/// A write. It is sent once: see [`Error::OutcomeUnknown`].
#[must_use = "a write is sent by .await"]
#[derive(Clone, Debug)]
pub struct Put {
    client: Client,
    request: PutRequest,
    within: Duration,
}

/// A write that a majority has on disk.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The revision that it made.
    pub revision: i64,
    /// What was there before, if that was asked for and anything was.
    pub before: Option<KeyValue>,
}

impl Stored {
    pub(crate) fn of(response: PutResponse, namespace: &Namespace) -> Stored {
        Stored {
            revision: response.header.map_or(0, |header| header.revision),
            before: response.prev_kv.map(|kv| namespace.strip_of(kv)),
        }
    }
}

impl Put {
    pub(crate) fn new(client: Client, key: &[u8], value: Bytes) -> Put {
        let within = client.deadline();
        let request = PutRequest {
            key: client.namespace().key(key),
            value,
            ..PutRequest::default()
        };
        Put {
            client,
            request,
            within,
        }
    }

    /// The key goes when the lease does.
    pub fn lease(mut self, id: i64) -> Put {
        self.request.lease = id;
        self
    }

    /// Tells what was there before.
    pub fn returning_previous(mut self) -> Put {
        self.request.prev_kv = true;
        self
    }

    /// Instead of the client's deadline.
    pub fn within(mut self, deadline: Duration) -> Put {
        self.within = deadline;
        self
    }

    async fn send(self) -> Result<Stored, Error> {
        let ask = |line| {
            let (mut kv, request) = (crate::client::kv(line), self.request.clone());
            async move { kv.put(request).await }
        };
        let calls = self.client.calls();
        let answer = calls.ask("Put", Kind::Write, self.within, ask).await?;
        Ok(Stored::of(answer, self.client.namespace()))
    }
}

impl IntoFuture for Put {
    type Output = Result<Stored, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
