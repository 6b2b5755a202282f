use std::collections::BTreeMap;

use mainstay_proto::etcdserverpb::{self as pb, compare::TargetUnion, request_op::Request as Arm};

use crate::outcome::Outcome;
use crate::request::{Metadata, Op, Request};

/// What the requests of a run used and which errors the reference answered, with how often.
#[derive(Debug, Default)]
pub struct Coverage {
    hits: BTreeMap<String, u64>,
}

/// Counts each named field of a message that is not at its default.
macro_rules! fields {
    ($coverage:ident, $kind:literal, $message:ident: $($field:ident)*) => { $(
        if off_default(&$message.$field) {
            $coverage.hit(concat!($kind, ".", stringify!($field)));
        }
    )* };
}

impl Coverage {
    pub fn observe(&mut self, op: &Op, outcome: &Outcome) {
        if let Some((code, text)) = &outcome.error {
            self.hit(&format!("error {code:?}: {}", general(text)));
        }
        match op.metadata {
            Metadata::None => {}
            Metadata::HasLeader => self.hit("metadata hasleader"),
            Metadata::ApiVersion => self.hit("metadata client-api-version"),
            Metadata::BadApiVersion => self.hit("metadata client-api-version not UTF-8"),
        }
        self.request(&op.request);
    }

    fn request(&mut self, request: &Request) {
        match request {
            Request::Range(range) => self.range("RangeRequest", range),
            Request::RangeStream(range) => self.range("RangeStream", range),
            Request::Put(put) => self.put(put),
            Request::DeleteRange(delete) => self.delete(delete),
            Request::Txn(txn) => self.txn(txn),
            Request::Compact(compact) => {
                fields!(self, "CompactionRequest", compact: revision physical);
            }
            Request::LeaseGrant(grant) => {
                fields!(self, "LeaseGrantRequest", grant: ttl id);
            }
            Request::LeaseRevoke(revoke) => fields!(self, "LeaseRevokeRequest", revoke: id),
            Request::LeaseKeepAlive(beats) => {
                for beat in beats {
                    fields!(self, "LeaseKeepAliveRequest", beat: id);
                }
            }
            Request::LeaseTimeToLive(ask) => {
                fields!(self, "LeaseTimeToLiveRequest", ask: id keys);
            }
            Request::LeaseLeases => self.hit("LeaseLeasesRequest"),
            Request::MemberAdd(_) => self.hit("MemberAddRequest"),
            Request::MemberRemove(_) => self.hit("MemberRemoveRequest"),
            Request::MemberUpdate(_) => self.hit("MemberUpdateRequest"),
            Request::MemberPromote(_) => self.hit("MemberPromoteRequest"),
            Request::MemberList(list) => fields!(self, "MemberListRequest", list: linearizable),
            Request::Alarm(alarm) => {
                fields!(self, "AlarmRequest", alarm: member_id);
                let action = pb::alarm_request::AlarmAction::try_from(alarm.action);
                self.enumeration("AlarmAction", action.map(|action| action.as_str_name()));
                let kind = pb::AlarmType::try_from(alarm.alarm);
                self.enumeration("AlarmType", kind.map(|kind| kind.as_str_name()));
            }
            Request::Status => self.hit("StatusRequest"),
            Request::Defragment => self.hit("DefragmentRequest"),
            Request::Hash => self.hit("HashRequest"),
            Request::HashKv(hash) => fields!(self, "HashKVRequest", hash: revision),
            Request::MoveLeader(to) => fields!(self, "MoveLeaderRequest", to: target_id),
            Request::Downgrade(job) => fields!(self, "DowngradeRequest", job: version),
            Request::WatchCreate { create, .. } => self.watch(create),
            Request::WatchCancel { id, .. } => {
                self.hit("WatchCancelRequest");
                if *id != 0 {
                    self.hit("WatchCancelRequest.watch_id");
                }
            }
            Request::WatchProgress { .. } => self.hit("WatchProgressRequest"),
            Request::WatchUnset { .. } => self.hit("WatchRequest unset"),
            Request::Raw { path, .. } => self.hit(&format!("raw {path}")),
        }
    }

    fn range(&mut self, kind: &str, range: &pb::RangeRequest) {
        // A literal kind lets the macro name each field without allocating.
        if kind == "RangeStream" {
            fields!(self, "RangeStream", range: key range_end limit revision sort_order sort_target
                serializable keys_only count_only min_mod_revision max_mod_revision
                min_create_revision max_create_revision);
        } else {
            fields!(self, "RangeRequest", range: key range_end limit revision sort_order
                sort_target serializable keys_only count_only min_mod_revision max_mod_revision
                min_create_revision max_create_revision);
        }
        let order = pb::range_request::SortOrder::try_from(range.sort_order);
        self.enumeration("SortOrder", order.map(|order| order.as_str_name()));
        let target = pb::range_request::SortTarget::try_from(range.sort_target);
        self.enumeration("SortTarget", target.map(|target| target.as_str_name()));
        if let (Ok(order), Ok(target)) = (order, target) {
            self.hit(&format!(
                "sort {} by {}",
                order.as_str_name(),
                target.as_str_name()
            ));
        }
    }

    fn put(&mut self, put: &pb::PutRequest) {
        fields!(self, "PutRequest", put: key value lease prev_kv ignore_value ignore_lease);
    }

    fn delete(&mut self, delete: &pb::DeleteRangeRequest) {
        fields!(self, "DeleteRangeRequest", delete: key range_end prev_kv);
    }

    fn txn(&mut self, txn: &pb::TxnRequest) {
        fields!(self, "TxnRequest", txn: compare success failure);
        for compare in &txn.compare {
            self.compare(compare);
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(Arm::RequestRange(range)) => {
                    self.hit("RequestOp.request_range");
                    self.range("RangeRequest", range);
                }
                Some(Arm::RequestPut(put)) => {
                    self.hit("RequestOp.request_put");
                    self.put(put);
                }
                Some(Arm::RequestDeleteRange(delete)) => {
                    self.hit("RequestOp.request_delete_range");
                    self.delete(delete);
                }
                Some(Arm::RequestTxn(inner)) => {
                    self.hit("RequestOp.request_txn");
                    self.txn(inner);
                }
                None => self.hit("RequestOp unset"),
            }
        }
    }

    fn compare(&mut self, compare: &pb::Compare) {
        fields!(self, "Compare", compare: key range_end);
        let result = pb::compare::CompareResult::try_from(compare.result);
        let target = pb::compare::CompareTarget::try_from(compare.target);
        if let (Ok(result), Ok(target)) = (result, target) {
            self.hit(&format!(
                "compare {} {}",
                target.as_str_name(),
                result.as_str_name()
            ));
        }
        self.hit(match compare.target_union {
            Some(TargetUnion::Version(_)) => "Compare.version",
            Some(TargetUnion::CreateRevision(_)) => "Compare.create_revision",
            Some(TargetUnion::ModRevision(_)) => "Compare.mod_revision",
            Some(TargetUnion::Value(_)) => "Compare.value",
            Some(TargetUnion::Lease(_)) => "Compare.lease",
            None => "Compare unset",
        });
    }

    fn watch(&mut self, create: &pb::WatchCreateRequest) {
        fields!(self, "WatchCreateRequest", create: key range_end start_revision progress_notify
            filters prev_kv watch_id fragment);
        for filter in &create.filters {
            let filter = pb::watch_create_request::FilterType::try_from(*filter);
            self.enumeration("FilterType", filter.map(|filter| filter.as_str_name()));
        }
    }

    fn enumeration<E>(&mut self, kind: &str, value: Result<&str, E>) {
        match value {
            Ok(name) => self.hit(&format!("{kind}.{name}")),
            Err(_) => self.hit(&format!("{kind} unknown")),
        }
    }

    fn hit(&mut self, name: &str) {
        *self.hits.entry(name.to_owned()).or_default() += 1;
    }

    /// Names that are listed and were never hit.
    pub fn missing<'a>(&self, listed: &[&'a str]) -> Vec<&'a str> {
        listed
            .iter()
            .copied()
            .filter(|name| !self.hits.contains_key(*name))
            .collect()
    }

    /// Every name that was hit, with how often.
    pub fn report(&self) -> String {
        let lines: Vec<String> = self
            .hits
            .iter()
            .map(|(name, count)| format!("  {count:>7}  {name}"))
            .collect();
        lines.join("\n")
    }
}

fn off_default<T: Default + PartialEq>(value: &T) -> bool {
    *value != T::default()
}

/// Sizes in an error text vary from request to request.
fn general(text: &str) -> String {
    match text.split_once("larger than max (") {
        Some((head, _)) => format!("{head}larger than max"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_off_their_default_count() {
        let mut coverage = Coverage::default();
        let put = pb::PutRequest {
            key: "a".into(),
            prev_kv: true,
            ..pb::PutRequest::default()
        };
        coverage.observe(&Op::new(Request::Put(put)), &Outcome::default());
        let listed = ["PutRequest.key", "PutRequest.prev_kv", "PutRequest.lease"];
        assert_eq!(coverage.missing(&listed), ["PutRequest.lease"]);
    }
}
