use mainstay_proto::etcdserverpb as pb;

use crate::player::{Played, Player, bytes, put_fields, range, range_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { empty_store ends_of_ranges limits_and_counts old_revisions orders filters keys_only
put_options deletes stream_of_many_keys }

/// Revision 1, no keys, and what each read says of that.
async fn empty_store(p: &mut Player) -> Played {
    p.get("a").await?;
    p.send(range("\0", "\0")).await?;
    p.send(Request::RangeStream(range_fields("\0", "\0")))
        .await?;
    p.send(Request::RangeStream(pb::RangeRequest {
        count_only: true,
        ..range_fields("a", "")
    }))
    .await?;
    p.delete("a", "").await?;
    p.delete("\0", "\0").await?;
    p.txn(pb::TxnRequest::default()).await?;
    p.hash(0).await?;
    p.hash(1).await?;
    let outcome = p.get("").await?;
    p.refused(&outcome, "key is not provided")
}

async fn fill(p: &mut Player) -> Played {
    for key in [
        "a",
        "a/1",
        "a/2",
        "b",
        "b/1",
        "c",
        "\u{ff}",
        "\u{ff}\u{ff}",
        "\0",
        "\0\0",
    ] {
        p.put(key, &format!("value of {}", key.len())).await?;
    }
    for key in ["b", "a/1", "b", "\0"] {
        p.put(key, "again").await?;
    }
    Ok(())
}

async fn ends_of_ranges(p: &mut Player) -> Played {
    fill(p).await?;
    for key in ["\0", "a", "a/1", "b", "x", "\u{ff}"] {
        for end in [
            "",
            "\0",
            "\0\0",
            "a",
            "a0",
            "b",
            "c",
            "zz",
            "\u{ff}",
            "\u{ff}\u{ff}",
        ] {
            p.send(range(key, end)).await?;
            p.send(Request::RangeStream(range_fields(key, end))).await?;
        }
    }
    Ok(())
}

async fn limits_and_counts(p: &mut Player) -> Played {
    fill(p).await?;
    for limit in [i64::MIN, -1, 0, 1, 2, 9, 10, 11, i64::MAX] {
        for count_only in [false, true] {
            let all = pb::RangeRequest {
                limit,
                count_only,
                ..range_fields("\0", "\0")
            };
            p.send(Request::Range(all.clone())).await?;
            p.send(Request::RangeStream(all)).await?;
        }
    }
    // Paging as kube-apiserver does it: the next page begins behind the last key.
    for start in ["\0", "a/1\0", "b/1\0"] {
        let page = pb::RangeRequest {
            limit: 3,
            revision: 9,
            ..range_fields(start, "\0")
        };
        p.send(Request::Range(page)).await?;
    }
    Ok(())
}

async fn old_revisions(p: &mut Player) -> Played {
    fill(p).await?;
    p.delete("b", "c").await?;
    p.put("b", "reborn").await?;
    for revision in -2..19 {
        for count_only in [false, true] {
            let read = pb::RangeRequest {
                revision,
                count_only,
                ..range_fields("\0", "\0")
            };
            p.send(Request::Range(read.clone())).await?;
            p.send(Request::RangeStream(read)).await?;
        }
    }
    for revision in [i64::MIN, i64::MAX] {
        p.send(Request::Range(pb::RangeRequest {
            revision,
            ..range_fields("a", "")
        }))
        .await?;
    }
    Ok(())
}

async fn orders(p: &mut Player) -> Played {
    fill(p).await?;
    for sort_order in [-1, 0, 1, 2, 3] {
        for sort_target in [-1, 0, 1, 2, 3, 4, 5] {
            for limit in [0, 3] {
                if sort_order == 0 && sort_target != 0 && limit != 0 {
                    continue; // See `deviations`.
                }
                let read = range_fields("\0", "\0");
                let read = pb::RangeRequest {
                    sort_order,
                    sort_target,
                    limit,
                    ..read
                };
                p.send(Request::Range(read.clone())).await?;
                if sort_order != 0 || sort_target == 0 {
                    p.send(Request::RangeStream(read)).await?; // See `deviations`.
                }
            }
        }
    }
    Ok(())
}

async fn filters(p: &mut Player) -> Played {
    fill(p).await?;
    for (low, high) in [
        (0, 0),
        (3, 0),
        (0, 8),
        (4, 9),
        (9, 4),
        (-1, -1),
        (100, 0),
        (7, 7),
    ] {
        for limit in [0, 2, 4] {
            let all = pb::RangeRequest {
                limit,
                ..range_fields("\0", "\0")
            };
            let by_mod = pb::RangeRequest {
                min_mod_revision: low,
                max_mod_revision: high,
                ..all.clone()
            };
            let by_create = pb::RangeRequest {
                min_create_revision: low,
                max_create_revision: high,
                ..all
            };
            for read in [by_mod, by_create] {
                p.send(Request::Range(read.clone())).await?;
                p.send(Request::Range(pb::RangeRequest {
                    count_only: true,
                    ..read.clone()
                }))
                .await?;
                p.send(Request::RangeStream(read)).await?;
            }
        }
    }
    Ok(())
}

/// No value and no lease from the index; with a sort by value the lease is there.
async fn keys_only(p: &mut Player) -> Played {
    p.grant(7, 600).await?;
    p.send(Request::Put(pb::PutRequest {
        lease: 7,
        ..put_fields("a", "1")
    }))
    .await?;
    p.put("b", "0").await?;
    for sort_order in 0..3 {
        for sort_target in 0..5 {
            let read = pb::RangeRequest {
                keys_only: true,
                sort_order,
                sort_target,
                ..range_fields("a", "z")
            };
            p.send(Request::Range(read.clone())).await?;
            if sort_order != 0 || sort_target == 0 {
                p.send(Request::RangeStream(read.clone())).await?; // See `deviations`.
            }
            p.send(Request::Range(pb::RangeRequest {
                min_mod_revision: 1,
                ..read
            }))
            .await?;
        }
    }
    Ok(())
}

async fn put_options(p: &mut Player) -> Played {
    let ignore_value = |value| pb::PutRequest {
        ignore_value: true,
        ..put_fields("a", value)
    };
    let ignore_lease = |lease| pb::PutRequest {
        ignore_lease: true,
        lease,
        ..put_fields("a", "x")
    };
    let outcome = p.send(Request::Put(ignore_value(""))).await?;
    p.refused(&outcome, "key not found")?;
    let outcome = p.send(Request::Put(ignore_lease(0))).await?;
    p.refused(&outcome, "key not found")?;
    let outcome = p.send(Request::Put(ignore_value("x"))).await?;
    p.refused(&outcome, "value is provided")?;
    let outcome = p.send(Request::Put(ignore_lease(9))).await?;
    p.refused(&outcome, "lease is provided")?;
    let outcome = p
        .send(Request::Put(pb::PutRequest {
            lease: 5,
            ..put_fields("a", "1")
        }))
        .await?;
    p.refused(&outcome, "requested lease not found")?;
    p.grant(5, 600).await?;
    p.grant(6, 600).await?;
    p.send(Request::Put(pb::PutRequest {
        lease: 5,
        prev_kv: true,
        ..put_fields("a", "1")
    }))
    .await?;
    p.send(Request::Put(pb::PutRequest {
        prev_kv: true,
        ..ignore_lease(0)
    }))
    .await?;
    p.send(Request::Put(pb::PutRequest {
        lease: 6,
        prev_kv: true,
        ..ignore_value("")
    }))
    .await?;
    p.time_to_live(5).await?;
    p.time_to_live(6).await?;
    p.put("a", "no lease").await?;
    p.time_to_live(6).await?;
    p.send(Request::Put(pb::PutRequest {
        ignore_lease: true,
        ..ignore_value("")
    }))
    .await?;
    p.get("a").await?;
    Ok(())
}

async fn deletes(p: &mut Player) -> Played {
    fill(p).await?;
    p.delete("b", "a").await?;
    p.delete("b", "b").await?;
    p.delete("nothing", "").await?;
    p.delete("a", "b").await?;
    p.delete("\0", "\0").await?;
    p.send(range("\0", "\0")).await?;
    p.delete("\0", "\0").await?;
    p.put("a", "new life").await?;
    p.hash(0).await?;
    let request = pb::DeleteRangeRequest {
        range_end: bytes("\0"),
        ..Default::default()
    };
    let outcome = p.send(Request::DeleteRange(request)).await?;
    p.refused(&outcome, "key is not provided")
}

/// More keys than fit one message of the stream, read whole, in part, and at an older revision.
async fn stream_of_many_keys(p: &mut Player) -> Played {
    let value = "v".repeat(3000);
    for batch in 0..20 {
        let puts = (0..100).map(|at| {
            let key = format!("k{:05}", batch * 100 + at);
            let arm = pb::request_op::Request::RequestPut(put_fields(&key, &value));
            pb::RequestOp { request: Some(arm) }
        });
        let outcome = p
            .txn(pb::TxnRequest {
                success: puts.collect(),
                ..Default::default()
            })
            .await?;
        p.must(&outcome)?;
    }
    for (limit, revision) in [(0, 0), (1, 0), (10, 0), (11, 0), (999, 0), (0, 7), (5, 7)] {
        let read = pb::RangeRequest {
            limit,
            revision,
            ..range_fields("k", "l")
        };
        p.send(Request::RangeStream(read.clone())).await?;
        p.send(Request::RangeStream(pb::RangeRequest {
            keys_only: true,
            ..read
        }))
        .await?;
    }
    Ok(())
}
