//! Puts, deletes, leases, alarms, quota and positions, one rule at a time.

use bytes::Bytes;
use mainstay_apply::{AppliedEntry, ApplyError, Attributes, EntryPayload, Error, Outcome};
use mainstay_proto::{
    entry::{ClusterVersion, LeaseRevoke, Publish, command::Body},
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmType, CompactionRequest, PutRequest,
        alarm_request::AlarmAction,
    },
};

use crate::support::{MEMBER, World, delete, grant, put, put_leased, put_request};

const NOSPACE: i32 = AlarmType::Nospace as i32;
const CORRUPT: i32 = AlarmType::Corrupt as i32;

fn alarm(action: AlarmAction, member_id: u64, alarm: i32) -> Body {
    Body::Alarm(AlarmRequest {
        action: action as i32,
        member_id,
        alarm,
    })
}

fn alarms(outcome: Outcome) -> Vec<(u64, i32)> {
    match outcome {
        Outcome::Alarm { alarms, .. } => alarms.iter().map(|a| (a.member_id, a.alarm)).collect(),
        other => panic!("{other:?} is no answer to an alarm"),
    }
}

fn revoke(id: i64, expired_in_term: u64) -> Body {
    Body::LeaseRevoke(LeaseRevoke {
        id,
        expired_in_term,
    })
}

fn compact(revision: i64) -> Body {
    Body::Compact(CompactionRequest {
        revision,
        physical: false,
    })
}

#[test]
fn a_put_answers_with_its_revision_and_the_record_before() {
    let mut world = World::new(-1);
    let Outcome::Put(first) = world.ok(put("a", "1")) else {
        panic!("a put")
    };
    assert_eq!(first.header.expect("a header").revision, 2);
    let request = PutRequest {
        prev_kv: true,
        ..put_request("a", "2")
    };
    let Outcome::Put(second) = world.ok(Body::Put(request.clone())) else {
        panic!("a put")
    };
    let prev = second.prev_kv.expect("the record before");
    assert_eq!((prev.value.as_ref(), prev.version), (&b"1"[..], 1));
    let fresh = PutRequest {
        key: "b".into(),
        ..request
    };
    let Outcome::Put(fresh) = world.ok(Body::Put(fresh)) else {
        panic!("a put")
    };
    assert_eq!(fresh.prev_kv, None);
}

#[test]
fn a_put_may_keep_the_value_or_the_lease_of_a_key_that_exists() {
    let mut world = World::new(-1);
    world.ok(grant(5, 60));
    let keep_value = PutRequest {
        ignore_value: true,
        lease: 5,
        ..put_request("a", "")
    };
    assert_eq!(
        world.refused(Body::Put(keep_value.clone())),
        ApplyError::KeyNotFound
    );
    world.ok(put("a", "1"));
    world.ok(Body::Put(keep_value));
    let keep_lease = PutRequest {
        ignore_lease: true,
        ..put_request("a", "2")
    };
    world.ok(Body::Put(keep_lease));
    let records = world.records();
    assert_eq!(
        (records[0].value.as_ref(), records[0].lease),
        (&b"2"[..], 5)
    );
    assert_eq!(world.leases.keys(5), Some(vec![Bytes::from("a")]));
    world.ok(put("a", "3"));
    assert_eq!(
        world.leases.keys(5),
        Some(vec![]),
        "a put without lease detaches"
    );
}

#[test]
fn a_delete_of_nothing_uses_no_revision() {
    let mut world = World::new(-1);
    world.ok(put("a", "1"));
    for (key, end) in [("b", ""), ("z", "a"), ("b", "z")] {
        let Outcome::DeleteRange(none) = world.ok(Body::DeleteRange(delete(key, end))) else {
            panic!("a delete")
        };
        assert_eq!(
            (none.deleted, none.header.expect("a header").revision),
            (0, 2)
        );
    }
    let Outcome::DeleteRange(one) = world.ok(Body::DeleteRange(delete("a", "z"))) else {
        panic!("a delete")
    };
    assert_eq!(
        (one.deleted, one.header.expect("a header").revision),
        (1, 3)
    );
}

#[test]
fn leases_are_granted_and_revoked_as_in_etcd() {
    let mut world = World::new(-1);
    assert_eq!(
        world.refused(grant(1, 9_000_000_001)),
        ApplyError::TtlTooLarge
    );
    assert!(matches!(
        world.ok(grant(1, 9_000_000_000)),
        Outcome::LeaseGrant(_)
    ));
    assert_eq!(world.refused(grant(1, 60)), ApplyError::LeaseExists);
    assert_eq!(
        world.refused(grant(1, 9_000_000_001)),
        ApplyError::TtlTooLarge,
        "before the id"
    );
    world.ok(grant(-3, 60));
    assert_eq!(world.revision(), 1, "leases use no revision");
    assert_eq!(
        world.refused(put_leased("a", "1", 99)),
        ApplyError::LeaseNotFound
    );
    for key in ["c", "a", "b"] {
        world.ok(put_leased(key, "1", 1));
    }
    world.ok(put_leased("b", "2", -3));
    assert_eq!(world.ok(revoke(1, 0)), Outcome::LeaseRevoke { revision: 6 });
    let history = world
        .view
        .store()
        .history(6, 6, usize::MAX, false)
        .expect("history");
    let keys: Vec<_> = history.iter().map(|change| change.kv.key.clone()).collect();
    assert_eq!(keys, ["a", "c"], "one revision, in key order");
    world.ok(Body::DeleteRange(delete("b", "")));
    assert_eq!(
        world.ok(revoke(-3, 0)),
        Outcome::LeaseRevoke { revision: 7 },
        "nothing to delete"
    );
    for id in [1, -3, 0, 42] {
        assert_eq!(world.refused(revoke(id, 0)), ApplyError::LeaseNotFound);
    }
}

#[test]
fn an_expiry_counts_only_in_the_term_of_the_leader_that_saw_it() {
    let mut world = World::new(-1);
    world.ok(grant(1, 60));
    world.ok(put_leased("a", "1", 1));
    world.term = 5;
    assert_eq!(world.ok(revoke(1, 4)), Outcome::Done);
    assert!(world.leases.exists(1) && world.records().len() == 1);
    assert_eq!(world.ok(revoke(1, 5)), Outcome::LeaseRevoke { revision: 3 });
    assert!(!world.leases.exists(1) && world.records().is_empty());
}

#[test]
fn the_quota_raises_the_alarm_and_only_a_disarm_clears_it() {
    let mut world = World::new(4000);
    let big = "x".repeat(1000);
    let mut puts = 0;
    while world.apply(put("k", &big)).is_ok() {
        puts += 1;
    }
    assert!((1..=4).contains(&puts), "{puts}");
    let stands = AlarmMember {
        member_id: MEMBER,
        alarm: NOSPACE,
    };
    assert_eq!(world.view.alarms(), [stands]);
    let before = world.revision();
    assert_eq!(world.refused(put("k", "small")), ApplyError::NoSpace);
    assert_eq!(world.refused(grant(1, 60)), ApplyError::NoSpace);
    world.ok(Body::DeleteRange(delete("nothing", "")));
    assert_eq!(world.revision(), before, "what was refused was not written");
    world.ok(compact(before));
    assert_eq!(
        world.refused(put("k", "small")),
        ApplyError::NoSpace,
        "until disarmed"
    );
    let cleared = world.ok(alarm(AlarmAction::Deactivate, MEMBER, NOSPACE));
    assert_eq!(alarms(cleared), [(MEMBER, NOSPACE)]);
    world.ok(put("k", "small"));
    assert!(world.view.alarms().is_empty());
}

#[test]
fn members_with_other_quotas_decide_as_the_proposer_is_told() {
    let big = "x".repeat(1000);
    for (proposers, own) in [(4000, -1), (-1, 4000), (4000, 100_000), (100_000, 4000)] {
        let mut one = World::new(proposers);
        let mut other = World::new(own);
        other.quota_bytes = proposers;
        for _ in 0..8 {
            assert_eq!(one.apply(put("k", &big)), other.apply(put("k", &big)));
        }
        assert_eq!(one.revision(), other.revision());
        assert_eq!(one.view.alarms(), other.view.alarms());
        assert_eq!(one.view.alarms().is_empty(), proposers != 4000);
    }
}

#[test]
fn alarms_are_listed_raised_and_cleared_as_in_etcd() {
    let mut world = World::new(-1);
    assert!(
        alarms(world.ok(alarm(AlarmAction::Activate, 9, 0))).is_empty(),
        "NONE is nothing"
    );
    for _ in 0..2 {
        let raised = world.ok(alarm(AlarmAction::Activate, 9, CORRUPT));
        assert_eq!(alarms(raised), [(9, CORRUPT)]);
    }
    world.ok(alarm(AlarmAction::Activate, 3, NOSPACE));
    let all = world.ok(alarm(AlarmAction::Get, 12345, 0));
    assert_eq!(alarms(all), [(3, NOSPACE), (9, CORRUPT)]);
    assert_eq!(
        alarms(world.ok(alarm(AlarmAction::Get, 0, CORRUPT))),
        [(9, CORRUPT)]
    );
    for body in [put("a", "1"), compact(1), grant(1, 9), revoke(1, 0)] {
        assert_eq!(world.refused(body), ApplyError::Corrupt);
    }
    assert_eq!(
        world.refused(Body::DeleteRange(delete("a", ""))),
        ApplyError::Corrupt
    );
    assert!(alarms(world.ok(alarm(AlarmAction::Deactivate, 0, CORRUPT))).is_empty());
    let mut world = world.reopen(-1);
    assert_eq!(world.view.alarms().len(), 2, "alarms survive");
    assert_eq!(
        alarms(world.ok(alarm(AlarmAction::Deactivate, 9, CORRUPT))).len(),
        1
    );
    assert_eq!(world.refused(put("a", "1")), ApplyError::NoSpace);
    let unknown = Body::Alarm(AlarmRequest {
        action: 77,
        member_id: 0,
        alarm: 0,
    });
    assert_eq!(world.refused(unknown), ApplyError::UnknownAlarmAction);
}

#[test]
fn compaction_follows_etcds_bounds() {
    let mut world = World::new(-1);
    assert_eq!(world.refused(compact(-1)), ApplyError::Compacted);
    for _ in 0..3 {
        world.ok(put("a", "1"));
    }
    assert_eq!(world.refused(compact(5)), ApplyError::FutureRevision);
    assert_eq!(world.ok(compact(4)), Outcome::Compact { revision: 4 });
    assert_eq!(world.refused(compact(4)), ApplyError::Compacted);
}

#[test]
fn everything_survives_a_restart() {
    let mut world = World::new(-1);
    world.ok(grant(8, 60));
    world.ok(put_leased("a", "1", 8));
    let client_urls = vec!["http://127.0.0.1:2379".to_owned()];
    let name = "one".to_owned();
    let published = Publish {
        member: 4,
        name: name.clone(),
        client_urls: client_urls.clone(),
    };
    world.ok(Body::Publish(published));
    world.ok(Body::ClusterVersion(ClusterVersion {
        version: "3.7.0".into(),
    }));
    world.members(&[4, 5]);
    let before = world.applier.applied().clone();
    let records = world.records();

    let mut world = world.reopen(-1);
    assert_eq!(*world.applier.applied(), before);
    assert!(before.membership.is_some());
    assert_eq!(world.view.membership().nodes.len(), 2);
    assert_eq!(world.records(), records);
    assert_eq!(
        world.view.attributes(4),
        Some(Attributes { name, client_urls })
    );
    assert_eq!(world.view.cluster_version().as_deref(), Some("3.7.0"));
    assert_eq!(world.view.applied_index(), before.index());
    assert_eq!(world.leases.keys(8), Some(vec![Bytes::from("a")]));
    assert_eq!(world.ok(revoke(8, 0)), Outcome::LeaseRevoke { revision: 3 });
}

#[test]
fn a_member_that_leaves_is_gone_for_good() {
    let mut world = World::new(-1);
    let published = |member| {
        Body::Publish(Publish {
            member,
            name: format!("m{member}"),
            client_urls: vec![],
        })
    };
    world.members(&[4, 5, 6]);
    world.ok(published(5));
    world.ok(published(6));
    world.members(&[4, 6]);
    assert!(world.view.is_removed(5) && !world.view.is_removed(6));
    assert_eq!(world.view.attributes(5), None);
    // What it sent before it was removed arrives after.
    world.ok(published(5));
    let world = world.reopen(-1);
    assert!(world.view.is_removed(5) && !world.view.is_removed(4));
    assert_eq!(world.view.attributes(5), None);
    assert_eq!(world.view.attributes(6).map(|a| a.name), Some("m6".into()));
}

#[test]
fn an_entry_out_of_turn_or_not_understood_stops_apply() {
    let mut world = World::new(-1);
    world.ok(put("a", "1"));
    let next = world.entry(1, put("b", "1"));
    let skipped = AppliedEntry {
        index: next.index + 1,
        ..next.clone()
    };
    let result = world.applier.apply(&[skipped]);
    assert!(matches!(result, Err(Error::Gap { .. })), "{result:?}");
    let again = AppliedEntry {
        index: next.index - 1,
        ..next.clone()
    };
    assert!(matches!(
        world.applier.apply(&[again]),
        Err(Error::Gap { .. })
    ));
    let unknown = EntryPayload::Command(Bytes::from_static(&[0x08, 0x02]));
    let result = world.applier.apply(&[AppliedEntry {
        payload: unknown,
        ..next
    }]);
    assert!(
        matches!(result, Err(Error::UnknownFormat { format: 2, .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_reader_waits_until_an_index_is_applied() {
    let mut world = World::new(-1);
    let view = world.view.clone();
    let waiting = tokio::spawn(async move { view.wait_applied(2).await });
    world.ok(put("a", "1"));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    world.ok(put("a", "2"));
    waiting.await.expect("the reader");
    assert_eq!(
        (world.view.applied_index(), world.view.applied_term()),
        (2, 1)
    );
    assert!(world.waiters.is_empty());
}
