use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;

use crate::outcome::Outcome;
use crate::pair::{Difference, Pair};
use crate::request::{Metadata, Op, Request};

/// How long a change that the servers make by themselves (an expiry) may take.
const OWN_CHANGE_WAIT: Duration = Duration::from_secs(20);
const OWN_CHANGE_POLL: Duration = Duration::from_millis(100);

/// Plays a written sequence of requests to both servers and keeps count of the steps.
#[derive(Debug)]
pub struct Player {
    pub pair: Pair,
    step: usize,
    /// The request under way, for the report.
    doing: String,
}

pub type Played<T = ()> = Result<T, Difference>;
/// What a script does, as a value that a table can hold.
pub type Body = for<'a> fn(&'a mut Player) -> Pin<Box<dyn Future<Output = Played> + 'a>>;

impl Player {
    pub fn new(pair: Pair) -> Self {
        Self {
            pair,
            step: 0,
            doing: String::new(),
        }
    }

    /// Where the script was when it stopped.
    pub fn place(&self) -> String {
        format!("  step {}: {}", self.step, self.doing)
    }

    pub async fn op(&mut self, op: Op) -> Played<Outcome> {
        self.step += 1;
        self.doing = op.describe();
        self.pair.run(&op).await
    }

    pub async fn send(&mut self, request: Request) -> Played<Outcome> {
        self.op(Op::new(request)).await
    }

    /// Sends to the member at `position`; position 0 led when the clusters came up.
    pub async fn send_to(&mut self, position: usize, request: Request) -> Played<Outcome> {
        self.op(Op::on(position, request)).await
    }

    pub async fn with(&mut self, metadata: Metadata, request: Request) -> Played<Outcome> {
        self.op(Op {
            member: 0,
            metadata,
            request,
        })
        .await
    }

    pub async fn put(&mut self, key: &str, value: &str) -> Played<Outcome> {
        self.send(put(key, value)).await
    }

    pub async fn get(&mut self, key: &str) -> Played<Outcome> {
        self.send(range(key, "")).await
    }

    pub async fn delete(&mut self, key: &str, end: &str) -> Played<Outcome> {
        self.send(Request::DeleteRange(pb::DeleteRangeRequest {
            key: bytes(key),
            range_end: bytes(end),
            prev_kv: true,
        }))
        .await
    }

    pub async fn txn(&mut self, txn: pb::TxnRequest) -> Played<Outcome> {
        self.send(Request::Txn(txn)).await
    }

    pub async fn compact(&mut self, revision: i64, physical: bool) -> Played<Outcome> {
        self.send(Request::Compact(pb::CompactionRequest {
            revision,
            physical,
        }))
        .await
    }

    pub async fn hash(&mut self, revision: i64) -> Played<Outcome> {
        self.send(Request::HashKv(pb::HashKvRequest { revision }))
            .await
    }

    pub async fn grant(&mut self, id: i64, ttl: i64) -> Played<Outcome> {
        self.send(Request::LeaseGrant(pb::LeaseGrantRequest { ttl, id }))
            .await
    }

    pub async fn time_to_live(&mut self, id: i64) -> Played<Outcome> {
        let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
        self.send(Request::LeaseTimeToLive(ask)).await
    }

    pub async fn watch(
        &mut self,
        stream: usize,
        create: pb::WatchCreateRequest,
    ) -> Played<Outcome> {
        self.send(Request::WatchCreate { stream, create }).await
    }

    /// The answer must be a success of the reference too, else the script itself is wrong.
    pub fn must(&self, outcome: &Outcome) -> Played {
        match &outcome.error {
            None => Ok(()),
            Some(error) => Err(Difference {
                what: "the script expects success, etcd refuses".to_owned(),
                reference: format!("{error:?}"),
                subject: String::new(),
            }),
        }
    }

    /// The reference must have refused with `text`, else the script does not test what it says.
    pub fn refused(&self, outcome: &Outcome, text: &str) -> Played {
        match &outcome.error {
            Some((_, said)) if said.ends_with(text) => Ok(()),
            other => Err(Difference {
                what: format!("the script expects etcd to say {text:?}"),
                reference: format!("{other:?}"),
                subject: String::new(),
            }),
        }
    }

    /// Waits until both servers have reached `revision` by themselves.
    pub async fn until_revision(&mut self, revision: i64) -> Played {
        let mut reached = Vec::new();
        for side in &self.pair.sides {
            let deadline = tokio::time::Instant::now() + OWN_CHANGE_WAIT;
            let op = Op::new(range("none", ""));
            let mut seen = 0;
            while seen < revision && tokio::time::Instant::now() < deadline {
                seen = crate::perform::perform(&side.target, &op).await.revision;
                tokio::time::sleep(OWN_CHANGE_POLL).await;
            }
            reached.push(seen);
        }
        self.pair.world.revision = self.pair.world.revision.max(revision);
        if reached.iter().any(|seen| *seen != revision) {
            return Err(Difference {
                what: format!("revision {revision} must be reached without a request"),
                reference: format!("{:?}", reached.first()),
                subject: format!("{:?}", reached.last()),
            });
        }
        Ok(())
    }

    /// Waits until both servers name `version` as that of their storage.
    pub async fn until_storage_version(&mut self, version: &str) -> Played {
        self.doing = format!("waiting for the storage version {version}");
        let mut reached = Vec::new();
        for side in &self.pair.sides {
            let deadline = tokio::time::Instant::now() + OWN_CHANGE_WAIT;
            let mut maintenance = side.target.at(0).maintenance.clone();
            let mut seen = String::new();
            while seen != version && tokio::time::Instant::now() < deadline {
                if let Ok(status) = maintenance.status(pb::StatusRequest {}).await {
                    seen = status.into_inner().storage_version;
                }
                tokio::time::sleep(OWN_CHANGE_POLL).await;
            }
            reached.push(seen);
        }
        if reached.iter().any(|seen| *seen != version) {
            return Err(Difference {
                what: format!("the storage version must become {version}"),
                reference: format!("{:?}", reached.first()),
                subject: format!("{:?}", reached.last()),
            });
        }
        Ok(())
    }

    pub async fn sleep(&mut self, time: Duration) {
        self.doing = format!("waiting {time:?}");
        tokio::time::sleep(time).await;
    }
}

/// Text as bytes; nothing in a script needs more than the characters below 256.
pub fn bytes(text: &str) -> Bytes {
    text.chars()
        .map(|letter| u32::from(letter) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub fn put(key: &str, value: &str) -> Request {
    Request::Put(put_fields(key, value))
}

pub fn put_fields(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..pb::PutRequest::default()
    }
}

pub fn range(key: &str, end: &str) -> Request {
    Request::Range(range_fields(key, end))
}

pub fn range_fields(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: bytes(key),
        range_end: bytes(end),
        ..pb::RangeRequest::default()
    }
}

pub fn create(key: &str, end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: bytes(key),
        range_end: bytes(end),
        ..pb::WatchCreateRequest::default()
    }
}
