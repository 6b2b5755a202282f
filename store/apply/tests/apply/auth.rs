//! Rights are decided at the entry, by the users and roles as they stand there.

use mainstay_apply::{ApplyError, Outcome};
use mainstay_auth::{Caller, Error, Interval, ROOT, Union};
use mainstay_proto::authpb::{Permission, permission::Type};
use mainstay_proto::entry::command::Body;
use mainstay_proto::entry::{AuthDisable, AuthEnable, Authenticate, LeaseRevoke, UserAdd};
use mainstay_proto::etcdserverpb::{
    AlarmRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserDeleteRequest,
    AuthUserGrantRoleRequest, CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest,
    PutRequest, RangeRequest, RequestOp, TxnRequest, alarm_request::AlarmAction,
    request_op::Request,
};
use proptest::prelude::*;

use crate::support::World;

/// A world with root, and alice who may write `a` to `c` and read `b` to `d`.
fn enabled() -> World {
    let mut world = World::new(-1);
    let permission = |perm_type: Type, key: &str, end: &str| {
        Body::RoleGrantPermission(AuthRoleGrantPermissionRequest {
            name: "tenant".into(),
            perm: Some(Permission {
                perm_type: perm_type as i32,
                key: key.to_owned().into(),
                range_end: end.to_owned().into(),
            }),
        })
    };
    let user = |name: &str| {
        Body::UserAdd(UserAdd {
            name: name.into(),
            password_hash: "$2a$hash".into(),
            options: None,
        })
    };
    let grant = |user: &str, role: &str| {
        Body::UserGrantRole(AuthUserGrantRoleRequest {
            user: user.into(),
            role: role.into(),
        })
    };
    let replies = world.apply_all(vec![
        user(ROOT),
        grant(ROOT, ROOT),
        Body::RoleAdd(AuthRoleAddRequest {
            name: "tenant".into(),
        }),
        permission(Type::Write, "a", "c"),
        permission(Type::Read, "b", "d"),
        user("alice"),
        grant("alice", "tenant"),
        Body::AuthEnable(AuthEnable {}),
    ]);
    assert!(replies.expect("a batch").iter().all(Result::is_ok));
    world
}

fn user(world: &World, name: &str) -> Caller {
    Caller::User {
        name: name.into(),
        revision: world.auth.registry().revision(),
    }
}

fn refusal(world: &mut World, caller: &Caller, body: Body) -> Option<Error> {
    match world.reply_to(caller, body) {
        Err(ApplyError::Auth(error)) => Some(error),
        _ => None,
    }
}

fn put(key: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        ..PutRequest::default()
    }
}

fn txn(request: Request) -> TxnRequest {
    TxnRequest {
        failure: vec![RequestOp {
            request: Some(request),
        }],
        ..TxnRequest::default()
    }
}

#[test]
fn an_operation_needs_the_same_right_however_deep_it_lies() {
    let mut world = enabled();
    let alice = user(&world, "alice");
    let read = |key: &str, end: &str| {
        Request::RequestRange(RangeRequest {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            ..Default::default()
        })
    };
    let delete = |key: &str, end: &str, prev_kv| {
        Request::RequestDeleteRange(DeleteRangeRequest {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            prev_kv,
        })
    };
    let prev = |key: &str| PutRequest {
        prev_kv: true,
        ..put(key)
    };
    let cases = [
        (Request::RequestPut(put("a")), true),
        (Request::RequestPut(put("c")), false),
        (Request::RequestPut(prev("a")), false),
        (Request::RequestPut(prev("b")), true),
        (read("b", "d"), true),
        (read("a", ""), false),
        (read("b", "\0"), false),
        (delete("a", "c", false), true),
        (delete("a", "c", true), false),
        (delete("b", "c", true), true),
        (delete("b", "d", false), false),
    ];
    for (request, allowed) in cases {
        let mut nested = txn(request.clone());
        for depth in 1..=16 {
            let refused = refusal(&mut world, &alice, Body::Txn(nested.clone()));
            let expected = (!allowed).then_some(Error::Denied);
            assert_eq!(refused, expected, "{request:?} at depth {depth}");
            nested = txn(Request::RequestTxn(nested));
        }
    }
    let mut compares = txn(Request::RequestPut(put("a")));
    compares.compare.push(Compare {
        key: "a".into(),
        ..Compare::default()
    });
    let refused = refusal(&mut world, &alice, Body::Txn(compares));
    assert_eq!(refused, Some(Error::Denied), "a compare reads");
}

#[test]
fn a_lease_belongs_to_whoever_may_write_all_of_its_keys() {
    let mut world = enabled();
    let (root, alice) = (user(&world, ROOT), user(&world, "alice"));
    let grant = LeaseGrantRequest { id: 7, ttl: 60 };
    let nobody = refusal(&mut world, &Caller::Nobody, Body::LeaseGrant(grant));
    assert_eq!(nobody, Some(Error::UserEmpty));
    assert_eq!(refusal(&mut world, &alice, Body::LeaseGrant(grant)), None);
    let leased = |key: &str| PutRequest {
        lease: 7,
        ..put(key)
    };
    assert_eq!(refusal(&mut world, &alice, Body::Put(leased("a"))), None);
    assert_eq!(refusal(&mut world, &root, Body::Put(leased("x"))), None);
    let refused = refusal(&mut world, &alice, Body::Put(leased("b")));
    assert_eq!(refused, Some(Error::Denied), "x hangs on it");
    let nested = txn(Request::RequestTxn(txn(Request::RequestPut(leased("b")))));
    assert_eq!(
        refusal(&mut world, &alice, Body::Txn(nested)),
        Some(Error::Denied)
    );
    let revoke = || {
        Body::LeaseRevoke(LeaseRevoke {
            id: 7,
            expired_in_term: 0,
        })
    };
    assert_eq!(refusal(&mut world, &alice, revoke()), Some(Error::Denied));
    assert_eq!(refusal(&mut world, &root, revoke()), None);
    // An expired lease is revoked by the member, whom nobody has given a right.
    let grant = LeaseGrantRequest { id: 8, ttl: 60 };
    world
        .reply_to(&alice, Body::LeaseGrant(grant))
        .expect("a lease");
    let expired = Body::LeaseRevoke(LeaseRevoke {
        id: 8,
        expired_in_term: world.term,
    });
    let reply = world.reply_to(&Caller::Member, expired);
    assert!(
        matches!(reply, Ok(Outcome::LeaseRevoke { .. })),
        "{reply:?}"
    );
}

#[test]
fn alarms_take_no_right_away_and_give_none() {
    let mut world = enabled();
    let (root, alice) = (user(&world, ROOT), user(&world, "alice"));
    for alarm in [1, 2] {
        let raise = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: 1,
            alarm,
        };
        let refused = refusal(&mut world, &alice, Body::Alarm(raise));
        assert_eq!(refused, Some(Error::Denied));
        world.reply_to(&root, Body::Alarm(raise)).expect("an alarm");
        for (caller, error) in [(&alice, Error::Denied), (&Caller::Nobody, Error::UserEmpty)] {
            let delete = DeleteRangeRequest {
                key: "x".into(),
                ..Default::default()
            };
            for body in [
                Body::AuthDisable(AuthDisable {}),
                Body::DeleteRange(delete),
                Body::Put(put("x")),
                Body::Compact(CompactionRequest::default()),
            ] {
                assert_eq!(refusal(&mut world, caller, body), Some(error));
            }
        }
    }
}

#[test]
fn a_right_is_looked_up_at_the_entry_and_old_credentials_end() {
    let mut world = enabled();
    let (root, before) = (user(&world, ROOT), user(&world, "alice"));
    world.reply_to(&before, Body::Put(put("a"))).expect("a put");
    // Proposed before and ordered behind the change.
    let delete = AuthUserDeleteRequest {
        name: "alice".into(),
    };
    world
        .reply_to(&root, Body::UserDelete(delete))
        .expect("a deletion");
    let refused = refusal(&mut world, &before, Body::Put(put("a")));
    assert_eq!(refused, Some(Error::OldRevision));
    let now = user(&world, "alice");
    assert_eq!(
        refusal(&mut world, &now, Body::Put(put("a"))),
        Some(Error::Denied)
    );
    let unknown = refusal(&mut world, &now, Body::AuthDisable(AuthDisable {}));
    assert_eq!(unknown, Some(Error::UserNotFound));
}

#[test]
fn a_log_in_counts_at_the_revision_its_password_was_verified_at() {
    let mut world = enabled();
    let revision = world.auth.registry().revision();
    let log_in = |name: &str, revision| {
        Body::Authenticate(Authenticate {
            name: name.into(),
            token_hash: vec![7; 32].into(),
            auth_revision: revision,
        })
    };
    let nobody = Caller::Nobody;
    assert_eq!(
        refusal(&mut world, &nobody, log_in("alice", revision - 1)),
        Some(Error::OldRevision)
    );
    assert_eq!(
        refusal(&mut world, &nobody, log_in("mallory", revision)),
        Some(Error::Failed)
    );
    assert!(world.auth.tokens().is_empty());
    let reply = world.reply_to(&nobody, log_in("alice", revision));
    assert!(
        matches!(reply, Ok(Outcome::Authenticated { .. })),
        "{reply:?}"
    );
    // The clock of these tests stands still at zero, and so does every deadline: it is the entry
    // that is looked at.
    assert_eq!(world.auth.tokens().user(&[7; 32]).as_deref(), Some("alice"));
    let root = user(&world, ROOT);
    world
        .reply_to(&root, Body::AuthDisable(AuthDisable {}))
        .expect("off");
    assert!(world.auth.tokens().is_empty());
    assert_eq!(
        refusal(&mut world, &nobody, log_in("alice", revision)),
        Some(Error::NotEnabled)
    );
}

#[test]
fn users_and_roles_outlive_a_restart() {
    let world = enabled();
    let before = world.auth.registry();
    let mut world = world.reopen(-1);
    let after = world.auth.registry();
    assert_eq!(after.revision(), before.revision());
    assert!(after.is_enabled());
    assert_eq!(after.user_names(), before.user_names());
    assert_eq!(after.permissions("tenant"), before.permissions("tenant"));
    let alice = user(&world, "alice");
    assert_eq!(refusal(&mut world, &alice, Body::Put(put("a"))), None);
    assert_eq!(
        refusal(&mut world, &alice, Body::Put(put("c"))),
        Some(Error::Denied)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What the members' tables say after any order of grants is what a union made at once says.
    #[test]
    fn ranges_granted_one_by_one_are_those_granted_at_once(
        ranges in proptest::collection::vec(("[a-c]{1,2}", "[a-d]{0,2}"), 1..6),
        asked in "[a-c]{1,2}",
        end in "[a-d]{0,2}",
    ) {
        let mut world = enabled();
        let root = user(&world, ROOT);
        let valid = |(key, end): &&(String, String)| end.is_empty() || key < end;
        let mut granted = vec![Interval::of(b"b", b"d")];
        for (key, end) in ranges.iter().filter(valid) {
            let body = Body::RoleGrantPermission(AuthRoleGrantPermissionRequest {
                name: "tenant".into(),
                perm: Some(Permission {
                    perm_type: Type::Readwrite as i32,
                    key: key.clone().into(),
                    range_end: end.clone().into(),
                }),
            });
            world.reply_to(&root, body).expect("a grant");
            granted.push(Interval::of(key.as_bytes(), end.as_bytes()));
        }
        let union: Union = granted.into_iter().collect();
        let alice = user(&world, "alice");
        let registry = world.auth.registry();
        let permits = registry.permits(
            &alice,
            mainstay_auth::Access::Read,
            asked.as_bytes(),
            end.as_bytes(),
        );
        prop_assert_eq!(permits.is_ok(), union.covers(asked.as_bytes(), end.as_bytes()));
    }
}
