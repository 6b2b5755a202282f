//! Deletes of keys.

use std::future::IntoFuture;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mainstay_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};
use mainstay_proto::mvccpb::KeyValue;

use crate::calls::Kind;
use crate::client::Client;
use crate::error::Error;
use crate::keys::{Keys, Namespace};

/// A delete. It is sent once: see [`Error::OutcomeUnknown`].
#[must_use = "a delete is sent by .await"]
#[derive(Clone, Debug)]
pub struct Delete {
    client: Client,
    keys: Keys,
    previous: bool,
    within: Duration,
}

/// A delete that a majority has on disk.
#[derive(Clone, Debug, Default)]
pub struct Deleted {
    /// The newest revision now: a new one only if anything was there.
    pub revision: i64,
    pub count: i64,
    /// What was there, if that was asked for.
    pub before: Vec<KeyValue>,
}

impl Deleted {
    pub(crate) fn of(response: DeleteRangeResponse, namespace: &Namespace) -> Deleted {
        let before = response.prev_kvs.into_iter();
        Deleted {
            revision: response.header.map_or(0, |header| header.revision),
            count: response.deleted,
            before: before.map(|kv| namespace.strip_of(kv)).collect(),
        }
    }
}

impl Delete {
    pub(crate) fn new(client: Client, key: &[u8]) -> Delete {
        let within = client.deadline();
        Delete {
            client,
            keys: Keys::one(key),
            previous: false,
            within,
        }
    }

    /// All keys that begin with the key; with an empty one all there are.
    pub fn prefix(mut self) -> Delete {
        self.keys = self.keys.with_prefix();
        self
    }

    /// The key and all after it that come before `end`.
    pub fn until(mut self, end: impl AsRef<[u8]>) -> Delete {
        self.keys = self.keys.until(end.as_ref());
        self
    }

    /// Tells what was there.
    pub fn returning_previous(mut self) -> Delete {
        self.previous = true;
        self
    }

    /// Instead of the client's deadline.
    pub fn within(mut self, deadline: Duration) -> Delete {
        self.within = deadline;
        self
    }

    async fn send(self) -> Result<Deleted, Error> {
        let keys = self.client.namespace().keys(&self.keys);
        let request = DeleteRangeRequest {
            key: keys.key,
            range_end: keys.end,
            prev_kv: self.previous,
        };
        let ask = |line| {
            let (mut kv, request) = (crate::client::kv(line), request.clone());
            async move { kv.delete_range(request).await }
        };
        let calls = self.client.calls();
        let answer = calls
            .ask("DeleteRange", Kind::Write, self.within, ask)
            .await?;
        Ok(Deleted::of(answer, self.client.namespace()))
    }
}

impl IntoFuture for Delete {
    type Output = Result<Deleted, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
