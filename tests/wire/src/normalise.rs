use std::collections::BTreeMap;

use mainstay_proto::etcdserverpb::{self as pb, compare, request_op, response_op};
use mainstay_proto::mvccpb::{Event, KeyValue};

/// Canonical ids of members begin here: the member at position 0 has this one.
pub const FIRST_MEMBER: u64 = 0xA000;
/// Canonical ids of leases whose id the server chose, in order of appearance.
pub const FIRST_LEASE: i64 = 0x6D00_0000_0000_0000;

/// Which ids of one cluster stand for which canonical ids. Requests are written with canonical
/// ids, so one request can be sent to clusters that chose different ones.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    pub cluster: u64,
    /// Real id and name of each member; the position is the canonical number.
    pub members: Vec<(u64, String)>,
    /// URL of any kind to its canonical form.
    pub urls: Vec<(String, String)>,
    /// Canonical id to real id, of leases whose id the server chose.
    pub leases: BTreeMap<i64, i64>,
}

impl Ids {
    /// Notes a lease id that the server chose and returns the canonical one.
    pub fn appeared(&mut self, real: i64) -> i64 {
        let canonical = FIRST_LEASE + self.leases.len() as i64;
        self.leases.insert(canonical, real);
        canonical
    }

    pub fn real_lease(&self, canonical: i64) -> i64 {
        self.leases.get(&canonical).copied().unwrap_or(canonical)
    }

    pub fn lease(&self, real: i64) -> i64 {
        let found = self.leases.iter().find(|(_, known)| **known == real);
        found.map_or(real, |(canonical, _)| *canonical)
    }

    pub fn real_member(&self, canonical: u64) -> u64 {
        let at = canonical.wrapping_sub(FIRST_MEMBER) as usize;
        self.members.get(at).map_or(canonical, |member| member.0)
    }

    /// Notes a member that was added; it stands behind the others.
    pub fn joined(&mut self, real: u64) {
        self.members.push((real, String::new()));
    }

    /// URLs as the cluster has them.
    pub fn real_urls(&self, urls: &[String]) -> Vec<String> {
        let real = |url: &String| {
            let known = self.urls.iter().find(|(_, canonical)| canonical == url);
            known.map_or_else(|| url.clone(), |(real, _)| real.clone())
        };
        urls.iter().map(real).collect()
    }

    pub fn member(&self, real: u64) -> u64 {
        let at = self.members.iter().position(|member| member.0 == real);
        at.map_or(real, |at| FIRST_MEMBER + at as u64)
    }

    /// Replaces ids and URLs inside free text, in decimal and in hexadecimal.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (at, (real, _)) in self.members.iter().enumerate() {
            let name = format!("member-{at}");
            text = text
                .replace(&real.to_string(), &name)
                .replace(&format!("{real:x}"), &name);
        }
        let cluster = format!("{:x}", self.cluster);
        text = text
            .replace(&self.cluster.to_string(), "cluster")
            .replace(&cluster, "cluster");
        for (url, canonical) in &self.urls {
            text = text.replace(url.as_str(), canonical);
        }
        text.split(' ')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A response whose free parts can be brought into one canonical form. What is left must be equal.
pub trait Normalise: std::fmt::Debug {
    fn normalise(&mut self, ids: &mut Ids);

    fn header(&self) -> Option<&pb::ResponseHeader>;

    /// Numbers that may differ by a little because they count time.
    fn clocks(&mut self) -> Vec<i64> {
        Vec::new()
    }
}

/// Ids become canonical, the term becomes 1; zero stays zero, since absence is part of the answer.
fn header(header: &mut Option<pb::ResponseHeader>, ids: &Ids) {
    if let Some(header) = header {
        if header.cluster_id == ids.cluster && ids.cluster != 0 {
            header.cluster_id = 1;
        }
        header.member_id = ids.member(header.member_id);
        header.raft_term = header.raft_term.min(1);
    }
}

fn record(kv: &mut KeyValue, ids: &Ids) {
    kv.lease = ids.lease(kv.lease);
}

pub fn event(event: &mut Event, ids: &Ids) {
    for kv in [&mut event.kv, &mut event.prev_kv].into_iter().flatten() {
        record(kv, ids);
    }
}

macro_rules! normalise {
    ($($kind:ident |$it:ident, $ids:ident| $body:block)*) => { $(
        impl Normalise for pb::$kind {
            fn normalise(&mut self, $ids: &mut Ids) {
                header(&mut self.header, $ids);
                let $it = self;
                $body
            }

            fn header(&self) -> Option<&pb::ResponseHeader> {
                self.header.as_ref()
            }
        }
    )* };
}

normalise! {
    RangeResponse |it, ids| { it.kvs.iter_mut().for_each(|kv| record(kv, ids)); }
    PutResponse |it, ids| { it.prev_kv.iter_mut().for_each(|kv| record(kv, ids)); }
    DeleteRangeResponse |it, ids| { it.prev_kvs.iter_mut().for_each(|kv| record(kv, ids)); }
    TxnResponse |it, ids| {
        for op in &mut it.responses {
            match &mut op.response {
                Some(response_op::Response::ResponseRange(inner)) => inner.normalise(ids),
                Some(response_op::Response::ResponsePut(inner)) => inner.normalise(ids),
                Some(response_op::Response::ResponseDeleteRange(inner)) => inner.normalise(ids),
                Some(response_op::Response::ResponseTxn(inner)) => inner.normalise(ids),
                None => {}
            }
        }
    }
    CompactionResponse |_it, _ids| {}
    LeaseGrantResponse |it, ids| { it.id = ids.lease(it.id); }
    LeaseRevokeResponse |_it, _ids| {}
    LeaseKeepAliveResponse |it, ids| { it.id = ids.lease(it.id); }
    // Remaining time orders this list, and clocks differ: compared as a set here, in order by a
    // script whose leases lie far apart.
    LeaseLeasesResponse |it, ids| {
        it.leases.iter_mut().for_each(|lease| lease.id = ids.lease(lease.id));
        it.leases.sort_by_key(|lease| lease.id);
    }
    MemberListResponse |it, ids| {
        it.members.iter_mut().for_each(|member| self::member(member, ids));
        it.members.sort_by_key(|member| member.id);
    }
    MemberAddResponse |it, ids| {
        it.member.iter_mut().chain(&mut it.members).for_each(|one| member(one, ids));
        it.members.sort_by_key(|member| member.id);
    }
    MemberRemoveResponse |it, ids| { listed(&mut it.members, ids); }
    MemberUpdateResponse |it, ids| { listed(&mut it.members, ids); }
    MemberPromoteResponse |it, ids| { listed(&mut it.members, ids); }
    AlarmResponse |it, ids| {
        it.alarms.iter_mut().for_each(|alarm| alarm.member_id = ids.member(alarm.member_id));
        it.alarms.sort_by_key(|alarm| (alarm.member_id, alarm.alarm));
    }
    DefragmentResponse |_it, _ids| {}
    HashResponse |it, _ids| { it.hash = 0; }
    HashKvResponse |_it, _ids| {}
    MoveLeaderResponse |_it, _ids| {}
    DowngradeResponse |_it, _ids| {}
}

fn listed(members: &mut [pb::Member], ids: &Ids) {
    members.iter_mut().for_each(|one| member(one, ids));
    members.sort_by_key(|member| member.id);
}

fn member(member: &mut pb::Member, ids: &Ids) {
    member.id = ids.member(member.id);
    for url in member.peer_ur_ls.iter_mut().chain(&mut member.client_ur_ls) {
        *url = ids.text(url);
    }
    let named = |known: &(u64, String)| known.1 == member.name && !member.name.is_empty();
    if let Some(at) = ids.members.iter().position(named) {
        member.name = format!("member-{at}");
    }
}

impl Normalise for pb::LeaseTimeToLiveResponse {
    fn normalise(&mut self, ids: &mut Ids) {
        header(&mut self.header, ids);
        self.id = ids.lease(self.id);
        self.keys.sort();
    }

    fn header(&self) -> Option<&pb::ResponseHeader> {
        self.header.as_ref()
    }

    fn clocks(&mut self) -> Vec<i64> {
        if self.ttl > 0 {
            vec![std::mem::replace(&mut self.ttl, 1)]
        } else {
            Vec::new()
        }
    }
}

impl Normalise for pb::StatusResponse {
    fn normalise(&mut self, ids: &mut Ids) {
        header(&mut self.header, ids);
        // Both must call themselves 3.7.x; the storage version appears some seconds after start.
        if self.version.starts_with("3.7.") {
            self.version = "3.7".to_owned();
        }
        self.storage_version.clear();
        self.leader = u64::from(self.leader != 0);
        self.raft_index = self.raft_index.min(1);
        self.raft_term = self.raft_term.min(1);
        self.raft_applied_index = self.raft_applied_index.min(1);
        self.db_size = self.db_size.min(1);
        // An empty store uses nothing here; etcd counts the pages of its file.
        self.db_size_in_use = 0;
        self.errors
            .iter_mut()
            .for_each(|error| *error = ids.text(error));
        self.errors.sort();
    }

    fn header(&self) -> Option<&pb::ResponseHeader> {
        self.header.as_ref()
    }
}

/// Puts the real lease ids of one cluster into a transaction written with canonical ones.
pub fn txn_outbound(txn: &mut pb::TxnRequest, ids: &Ids) {
    for compare in &mut txn.compare {
        if let Some(compare::TargetUnion::Lease(lease)) = &mut compare.target_union {
            *lease = ids.real_lease(*lease);
        }
    }
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(request_op::Request::RequestPut(put)) => put.lease = ids.real_lease(put.lease),
            Some(request_op::Request::RequestTxn(inner)) => txn_outbound(inner, ids),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_ids_follow_the_order_of_appearance() {
        let mut ids = Ids::default();
        assert_eq!(ids.appeared(77), FIRST_LEASE);
        assert_eq!(ids.appeared(5), FIRST_LEASE + 1);
        assert_eq!(ids.real_lease(FIRST_LEASE + 1), 5);
        assert_eq!(ids.lease(77), FIRST_LEASE);
        assert_eq!(ids.lease(1234), 1234);
    }

    #[test]
    fn a_header_keeps_what_is_absent() {
        let ids = Ids {
            cluster: 9,
            members: vec![(4, "m0".into())],
            ..Ids::default()
        };
        let mut full = Some(pb::ResponseHeader {
            cluster_id: 9,
            member_id: 4,
            revision: 7,
            raft_term: 3,
        });
        header(&mut full, &ids);
        let mut bare = Some(pb::ResponseHeader {
            revision: 7,
            ..Default::default()
        });
        header(&mut bare, &ids);
        assert_ne!(full, bare);
        assert_eq!(full.map(|header| header.member_id), Some(FIRST_MEMBER));
    }

    #[test]
    fn texts_lose_ids_and_double_blanks() {
        let ids = Ids {
            cluster: 900,
            members: vec![(255, "m0".into())],
            ..Ids::default()
        };
        assert_eq!(
            ids.text("memberID:255  alarm:NOSPACE"),
            "memberID:member-0 alarm:NOSPACE"
        );
    }
}
