use anyhow::{Result, ensure};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;
use mainstay_proto::v3electionpb as election;
use mainstay_proto::v3lockpb as lock;

use super::rpc::{self, Call, Ended};
use super::stage::{self, Stage};
use crate::options::Options;

/// The callers, in the order of a row's letters: without a token, with one that is none, with one
/// that is no longer, without a role, who may read under `r/`, who may read and write there, root.
const CALLERS: [&str; 7] = [
    "nobody", "bad", "dropped", "no role", "reader", "writer", "root",
];

/// How each is let in: `-` let through (or refused for another reason than its rights), `e` user
/// name is empty, `t` invalid auth token, `d` permission denied. Reviewed by hand: a change here
/// is a change of what somebody may do.
const TABLE: &[(&str, &str)] = &[
    ("Range", "ettd---"),
    ("Range of all", "ettddd-"),
    ("RangeStream", "ettd---"),
    ("Put", "ettdd--"),
    ("DeleteRange", "ettdd--"),
    ("Txn", "ettdd--"),
    ("Compact", "ettddd-"),
    ("Watch", "ettd---"),
    ("LeaseGrant", "ett----"),
    ("LeaseKeepAlive", "ettdd--"),
    ("LeaseTimeToLive", "ett----"),
    ("LeaseTimeToLive with keys", "ettd---"),
    ("LeaseLeases", "ettd---"),
    ("MemberAdd", "ettddd-"),
    ("MemberRemove", "ettddd-"),
    ("MemberUpdate", "ettddd-"),
    ("MemberList", "ett----"),
    ("MemberPromote", "ettddd-"),
    ("Alarm list", "ett----"),
    ("Alarm", "ettddd-"),
    ("Status", "ett----"),
    ("Defragment", "ettddd-"),
    ("Hash", "ettddd-"),
    ("HashKV", "ettddd-"),
    ("Snapshot", "ettddd-"),
    ("MoveLeader", "ettddd-"),
    ("Downgrade", "ettddd-"),
    ("AuthStatus", "-tt----"),
    ("Authenticate", "-------"),
    ("UserAdd", "ettddd-"),
    ("UserGet", "ettddd-"),
    ("UserGet of reader", "ettd-d-"),
    ("UserList", "ettddd-"),
    ("UserDelete", "ettddd-"),
    ("UserChangePassword", "ettddd-"),
    ("UserGrantRole", "ettddd-"),
    ("UserRevokeRole", "ettddd-"),
    ("RoleAdd", "ettddd-"),
    ("RoleGet", "ettdd--"),
    ("RoleGet of reader", "ettd-d-"),
    ("RoleList", "ettddd-"),
    ("RoleDelete", "ettddd-"),
    ("RoleGrantPermission", "ettddd-"),
    ("RoleRevokePermission", "ettddd-"),
    ("Lock", "ettdd--"),
    ("Unlock", "ettdd--"),
    ("Campaign", "ettdd--"),
    ("Proclaim", "ettdd--"),
    ("Leader", "ettd---"),
    ("Observe", "ettd---"),
    ("Resign", "ettdd--"),
    ("LeaseRevoke", "ettdd--"),
    ("AuthEnable", "ettddd-"),
    ("AuthDisable", "ettddd-"),
];

/// Where etcd ends a stream in silence instead of saying why; the table holds all the same.
const DEVIATIONS: [&str; 1] = ["Observe"];

/// Every RPC by every caller, on both sides and against the table.
pub async fn run(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let callers = callers(&stages).await?;
    let calls = calls();
    ensure!(
        calls.len() == TABLE.len(),
        "a row has no call, or a call no row"
    );
    let mut wrong = Vec::new();
    for ((name, call), (row, letters)) in calls.iter().zip(TABLE) {
        ensure!(name == row, "{name} is not {row}: the order differs");
        for (at, expected) in letters.chars().enumerate().take(CALLERS.len()) {
            let tokens = [callers[0][at].as_deref(), callers[1][at].as_deref()];
            let reference = stages[0].call(tokens[0], call).await?.ended;
            let subject = stages[1].call(tokens[1], call).await?.ended;
            let equal = DEVIATIONS.contains(name)
                || reference == subject
                || !reference.is_of_rights() && !subject.is_of_rights();
            let letter = letter(&subject);
            if !equal || letter != expected {
                let caller = CALLERS[at];
                wrong.push(format!(
                    "{name} by {caller}: etcd {reference:?}, not {subject:?}; the table says {expected}"
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n  "));
    Ok(())
}

fn letter(ended: &Ended) -> char {
    let text = ended.text();
    for (part, letter) in [
        ("user name is empty", 'e'),
        ("invalid auth token", 't'),
        ("permission denied", 'd'),
    ] {
        if text.contains(part) {
            return letter;
        }
    }
    '-'
}

/// Tokens of the callers on each side.
async fn callers(stages: &[Stage; 2]) -> Result<[Vec<Option<String>>; 2]> {
    let mut callers = [Vec::new(), Vec::new()];
    for (stage, callers) in stages.iter().zip(&mut callers) {
        let dropped = stage.user("dropped", &[]).await?;
        stage.as_root(&stage::user_delete("dropped")).await?;
        let no_role = stage.user("norole", &[]).await?;
        let reader = stage.user("reader", &[(Type::Read, "r/", "r0")]).await?;
        let writer = [(Type::Readwrite, "r/", "r0")];
        let writer = stage.user("writer", &writer).await?;
        let root = stage.root.clone();
        let bad = "no-such-token.1".to_owned();
        *callers = vec![
            None,
            Some(bad),
            Some(dropped),
            Some(no_role),
            Some(reader),
            Some(writer),
            Some(root),
        ];
        // A lease with a key, for the calls about leases.
        let grant = pb::LeaseGrantRequest { id: 7, ttl: 600 };
        let root = Some(stage.root.as_str());
        stage
            .must(root, &Call::new("/etcdserverpb.Lease/LeaseGrant", &grant))
            .await?;
        let leased = pb::PutRequest {
            lease: 7,
            ..rpc::put_request("r/leased")
        };
        stage
            .must(root, &Call::new("/etcdserverpb.KV/Put", &leased))
            .await?;
        // And somebody who leads, so that who asks is answered.
        let won = election::CampaignRequest {
            name: "r/lead".into(),
            lease: 7,
            value: "v".into(),
        };
        let path = "/v3electionpb.Election/Campaign";
        stage.must(root, &Call::new(path, &won)).await?;
    }
    Ok(callers)
}

/// The calls, in the order of the table; none changes what a later one meets.
fn calls() -> Vec<(&'static str, Call)> {
    let mut calls = keys();
    calls.extend(leases());
    calls.extend(members());
    calls.extend(maintenance());
    calls.extend(users());
    calls.extend(contests());
    // Last, because they work.
    let revoke = pb::LeaseRevokeRequest { id: 7 };
    let revoke = Call::new("/etcdserverpb.Lease/LeaseRevoke", &revoke);
    calls.push(("LeaseRevoke", revoke));
    calls.push(("AuthEnable", stage::enable()));
    calls.push(("AuthDisable", stage::disable()));
    calls
}

fn keys() -> Vec<(&'static str, Call)> {
    let stream = pb::RangeRequest {
        key: "r/".into(),
        range_end: "r0".into(),
        ..Default::default()
    };
    let put = pb::request_op::Request::RequestPut(rpc::put_request("r/1"));
    let compact = pb::CompactionRequest {
        revision: 1 << 40,
        physical: false,
    };
    vec![
        ("Range", rpc::range("r/1", "")),
        ("Range of all", rpc::range("\0", "\0")),
        (
            "RangeStream",
            Call::new("/etcdserverpb.KV/RangeStream", &stream),
        ),
        ("Put", rpc::put("r/1")),
        ("DeleteRange", rpc::delete("r/none", "")),
        ("Txn", rpc::txn(&rpc::txn_of(put))),
        ("Compact", Call::new("/etcdserverpb.KV/Compact", &compact)),
        ("Watch", rpc::watch("r/", "r0")),
    ]
}

fn leases() -> Vec<(&'static str, Call)> {
    let grant = pb::LeaseGrantRequest { id: 0, ttl: 600 };
    let ttl = |keys| pb::LeaseTimeToLiveRequest { id: 7, keys };
    let alive = pb::LeaseKeepAliveRequest { id: 7 };
    let list = pb::LeaseLeasesRequest {};
    vec![
        (
            "LeaseGrant",
            Call::new("/etcdserverpb.Lease/LeaseGrant", &grant),
        ),
        (
            "LeaseKeepAlive",
            Call::new("/etcdserverpb.Lease/LeaseKeepAlive", &alive),
        ),
        (
            "LeaseTimeToLive",
            Call::new("/etcdserverpb.Lease/LeaseTimeToLive", &ttl(false)),
        ),
        (
            "LeaseTimeToLive with keys",
            Call::new("/etcdserverpb.Lease/LeaseTimeToLive", &ttl(true)),
        ),
        (
            "LeaseLeases",
            Call::new("/etcdserverpb.Lease/LeaseLeases", &list),
        ),
    ]
}

fn members() -> Vec<(&'static str, Call)> {
    let update = pb::MemberUpdateRequest {
        id: 1,
        peer_ur_ls: vec!["http://127.0.0.1:1".into()],
    };
    // URLs are looked at before rights; a learner that never starts changes no quorum.
    let add = pb::MemberAddRequest {
        peer_ur_ls: vec!["http://127.0.0.1:9".into()],
        is_learner: true,
    };
    let remove = pb::MemberRemoveRequest::default();
    let list = pb::MemberListRequest::default();
    let promote = pb::MemberPromoteRequest::default();
    vec![
        (
            "MemberAdd",
            Call::new("/etcdserverpb.Cluster/MemberAdd", &add),
        ),
        (
            "MemberRemove",
            Call::new("/etcdserverpb.Cluster/MemberRemove", &remove),
        ),
        (
            "MemberUpdate",
            Call::new("/etcdserverpb.Cluster/MemberUpdate", &update),
        ),
        (
            "MemberList",
            Call::new("/etcdserverpb.Cluster/MemberList", &list),
        ),
        (
            "MemberPromote",
            Call::new("/etcdserverpb.Cluster/MemberPromote", &promote),
        ),
    ]
}

fn maintenance() -> Vec<(&'static str, Call)> {
    let get = pb::AlarmRequest::default();
    let clear = pb::AlarmRequest {
        action: 2,
        member_id: 1,
        alarm: 1,
    };
    let hash = pb::HashKvRequest::default();
    let transfer = pb::MoveLeaderRequest::default();
    let downgrade = pb::DowngradeRequest::default();
    vec![
        (
            "Alarm list",
            Call::new("/etcdserverpb.Maintenance/Alarm", &get),
        ),
        (
            "Alarm",
            Call::new("/etcdserverpb.Maintenance/Alarm", &clear),
        ),
        (
            "Status",
            Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}),
        ),
        (
            "Defragment",
            Call::new(
                "/etcdserverpb.Maintenance/Defragment",
                &pb::DefragmentRequest {},
            ),
        ),
        (
            "Hash",
            Call::new("/etcdserverpb.Maintenance/Hash", &pb::HashRequest {}),
        ),
        (
            "HashKV",
            Call::new("/etcdserverpb.Maintenance/HashKV", &hash),
        ),
        (
            "Snapshot",
            Call::new(
                "/etcdserverpb.Maintenance/Snapshot",
                &pb::SnapshotRequest {},
            ),
        ),
        (
            "MoveLeader",
            Call::new("/etcdserverpb.Maintenance/MoveLeader", &transfer),
        ),
        (
            "Downgrade",
            Call::new("/etcdserverpb.Maintenance/Downgrade", &downgrade),
        ),
    ]
}

fn users() -> Vec<(&'static str, Call)> {
    vec![
        ("AuthStatus", stage::status()),
        ("Authenticate", rpc::authenticate("nobody", "x")),
        ("UserAdd", stage::user_add("root", "x")),
        ("UserGet", stage::user_get("root")),
        ("UserGet of reader", stage::user_get("reader")),
        ("UserList", stage::user_list()),
        ("UserDelete", stage::user_delete("missing")),
        ("UserChangePassword", stage::change_password("missing", "x")),
        ("UserGrantRole", stage::grant_role("missing", "x")),
        ("UserRevokeRole", stage::revoke_role("missing", "x")),
        ("RoleAdd", stage::role_add("")),
        ("RoleGet", stage::role_get("writer")),
        ("RoleGet of reader", stage::role_get("reader")),
        ("RoleList", stage::role_list()),
        ("RoleDelete", stage::role_delete("missing")),
        (
            "RoleGrantPermission",
            stage::permit("missing", Type::Read, "k", ""),
        ),
        ("RoleRevokePermission", stage::forbid("missing", "k", "")),
    ]
}

fn contests() -> Vec<(&'static str, Call)> {
    // By one lease, so that nobody waits for another.
    let locked = lock::LockRequest {
        name: "r/lock".into(),
        lease: 7,
    };
    let unlocked = lock::UnlockRequest {
        key: "r/lock/none".into(),
    };
    let campaign = election::CampaignRequest {
        name: "r/other".into(),
        lease: 7,
        value: "v".into(),
    };
    let key = election::LeaderKey {
        name: "r/lead".into(),
        key: "r/lead/7".into(),
        rev: 1,
        lease: 7,
    };
    let proclaim = election::ProclaimRequest {
        leader: Some(key.clone()),
        value: "w".into(),
    };
    let leader = election::LeaderRequest {
        name: "r/lead".into(),
    };
    let resign = election::ResignRequest { leader: Some(key) };
    vec![
        ("Lock", Call::new("/v3lockpb.Lock/Lock", &locked)),
        ("Unlock", Call::new("/v3lockpb.Lock/Unlock", &unlocked)),
        (
            "Campaign",
            Call::new("/v3electionpb.Election/Campaign", &campaign),
        ),
        (
            "Proclaim",
            Call::new("/v3electionpb.Election/Proclaim", &proclaim),
        ),
        (
            "Leader",
            Call::new("/v3electionpb.Election/Leader", &leader),
        ),
        (
            "Observe",
            Call::new("/v3electionpb.Election/Observe", &leader),
        ),
        (
            "Resign",
            Call::new("/v3electionpb.Election/Resign", &resign),
        ),
    ]
}
