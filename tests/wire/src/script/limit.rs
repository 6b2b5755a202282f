use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;
use prost::Message;

use crate::player::{Played, Player, put_fields, range};
use crate::request::{Metadata, Request};
use crate::script::scripts;

scripts! { size_of_a_value size_of_a_message metadata unknown_paths malformed_messages
fewer_operations(1, "--max-txn-ops=3") smaller_requests(1, "--max-request-bytes=1000") }

/// A proposal larger than `--max-request-bytes` is refused, and nothing is written.
async fn size_of_a_value(p: &mut Player) -> Played {
    for size in [1_572_000, 1_572_700] {
        let outcome = p.put("k", &"v".repeat(size)).await?;
        p.must(&outcome)?;
    }
    for size in [1_572_860, 1_572_900, 2_000_000] {
        let outcome = p.put("k", &"v".repeat(size)).await?;
        p.refused(&outcome, "request is too large")?;
    }
    p.hash(0).await?;
    Ok(())
}

async fn size_of_a_message(p: &mut Player) -> Played {
    for size in [2_097_152, 2_100_000, 5_000_000] {
        p.put("k", &"v".repeat(size)).await?;
        p.get(&"k".repeat(size)).await?;
    }
    p.get("k").await?;
    Ok(())
}

async fn smaller_requests(p: &mut Player) -> Played {
    for size in [500, 900, 1100, 200_000] {
        p.put("k", &"v".repeat(size)).await?;
    }
    // Requests that propose nothing are bounded by the message size alone.
    p.get(&"k".repeat(2000)).await?;
    p.put("k", &"v".repeat(600_000)).await?;
    Ok(())
}

async fn fewer_operations(p: &mut Player) -> Played {
    for count in [2, 3, 4] {
        let put = |at: usize| {
            let put = put_fields(&format!("k{at}"), "v");
            pb::RequestOp {
                request: Some(pb::request_op::Request::RequestPut(put)),
            }
        };
        let success = (0..count).map(put).collect();
        p.txn(pb::TxnRequest {
            success,
            ..Default::default()
        })
        .await?;
    }
    Ok(())
}

async fn metadata(p: &mut Player) -> Played {
    for metadata in [
        Metadata::HasLeader,
        Metadata::ApiVersion,
        Metadata::BadApiVersion,
    ] {
        p.with(metadata, range("a", "")).await?;
        p.with(metadata, Request::Put(put_fields("a", "1"))).await?;
        p.with(metadata, Request::Txn(pb::TxnRequest::default()))
            .await?;
        p.with(metadata, Request::Compact(pb::CompactionRequest::default()))
            .await?;
        p.with(metadata, Request::LeaseLeases).await?;
        p.with(metadata, Request::LeaseKeepAlive(vec![])).await?;
        p.with(
            metadata,
            Request::MemberList(pb::MemberListRequest::default()),
        )
        .await?;
        p.with(metadata, Request::Status).await?;
        p.with(metadata, Request::RangeStream(pb::RangeRequest::default()))
            .await?;
    }
    Ok(())
}

async fn unknown_paths(p: &mut Player) -> Played {
    for path in [
        "/etcdserverpb.KV/Nothing",
        "/etcdserverpb.Watch/Nothing",
        "/etcdserverpb.Lease/Nothing",
        "/etcdserverpb.Cluster/Nothing",
        "/etcdserverpb.Maintenance/Nothing",
        "/etcdserverpb.Auth/Nothing",
        "/etcdserverpb.Nothing/Range",
        "/grpc.health.v1.Health/Nothing",
        "/a/b",
    ] {
        p.send(Request::Raw {
            path,
            body: Bytes::new(),
        })
        .await?;
    }
    let path = "/grpc.health.v1.Health/Check";
    for service in ["", "etcdserverpb.KV", "nothing"] {
        let mut body = Vec::new();
        prost::encoding::string::encode(1, &service.to_owned(), &mut body);
        p.send(Request::Raw {
            path,
            body: body.into(),
        })
        .await?;
    }
    Ok(())
}

/// Bytes that are no message, and messages with fields that nobody knows.
async fn malformed_messages(p: &mut Player) -> Played {
    for path in [
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.Lease/LeaseGrant",
    ] {
        for body in [
            &b"\xff"[..],
            b"\x0a\x7f",
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x08",
            b"\x00\x00",
        ] {
            p.pair.undecodable(path, Bytes::from_static(body)).await?;
        }
    }
    let mut body = pb::RangeRequest {
        limit: 1,
        ..Default::default()
    }
    .encode_to_vec();
    body.extend_from_slice(b"\xf8\x07\x01");
    p.send(Request::Raw {
        path: "/etcdserverpb.KV/Range",
        body: body.into(),
    })
    .await?;
    p.get("a").await?;
    Ok(())
}
