//! Reads of keys.

use std::future::IntoFuture;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mainstay_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use mainstay_proto::etcdserverpb::{RangeRequest, RangeResponse};
use mainstay_proto::mvccpb::KeyValue;

use crate::calls::Kind;
use crate::client::Client;
use crate::error::Error;
use crate::keys::{Keys, Namespace};

/// A read. Unless it says otherwise it sees every write that was acknowledged before it began.
#[must_use = "a read is sent by .await"]
#[derive(Clone, Debug)]
pub struct Get {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) request: RangeRequest,
    within: Duration,
}

/// What a read found, all of it at one revision.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The newest revision of the store when it was read.
    pub revision: i64,
    pub kvs: Vec<KeyValue>,
    /// How many keys there are in the range, those beyond the limit included.
    pub count: i64,
    /// True if the limit has cut keys off.
    pub more: bool,
}

impl Found {
    /// The one key that was asked for, or the first of many.
    pub fn first(&self) -> Option<&KeyValue> {
        self.kvs.first()
    }

    pub(crate) fn of(response: RangeResponse, namespace: &Namespace) -> Found {
        let kvs = response.kvs.into_iter();
        Found {
            revision: response.header.map_or(0, |header| header.revision),
            kvs: kvs.map(|kv| namespace.strip_of(kv)).collect(),
            count: response.count,
            more: response.more,
        }
    }
}

impl Get {
    pub(crate) fn new(client: Client, key: &[u8]) -> Get {
        let within = client.deadline();
        Get {
            client,
            keys: Keys::one(key),
            request: RangeRequest::default(),
            within,
        }
    }

    /// All keys that begin with the key; with an empty one all there are.
    pub fn prefix(mut self) -> Get {
        self.keys = self.keys.with_prefix();
        self
    }

    /// The key and all after it.
    pub fn onwards(mut self) -> Get {
        self.keys = self.keys.onwards();
        self
    }

    /// The key and all after it that come before `end`.
    pub fn until(mut self, end: impl AsRef<[u8]>) -> Get {
        self.keys = self.keys.until(end.as_ref());
        self
    }

    /// At most so many keys; 0 is no limit.
    pub fn limit(mut self, keys: i64) -> Get {
        self.request.limit = keys;
        self
    }

    /// As it was at this revision; [`Error::Refused`] with `OutOfRange` if that is compacted, or has
    /// not come yet.
    pub fn at_revision(mut self, revision: i64) -> Get {
        self.request.revision = revision;
        self
    }

    /// From what the member has, without asking the others: cheaper, and maybe old.
    pub fn serializable(mut self) -> Get {
        self.request.serializable = true;
        self
    }

    pub fn keys_only(mut self) -> Get {
        self.request.keys_only = true;
        self
    }

    pub fn count_only(mut self) -> Get {
        self.request.count_only = true;
        self
    }

    pub fn sorted(mut self, by: SortTarget, order: SortOrder) -> Get {
        self.request.sort_target = by.into();
        self.request.sort_order = order.into();
        self
    }

    /// Only keys that were made no later than at this revision.
    pub fn created_until(mut self, revision: i64) -> Get {
        self.request.max_create_revision = revision;
        self
    }

    /// Only keys that were changed at this revision or later.
    pub fn changed_since(mut self, revision: i64) -> Get {
        self.request.min_mod_revision = revision;
        self
    }

    /// Instead of the client's deadline.
    pub fn within(mut self, deadline: Duration) -> Get {
        self.within = deadline;
        self
    }

    pub(super) fn request(&self) -> RangeRequest {
        let keys = self.client.namespace().keys(&self.keys);
        RangeRequest {
            key: keys.key,
            range_end: keys.end,
            ..self.request.clone()
        }
    }

    async fn send(self) -> Result<Found, Error> {
        let request = self.request();
        let ask = |line| {
            let (mut kv, request) = (crate::client::kv(line), request.clone());
            async move { kv.range(request).await }
        };
        let calls = self.client.calls();
        let answer = calls.ask("Range", Kind::Read, self.within, ask).await?;
        Ok(Found::of(answer, self.client.namespace()))
    }
}

impl IntoFuture for Get {
    type Output = Result<Found, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}
