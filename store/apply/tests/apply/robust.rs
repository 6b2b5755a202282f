//! Whatever an entry holds, apply answers, refuses or stops; it never panics.

use bytes::Bytes;
use mainstay_apply::{AppliedEntry, EntryPayload};
use mainstay_proto::{
    entry::command::Body,
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        request_op::Request,
    },
};
use proptest::prelude::*;

use crate::support::World;

fn any_key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        Just(Bytes::from_static(b"\0")),
        Just(Bytes::from_static(b"a")),
        Just(Bytes::from_static(b"b")),
    ]
}

fn any_request() -> impl Strategy<Value = Option<Request>> {
    let put = (any_key(), -1i64..3, any::<[bool; 3]>()).prop_map(|(key, lease, flags)| {
        let [prev_kv, ignore_value, ignore_lease] = flags;
        let value = Bytes::from_static(b"v");
        Request::RequestPut(PutRequest {
            key,
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        })
    });
    let delete = (any_key(), any_key(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| {
        Request::RequestDeleteRange(DeleteRangeRequest {
            key,
            range_end,
            prev_kv,
        })
    });
    let range = (any_key(), any_key(), any::<[i64; 3]>(), any::<[i32; 2]>()).prop_map(
        |(key, range_end, [limit, revision, min_mod_revision], [sort_order, sort_target])| {
            let sort_order = sort_order % 5;
            let sort_target = sort_target % 7;
            let request = RangeRequest {
                key,
                range_end,
                limit,
                sort_order,
                sort_target,
                revision: revision % 6,
                min_mod_revision,
                ..RangeRequest::default()
            };
            Request::RequestRange(request)
        },
    );
    let leaf = prop_oneof![
        1 => Just(None),
        8 => put.prop_map(Some),
        4 => delete.prop_map(Some),
        4 => range.prop_map(Some),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        (
            prop::collection::vec(inner, 0..4),
            any_key(),
            any_key(),
            0i32..9,
            0i32..9,
        )
            .prop_map(|(list, key, range_end, result, target)| {
                let op = |request| RequestOp { request };
                let compare = Compare {
                    result,
                    target,
                    key,
                    range_end,
                    target_union: None,
                };
                let success: Vec<_> = list.into_iter().map(op).collect();
                let failure = success.clone();
                let compare = vec![compare];
                Some(Request::RequestTxn(TxnRequest {
                    compare,
                    success,
                    failure,
                }))
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_txn_that_no_check_has_seen_does_not_panic(
        lists in prop::collection::vec(prop::collection::vec(any_request(), 0..5), 1..40),
    ) {
        let mut world = World::new(-1);
        for list in lists {
            let success = list.into_iter().map(|request| RequestOp { request }).collect();
            let txn = TxnRequest { success, ..TxnRequest::default() };
            let before = (world.revision(), world.records());
            let reply = world.apply(Body::Txn(txn));
            if reply.is_err() {
                prop_assert_eq!(before, (world.revision(), world.records()));
            }
        }
        world.reopen(-1);
    }

    #[test]
    fn bytes_that_are_no_command_stop_apply_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut world = World::new(-1);
        let payload = EntryPayload::Command(Bytes::from(bytes));
        let entry = AppliedEntry { term: 1, index: 1, payload };
        prop_assert!(world.applier.apply(&[entry]).is_err());
        prop_assert_eq!(world.applier.applied().log, None);
    }
}
