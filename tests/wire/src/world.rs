use std::collections::BTreeSet;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::{self as pb, request_op::Request as Asked};
use mainstay_proto::mvccpb::{Event, event::EventType};

use crate::outcome::Outcome;
use crate::request::{Op, Request};

/// What the suite knows of the state both servers are in, learnt from the answers of the
/// reference. The generator aims with it, the comparison knows from it which events must come.
#[derive(Debug)]
pub struct World {
    /// Members of each cluster.
    pub size: usize,
    pub revision: i64,
    /// Revision of the last compaction, -1 before the first.
    pub compacted: i64,
    /// Whether the last compaction was answered only after it was carried out.
    pub physical: bool,
    /// Every revision ever compacted at.
    pub compactions: BTreeSet<i64>,
    /// Revisions of txns that may have deleted a key and put it again (see `deviations`).
    pub reborn: BTreeSet<i64>,
    pub leases: Vec<i64>,
    /// Member and type of each active alarm.
    pub alarms: BTreeSet<(u64, i32)>,
    pub watchers: Vec<Watcher>,
    /// Streams with a watcher that a compaction cancelled (see the table of deviations).
    pub tainted: BTreeSet<usize>,
}

/// One watcher that both servers keep.
#[derive(Clone, Debug)]
pub struct Watcher {
    pub stream: usize,
    pub id: i64,
    pub key: Bytes,
    pub end: Bytes,
    /// First revision whose events it gets.
    pub from: i64,
    /// What the client asked to begin at; 0 is "from now on".
    pub start: i64,
    pub no_put: bool,
    pub no_delete: bool,
    /// It began in the past, and nothing has shown yet that it has reached the present.
    pub behind: bool,
}

impl World {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            revision: 1,
            compacted: -1,
            physical: true,
            compactions: BTreeSet::new(),
            reborn: BTreeSet::new(),
            leases: Vec::new(),
            alarms: BTreeSet::new(),
            watchers: Vec::new(),
            tainted: BTreeSet::new(),
        }
    }

    /// Takes in what the reference answered.
    pub fn note(&mut self, op: &Op, outcome: &Outcome) {
        self.revision = self.revision.max(outcome.revision);
        if !outcome.succeeded() {
            return;
        }
        match &op.request {
            Request::Compact(compact) => {
                self.compacted = compact.revision;
                self.physical = compact.physical;
                self.compactions.insert(compact.revision);
            }
            Request::Txn(txn) if deletes_onward(txn) => {
                self.reborn.insert(outcome.revision);
            }
            Request::LeaseGrant(_) => self.leases.push(outcome.lease),
            Request::LeaseRevoke(revoke) => self.leases.retain(|lease| *lease != revoke.id),
            Request::Alarm(alarm) if alarm.alarm != 0 => {
                let key = (alarm.member_id, alarm.alarm);
                match pb::alarm_request::AlarmAction::try_from(alarm.action) {
                    Ok(pb::alarm_request::AlarmAction::Activate) => {
                        self.alarms.insert(key);
                    }
                    Ok(pb::alarm_request::AlarmAction::Deactivate) => {
                        self.alarms.remove(&key);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Takes in the reference's answer to a create request.
    pub fn created(
        &mut self,
        stream: usize,
        create: &pb::WatchCreateRequest,
        answer: &pb::WatchResponse,
    ) {
        if answer.canceled {
            return;
        }
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let filters: Vec<i32> = create.filters.clone();
        let key = if create.key.is_empty() {
            Bytes::from_static(b"\0")
        } else {
            create.key.clone()
        };
        self.watchers.push(Watcher {
            stream,
            id: answer.watch_id,
            key,
            end: create.range_end.clone(),
            from: if create.start_revision > 0 {
                create.start_revision
            } else {
                revision + 1
            },
            start: create.start_revision,
            no_put: filters.contains(&(pb::watch_create_request::FilterType::Noput as i32)),
            no_delete: filters.contains(&(pb::watch_create_request::FilterType::Nodelete as i32)),
            behind: create.start_revision > 0 && create.start_revision <= revision,
        });
    }

    pub fn watcher(&self, stream: usize, id: i64) -> Option<&Watcher> {
        self.watchers
            .iter()
            .find(|watcher| watcher.stream == stream && watcher.id == id)
    }

    /// Whether a manual progress request on `stream` must be answered.
    pub fn answers_progress(&self, stream: usize) -> bool {
        let mut here = self
            .watchers
            .iter()
            .filter(|watcher| watcher.stream == stream)
            .peekable();
        here.peek().is_some()
            && !self.tainted.contains(&stream)
            && here.all(|watcher| watcher.start <= self.revision)
    }
}

/// Whether it deletes everything from a key on, anywhere inside: such a delete does not count as one
/// of the keys that the same txn puts.
fn deletes_onward(txn: &pb::TxnRequest) -> bool {
    let ops = txn.success.iter().chain(&txn.failure);
    ops.filter_map(|op| op.request.as_ref()).any(|op| match op {
        Asked::RequestDeleteRange(delete) => delete.range_end == b"\0"[..],
        Asked::RequestTxn(inner) => deletes_onward(inner),
        _ => false,
    })
}

impl Watcher {
    /// Whether this watcher gets an event of the whole history.
    pub fn gets(&self, event: &Event) -> bool {
        let Some(kv) = &event.kv else { return false };
        let inside = match &self.end[..] {
            b"" => kv.key == self.key,
            b"\0" => kv.key >= self.key,
            end => kv.key >= self.key && kv.key < end,
        };
        let kind = if event.r#type == EventType::Put as i32 {
            self.no_put
        } else {
            self.no_delete
        };
        inside && !kind && kv.mod_revision >= self.from
    }
}

#[cfg(test)]
mod tests {
    use mainstay_proto::mvccpb::KeyValue;

    use super::*;

    #[test]
    fn a_delete_from_a_key_on_is_seen_at_any_depth() {
        let delete = |end: &'static [u8]| pb::TxnRequest {
            failure: vec![pb::RequestOp {
                request: Some(Asked::RequestDeleteRange(pb::DeleteRangeRequest {
                    range_end: Bytes::from_static(end),
                    ..Default::default()
                })),
            }],
            ..Default::default()
        };
        let around = |inner| pb::TxnRequest {
            success: vec![pb::RequestOp {
                request: Some(Asked::RequestTxn(inner)),
            }],
            ..Default::default()
        };
        assert!(deletes_onward(&around(delete(b"\0"))));
        assert!(!deletes_onward(&around(delete(b"b"))));
    }

    #[test]
    fn a_watcher_gets_what_lies_in_its_range_and_passes_its_filters() {
        let watcher = |key: &'static str, end: &'static [u8]| Watcher {
            stream: 1,
            id: 0,
            key: key.into(),
            end: Bytes::from_static(end),
            from: 5,
            start: 5,
            no_put: false,
            no_delete: true,
            behind: false,
        };
        let put = |key: &'static str, mod_revision| Event {
            kv: Some(KeyValue {
                key: key.into(),
                mod_revision,
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        assert!(watcher("b", b"").gets(&put("b", 5)));
        assert!(!watcher("b", b"").gets(&put("b", 4)));
        assert!(!watcher("b", b"").gets(&put("bb", 5)));
        assert!(watcher("b", b"\0").gets(&put("zz", 5)));
        assert!(watcher("b", b"c").gets(&put("bb", 5)));
        assert!(!watcher("b", b"c").gets(&put("c", 5)));
        let delete = Event {
            r#type: EventType::Delete as i32,
            ..put("b", 5)
        };
        assert!(!watcher("b", b"").gets(&delete));
    }
}
