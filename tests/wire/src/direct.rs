use std::time::Duration;

use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;

use crate::pair::{Difference, Pair, Side};
use crate::raw;

/// Comparisons that are not of one request and its answer.
type Compared = Result<(), Difference>;

impl Pair {
    fn equal<T: std::fmt::Debug + PartialEq>(what: &str, found: [T; 2]) -> Compared {
        let [reference, subject] = found;
        if reference == subject {
            return Ok(());
        }
        let (reference, subject) = (format!("{reference:?}"), format!("{subject:?}"));
        Err(Difference {
            what: what.to_owned(),
            reference,
            subject,
        })
    }

    /// Whether progress responses under the watcher's own id came, and with the present revision.
    pub async fn idle_progress(&mut self, stream: usize, id: i64, expected: bool) -> Compared {
        let revision = self.world.revision;
        let told = |side: &Side| {
            let controls = side.drain(stream);
            let mut of = controls
                .iter()
                .filter(|one| one.watch_id == id && !one.created);
            of.next_back()
                .map(|one| one.header.as_ref().map_or(0, |header| header.revision))
        };
        let [reference, subject] = &self.sides;
        let found = [told(reference), told(subject)];
        if expected != (found[0] == Some(revision)) {
            let what = format!("etcd's own progress on stream {stream}, expected {expected}");
            let (reference, subject) = (format!("{:?}", found[0]), format!("{:?}", found[1]));
            return Err(Difference {
                what,
                reference,
                subject,
            });
        }
        Self::equal("progress response without a request", found)
    }

    /// Ids of all leases in the order of the answer.
    pub async fn order_of_leases(&mut self) -> Compared {
        let mut found = [Vec::new(), Vec::new()];
        for (side, ids) in self.sides.iter().zip(&mut found) {
            let mut client = side.target.at(0).lease.clone();
            if let Ok(answer) = client.lease_leases(pb::LeaseLeasesRequest {}).await {
                ids.extend(answer.into_inner().leases.iter().map(|lease| lease.id));
            }
        }
        Self::equal("order of leases", found)
    }

    /// Sends bytes that cannot be decoded; the code is compared, the text is the library's own.
    pub async fn undecodable(&mut self, path: &'static str, body: Bytes) -> Compared {
        let mut found = [None, None];
        for (side, code) in self.sides.iter().zip(&mut found) {
            let answer = raw::call(side.target.at(0).channel.clone(), path, body.clone()).await;
            *code = Some(answer.map_or_else(|status| status.code(), |_| tonic::Code::Ok));
        }
        Self::equal(&format!("code for {body:?} to {path}"), found)
    }

    /// Puts `value` under new keys until a put is refused; how it is refused is compared.
    pub async fn until_refused(&mut self, prefix: &str, value: Bytes, most: usize) -> Compared {
        let mut found = [None, None];
        for (side, refusal) in self.sides.iter().zip(&mut found) {
            let mut kv = side.target.at(0).kv.clone();
            for at in 0..most {
                let key = format!("{prefix}{at:04}").into();
                let put = pb::PutRequest {
                    key,
                    value: value.clone(),
                    ..Default::default()
                };
                if let Err(status) = kv.put(put).await {
                    *refusal = Some((status.code(), status.message().to_owned()));
                    break;
                }
            }
        }
        if found[0].is_none() {
            let what = "etcd must run full".to_owned();
            return Err(Difference {
                what,
                reference: String::new(),
                subject: String::new(),
            });
        }
        Self::equal("refusal of the put that does not fit", found)
    }

    /// Active alarms and the errors of Status, without the revision at which each side stands.
    pub async fn alarms(&mut self) -> Compared {
        let mut found = [String::new(), String::new()];
        for (side, told) in self.sides.iter().zip(&mut found) {
            let mut client = side.target.at(0).maintenance.clone();
            let alarms = client.alarm(pb::AlarmRequest::default()).await;
            let status = client.status(pb::StatusRequest {}).await;
            let (Ok(alarms), Ok(status)) = (alarms, status) else {
                "no answer".clone_into(told);
                continue;
            };
            let ids = side.target.ids.lock();
            for alarm in &alarms.get_ref().alarms {
                told.push_str(&format!(
                    "{:x} {} ",
                    ids.member(alarm.member_id),
                    alarm.alarm
                ));
            }
            for error in &status.get_ref().errors {
                told.push_str(&ids.text(error));
            }
        }
        Self::equal("alarms and errors of Status", found)
    }

    /// The two steps that bring a full store back after a compaction.
    pub async fn defragment_and_disarm(&mut self) -> Compared {
        let mut found = [String::new(), String::new()];
        for (side, told) in self.sides.iter().zip(&mut found) {
            let mut client = side.target.at(0).maintenance.clone();
            let defragment = client.defragment(pb::DefragmentRequest {}).await;
            let disarm = pb::AlarmRequest {
                action: pb::alarm_request::AlarmAction::Deactivate as i32,
                member_id: side
                    .target
                    .ids
                    .lock()
                    .real_member(crate::normalise::FIRST_MEMBER),
                alarm: pb::AlarmType::Nospace as i32,
            };
            let disarm = client.alarm(disarm).await;
            *told = match (defragment, disarm) {
                (Ok(_), Ok(disarmed)) => format!("{} disarmed", disarmed.get_ref().alarms.len()),
                (defragment, disarm) => format!("{:?} {:?}", defragment.err(), disarm.err()),
            };
        }
        Self::equal("defragment and disarm", found)
    }

    /// Deletes what has the prefix and compacts everything, on each side at its own revision.
    pub async fn delete_and_compact(&mut self, prefix: &str) -> Compared {
        let mut found = [String::new(), String::new()];
        for (side, told) in self.sides.iter().zip(&mut found) {
            let mut kv = side.target.at(0).kv.clone();
            let range_end = crate::generate::keys::prefix_end(prefix.as_bytes());
            let key = Bytes::copy_from_slice(prefix.as_bytes());
            let delete = pb::DeleteRangeRequest {
                key,
                range_end,
                prev_kv: false,
            };
            let revision = match kv.delete_range(delete).await {
                Ok(answer) => answer
                    .into_inner()
                    .header
                    .map_or(0, |header| header.revision),
                Err(status) => {
                    *told = status.to_string();
                    continue;
                }
            };
            let compact = pb::CompactionRequest {
                revision,
                physical: true,
            };
            *told = kv
                .compact(compact)
                .await
                .map_or_else(|e| e.to_string(), |_| String::new());
        }
        Self::equal("delete and compact while full", found)
    }

    /// Whether a put goes through, and that the witness of both sides saw what came before.
    pub async fn puts_work(&mut self, key: &str) -> Compared {
        let mut found = [String::new(), String::new()];
        for (side, told) in self.sides.iter().zip(&mut found) {
            let key = Bytes::copy_from_slice(key.as_bytes());
            let put = pb::PutRequest {
                key,
                ..Default::default()
            };
            let answer = side.target.at(0).kv.clone().put(put).await;
            *told = answer.map_or_else(|status| status.to_string(), |_| "put".to_owned());
        }
        // The two histories differ in length from here on.
        self.forget_history(Duration::from_secs(1)).await;
        Self::equal("put after disarming", found)
    }
}
