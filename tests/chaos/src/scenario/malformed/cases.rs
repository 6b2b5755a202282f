//! Requests at and beyond the limits, with the answer that etcd 3.7.1 gives.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use mainstay_proto::etcdserverpb as pb;
use tonic::{Code, Status, metadata::MetadataValue};

use crate::connection::Connection;

/// What may come back.
enum Expected {
    Success,
    /// This code, with this in its text.
    Refused(Code, &'static str),
    /// Success, or this code: where a limit of our own may be lower than etcd's.
    SuccessOr(Code),
    /// Any error.
    AnyError,
    /// Any answer: the case is there for what it does to the member.
    Anything,
}

struct Case {
    name: &'static str,
    expected: Expected,
    call: BoxFuture<'static, Result<(), Status>>,
}

use Expected::{AnyError, Anything, Refused, Success, SuccessOr};

const FUTURE: &str = "required revision is a future revision";
const COMPACTED: &str = "required revision has been compacted";

/// Runs all cases and describes those that came out otherwise. Odd metadata goes
/// over `apart`, last of all: a server may close the connection it came on.
pub async fn run(connection: &Connection, apart: &Connection, is_etcd: bool) -> Vec<String> {
    let mut cases = Vec::new();
    cases.extend(keys_and_numbers(connection));
    cases.extend(lease_numbers(connection));
    cases.extend(member_numbers(connection));
    if !is_etcd {
        // This ends an etcd process.
        cases.push(unknown_alarm_action(connection));
    }
    cases.extend(sizes(connection));
    cases.extend(metadata(apart));
    let mut wrong = Vec::new();
    for Case {
        name,
        expected,
        call,
    } in cases
    {
        let timeout = std::time::Duration::from_secs(10);
        let outcome = match tokio::time::timeout(timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::deadline_exceeded("no answer in 10 s")),
        };
        let right = match (&expected, &outcome) {
            (Anything, _) | (Success | SuccessOr(_), Ok(())) | (AnyError, Err(_)) => true,
            (Refused(code, text), Err(status)) => {
                status.code() == *code && status.message().contains(text)
            }
            (SuccessOr(code), Err(status)) => status.code() == *code,
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    wrong
}

fn case(
    name: &'static str,
    expected: Expected,
    call: impl Future<Output = Result<(), Status>> + Send + 'static,
) -> Case {
    Case {
        name,
        expected,
        call: call.boxed(),
    }
}

fn sizes(connection: &Connection) -> Vec<Case> {
    let larger = Refused(Code::ResourceExhausted, "received message larger than max");
    let too_large = Refused(Code::InvalidArgument, "etcdserver: request is too large");
    let too_many = Refused(Code::InvalidArgument, "too many operations in txn request");
    vec![
        case("a request of 2 MiB", larger, put(connection, 2 << 20)),
        case(
            "a value above the limit",
            too_large,
            put(connection, 1_600_000),
        ),
        case("129 operations", too_many, txn(connection, flat(129))),
        case("128 operations", Success, txn(connection, flat(128))),
        case(
            "transactions 20 deep",
            SuccessOr(Code::InvalidArgument),
            txn(connection, nested(20)),
        ),
        // Our own decoder gives up on an answer of this depth.
        case(
            "transactions 95 deep",
            Anything,
            txn(connection, nested(95)),
        ),
        case(
            "transactions 200 deep",
            AnyError,
            txn(connection, nested(200)),
        ),
    ]
}

fn metadata(connection: &Connection) -> Vec<Case> {
    let mut kv = connection.kv();
    let not_utf8 = async move {
        let mut request = tonic::Request::new(key_range(b"a"));
        let value = MetadataValue::try_from(&b"\xff\xfe\xfd"[..])
            .map_err(|error| Status::internal(error.to_string()))?;
        request.metadata_mut().insert("client-api-version", value);
        kv.range(request).await.map(drop)
    };
    let mut kv = connection.kv();
    let many = async move {
        let mut request = tonic::Request::new(key_range(b"a"));
        for number in 0..2000 {
            let name = format!("x-{number}").parse::<tonic::metadata::MetadataKey<_>>();
            let name = name.map_err(|error| Status::internal(error.to_string()))?;
            let value = MetadataValue::try_from("v".repeat(2000).as_str());
            let value = value.map_err(|error| Status::internal(error.to_string()))?;
            request.metadata_mut().insert(name, value);
        }
        kv.range(request).await.map(drop)
    };
    let invalid = Refused(Code::InvalidArgument, "invalid client api version");
    vec![
        case("metadata that is not UTF-8", invalid, not_utf8),
        case("4 MB of metadata", Anything, many),
    ]
}

fn keys_and_numbers(connection: &Connection) -> Vec<Case> {
    let range = |change: fn(&mut pb::RangeRequest)| {
        let (mut kv, mut request) = (connection.kv(), key_range(b"a"));
        change(&mut request);
        async move { kv.range(request).await.map(drop) }
    };
    let no_key = Refused(Code::InvalidArgument, "etcdserver: key is not provided");
    let no_sort = || Refused(Code::InvalidArgument, "etcdserver: invalid sort option");
    vec![
        case(
            "an empty key",
            no_key,
            range(|request| request.key = Bytes::new()),
        ),
        case(
            "a key of invalid UTF-8",
            Success,
            range(|request| request.key = b"\xff\0\xfe"[..].into()),
        ),
        case(
            "a limit below all",
            Success,
            range(|request| request.limit = i64::MIN),
        ),
        case(
            "a revision below all",
            Success,
            range(|request| request.revision = i64::MIN),
        ),
        case(
            "sort order 99",
            no_sort(),
            range(|request| request.sort_order = 99),
        ),
        case(
            "sort target -7",
            no_sort(),
            range(|request| request.sort_target = -7),
        ),
        case(
            "an inverted range",
            Success,
            range(|request| request.range_end = b"A"[..].into()),
        ),
        case(
            "a revision above all",
            Refused(Code::OutOfRange, FUTURE),
            range(|request| request.revision = i64::MAX),
        ),
        case(
            "revision filters that contradict",
            Success,
            range(|request| {
                request.min_mod_revision = i64::MAX;
                request.max_mod_revision = i64::MIN;
            }),
        ),
        compaction(connection, "compaction below all", i64::MIN, COMPACTED),
        compaction(connection, "compaction above all", i64::MAX, FUTURE),
        case(
            "enums of a compare out of range",
            SuccessOr(Code::InvalidArgument),
            txn(connection, strange()),
        ),
        case("an empty operation", AnyError, {
            let nothing = pb::TxnRequest {
                success: vec![pb::RequestOp { request: None }],
                ..Default::default()
            };
            txn(connection, nothing)
        }),
        case(
            "a watch from below all",
            Success,
            watch(connection, i64::MIN),
        ),
        case(
            "a watch from the last revision of all",
            Success,
            watch(connection, i64::MAX),
        ),
    ]
}

fn compaction(
    connection: &Connection,
    name: &'static str,
    revision: i64,
    text: &'static str,
) -> Case {
    let mut kv = connection.kv();
    case(name, Refused(Code::OutOfRange, text), async move {
        kv.compact(pb::CompactionRequest {
            revision,
            physical: true,
        })
        .await
        .map(drop)
    })
}

fn lease_numbers(connection: &Connection) -> Vec<Case> {
    let grant = |id, ttl| {
        let mut lease = connection.lease();
        async move {
            lease
                .lease_grant(pb::LeaseGrantRequest { ttl, id })
                .await
                .map(drop)
        }
    };
    let mut revoke = connection.lease();
    let mut alive = connection.lease();
    let mut left = connection.lease();
    let mut kv = connection.kv();
    let none = || Refused(Code::NotFound, "etcdserver: requested lease not found");
    vec![
        case(
            "the longest lease",
            Refused(Code::OutOfRange, "too large lease TTL"),
            grant(1, i64::MAX),
        ),
        case("the shortest lease", Success, grant(2, i64::MIN)),
        case("a lease with the lowest id", Success, grant(i64::MIN, 5)),
        case("a revoke of no lease", none(), async move {
            revoke
                .lease_revoke(pb::LeaseRevokeRequest { id: i64::MAX })
                .await
                .map(drop)
        }),
        case("a put on no lease", none(), async move {
            let put = pb::PutRequest {
                key: b"a"[..].into(),
                lease: i64::MAX - 1,
                ..Default::default()
            };
            kv.put(put).await.map(drop)
        }),
        case("a renewal of no lease", Success, async move {
            let one = tokio_stream::iter([pb::LeaseKeepAliveRequest { id: -1 }]);
            let mut answers = alive.lease_keep_alive(one).await?.into_inner();
            match answers.message().await?.map(|answer| answer.ttl) {
                Some(0) => Ok(()),
                other => Err(Status::internal(format!("time to live {other:?}"))),
            }
        }),
        case("the time of no lease", Success, async move {
            let request = pb::LeaseTimeToLiveRequest { id: -1, keys: true };
            match left.lease_time_to_live(request).await?.into_inner().ttl {
                -1 => Ok(()),
                other => Err(Status::internal(format!("time to live {other}"))),
            }
        }),
    ]
}

fn member_numbers(connection: &Connection) -> Vec<Case> {
    let hash = |revision| {
        let mut maintenance = connection.maintenance();
        async move {
            maintenance
                .hash_kv(pb::HashKvRequest { revision })
                .await
                .map(drop)
        }
    };
    let mut cluster = connection.cluster();
    let mut maintenance = connection.maintenance();
    vec![
        case(
            "a hash above all",
            Refused(Code::OutOfRange, FUTURE),
            hash(i64::MAX),
        ),
        case("a hash below all", Success, hash(i64::MIN)),
        case("a move to no member", AnyError, async move {
            maintenance
                .move_leader(pb::MoveLeaderRequest {
                    target_id: u64::MAX,
                })
                .await
                .map(drop)
        }),
        case("the removal of no member", AnyError, async move {
            cluster
                .member_remove(pb::MemberRemoveRequest { id: u64::MAX })
                .await
                .map(drop)
        }),
    ]
}

fn unknown_alarm_action(connection: &Connection) -> Case {
    let mut maintenance = connection.maintenance();
    case("an unknown alarm action", AnyError, async move {
        let request = pb::AlarmRequest {
            action: 99,
            member_id: u64::MAX,
            alarm: 99,
        };
        maintenance.alarm(request).await.map(drop)
    })
}

fn key_range(key: &'static [u8]) -> pb::RangeRequest {
    pb::RangeRequest {
        key: Bytes::from_static(key),
        ..Default::default()
    }
}

fn put(
    connection: &Connection,
    size: usize,
) -> impl Future<Output = Result<(), Status>> + Send + 'static {
    let mut kv = connection.kv();
    async move {
        let (key, value) = (b"large"[..].into(), vec![b'x'; size].into());
        kv.put(pb::PutRequest {
            key,
            value,
            ..Default::default()
        })
        .await
        .map(drop)
    }
}

fn txn(
    connection: &Connection,
    request: pb::TxnRequest,
) -> impl Future<Output = Result<(), Status>> + Send + 'static {
    let mut kv = connection.kv();
    async move { kv.txn(request).await.map(drop) }
}

/// Opens a watch and waits for the response that creates or refuses it.
fn watch(
    connection: &Connection,
    start_revision: i64,
) -> impl Future<Output = Result<(), Status>> + Send + 'static {
    let mut client = connection.watch();
    async move {
        let create = pb::WatchCreateRequest {
            key: b"a"[..].into(),
            start_revision,
            ..Default::default()
        };
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        let one = pb::WatchRequest {
            request_union: Some(union),
        };
        let mut stream = client.watch(tokio_stream::iter([one])).await?.into_inner();
        match stream.message().await? {
            Some(response) if response.created => Ok(()),
            other => Err(Status::internal(format!("not created: {other:?}"))),
        }
    }
}

fn put_op(key: String) -> pb::RequestOp {
    let put = pb::PutRequest {
        key: key.into(),
        ..Default::default()
    };
    pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put)),
    }
}

fn flat(operations: usize) -> pb::TxnRequest {
    let success = (0..operations)
        .map(|number| put_op(format!("flat{number}")))
        .collect();
    pb::TxnRequest {
        success,
        ..Default::default()
    }
}

fn nested(depth: usize) -> pb::TxnRequest {
    let mut txn = pb::TxnRequest {
        success: vec![put_op("deep".into())],
        ..Default::default()
    };
    for _ in 1..depth {
        let inner = pb::request_op::Request::RequestTxn(txn);
        let success = vec![pb::RequestOp {
            request: Some(inner),
        }];
        txn = pb::TxnRequest {
            success,
            ..Default::default()
        };
    }
    txn
}

fn strange() -> pb::TxnRequest {
    let compare = pb::Compare {
        result: 99,
        target: -3,
        key: b"a"[..].into(),
        range_end: Bytes::new(),
        target_union: None,
    };
    pb::TxnRequest {
        compare: vec![compare],
        ..Default::default()
    }
}
