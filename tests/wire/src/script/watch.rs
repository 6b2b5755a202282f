use std::time::Duration;

use mainstay_proto::etcdserverpb::{self as pb, request_op::Request as Arm};

use crate::player::{Played, Player, create, put_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { ids refusals filters past_present_future events_of_one_revision long_catch_up
large_revision manual_progress after_compaction late_events
progress_by_itself(1, "--watch-progress-notify-interval=200ms") }

async fn ids(p: &mut Player) -> Played {
    let with = |watch_id| pb::WatchCreateRequest {
        watch_id,
        ..create("a", "")
    };
    // 0 means the server picks, and it passes over what is taken.
    for id in [0, 1, 0, 0, 2, 0, -7, i64::MAX, i64::MIN, 1, 0] {
        p.watch(1, with(id)).await?;
    }
    p.watch(2, with(0)).await?;
    p.put("a", "1").await?;
    for id in [0, 77, -7, 3, 0] {
        p.send(Request::WatchCancel { stream: 1, id }).await?;
    }
    // What the client cancelled may be given again, and the server does not pick it by itself.
    for id in [3, -7, 0] {
        p.watch(1, with(id)).await?;
    }
    p.put("a", "2").await?;
    p.send(Request::WatchUnset { stream: 1 }).await?;
    p.watch(1, with(0)).await?;
    Ok(())
}

async fn refusals(p: &mut Player) -> Played {
    p.put("a", "1").await?;
    for (key, end) in [("b", "a"), ("b", "b"), ("", "\0\0"), ("a", "")] {
        let outcome = p.watch(1, create(key, end)).await?;
        if key == "b" {
            p.refused(&outcome, "mvcc: watcher range is empty")?;
        }
    }
    for start_revision in [-1, i64::MIN] {
        let outcome = p
            .watch(
                1,
                pb::WatchCreateRequest {
                    start_revision,
                    ..create("a", "")
                },
            )
            .await?;
        p.refused(&outcome, "required revision has been compacted")?;
    }
    // The empty key is the key `\0`; with the end `\0` it is everything.
    for end in ["", "\0", "b"] {
        p.watch(2, create("", end)).await?;
    }
    for key in ["\0", "\0\0", "a", "b", "\u{ff}"] {
        p.put(key, "seen").await?;
    }
    Ok(())
}

async fn filters(p: &mut Player) -> Played {
    for filters in [
        vec![],
        vec![0],
        vec![1],
        vec![0, 1],
        vec![1, 1],
        vec![2],
        vec![-1, 0],
    ] {
        for prev_kv in [false, true] {
            let filters = filters.clone();
            let watch = pb::WatchCreateRequest {
                filters,
                prev_kv,
                ..create("a", "z")
            };
            p.watch(1, watch).await?;
        }
    }
    p.put("a", "1").await?;
    p.put("a", "2").await?;
    p.delete("a", "").await?;
    p.delete("a", "").await?;
    p.put("a", "3").await?;
    Ok(())
}

async fn past_present_future(p: &mut Player) -> Played {
    for at in 0..10 {
        p.put(["a", "b"][at % 2], &at.to_string()).await?;
    }
    p.delete("a", "c").await?;
    for start_revision in [0, 1, 2, 5, 11, 12, 13, 14, 20, 25] {
        for prev_kv in [false, true] {
            let watch = pb::WatchCreateRequest {
                start_revision,
                prev_kv,
                ..create("a", "c")
            };
            p.watch(1, watch).await?;
        }
    }
    for at in 0..12 {
        p.put("a", &at.to_string()).await?;
    }
    Ok(())
}

/// Several events of one revision: in the order of the operations, a delete in key order.
async fn events_of_one_revision(p: &mut Player) -> Played {
    p.watch(
        1,
        pb::WatchCreateRequest {
            prev_kv: true,
            ..create("a", "z")
        },
    )
    .await?;
    p.watch(
        2,
        pb::WatchCreateRequest {
            fragment: true,
            ..create("a", "z")
        },
    )
    .await?;
    let put = |key: &str| pb::RequestOp {
        request: Some(Arm::RequestPut(put_fields(key, "v"))),
    };
    for order in [["d", "b", "c", "a"], ["a", "c", "b", "d"]] {
        let success = order.iter().map(|key| put(key)).collect();
        p.txn(pb::TxnRequest {
            success,
            ..Default::default()
        })
        .await?;
    }
    p.delete("a", "e").await?;
    p.watch(
        3,
        pb::WatchCreateRequest {
            start_revision: 2,
            prev_kv: true,
            ..create("a", "z")
        },
    )
    .await?;
    Ok(())
}

/// More revisions than one catch-up batch of etcd holds.
async fn long_catch_up(p: &mut Player) -> Played {
    for at in 0..2501 {
        p.put(["a", "b", "c"][at % 3], &at.to_string()).await?;
    }
    for start_revision in [1, 2, 1500, 2502] {
        p.watch(
            1,
            pb::WatchCreateRequest {
                start_revision,
                ..create("a", "z")
            },
        )
        .await?;
    }
    p.put("a", "live").await?;
    p.watch(
        2,
        pb::WatchCreateRequest {
            start_revision: 2,
            prev_kv: true,
            ..create("b", "")
        },
    )
    .await?;
    Ok(())
}

/// A delete of several large values: one revision beyond the size of a message.
async fn large_revision(p: &mut Player) -> Played {
    for (stream, fragment) in [(1, true), (2, false)] {
        let watch = pb::WatchCreateRequest {
            fragment,
            prev_kv: true,
            ..create("big", "bih")
        };
        p.watch(stream, watch).await?;
    }
    for at in 0..5 {
        let value = "x".repeat(900_000);
        let outcome = p.put(&format!("big{at}"), &value).await?;
        p.must(&outcome)?;
    }
    p.delete("big", "bih").await?;
    let watch = pb::WatchCreateRequest {
        start_revision: 2,
        prev_kv: true,
        ..create("big", "bih")
    };
    p.watch(
        3,
        pb::WatchCreateRequest {
            fragment: true,
            ..watch.clone()
        },
    )
    .await?;
    p.watch(3, watch).await?;
    Ok(())
}

async fn manual_progress(p: &mut Player) -> Played {
    // No watch on the stream: no answer.
    p.send(Request::WatchProgress { stream: 1 }).await?;
    p.watch(1, create("a", "")).await?;
    p.send(Request::WatchProgress { stream: 1 }).await?;
    for at in 0..20 {
        p.put("a", &at.to_string()).await?;
        p.send(Request::WatchProgress { stream: 1 }).await?;
    }
    p.put("elsewhere", "1").await?;
    p.send(Request::WatchProgress { stream: 1 }).await?;
    p.watch(
        1,
        pb::WatchCreateRequest {
            start_revision: 2,
            ..create("a", "")
        },
    )
    .await?;
    p.send(Request::WatchProgress { stream: 1 }).await?;
    // A watch that waits for a future revision holds the answer back until it is reached.
    p.watch(
        1,
        pb::WatchCreateRequest {
            start_revision: 30,
            ..create("a", "")
        },
    )
    .await?;
    p.send(Request::WatchProgress { stream: 1 }).await?;
    for at in 0..10 {
        p.put("a", &at.to_string()).await?;
    }
    p.send(Request::WatchProgress { stream: 1 }).await?;
    Ok(())
}

async fn after_compaction(p: &mut Player) -> Played {
    for at in 0..10 {
        p.put("a", &at.to_string()).await?;
    }
    let outcome = p.compact(6, true).await?;
    p.must(&outcome)?;
    for start_revision in [1, 5, 6, 7, 0] {
        for prev_kv in [false, true] {
            let watch = pb::WatchCreateRequest {
                start_revision,
                prev_kv,
                ..create("a", "")
            };
            p.watch(1, watch).await?;
        }
    }
    p.put("a", "live").await?;
    p.delete("a", "").await?;
    Ok(())
}

/// Watches of keys that come to life, die and return.
async fn late_events(p: &mut Player) -> Played {
    p.watch(
        1,
        pb::WatchCreateRequest {
            prev_kv: true,
            ..create("k", "")
        },
    )
    .await?;
    p.watch(
        2,
        pb::WatchCreateRequest {
            prev_kv: true,
            ..create("k", "\0")
        },
    )
    .await?;
    for _ in 0..3 {
        p.put("k", "1").await?;
        p.put("k", "2").await?;
        p.delete("k", "").await?;
        p.put("l", "1").await?;
    }
    p.send(Request::WatchCancel { stream: 1, id: 0 }).await?;
    p.put("k", "unseen").await?;
    p.sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// With `progress_notify` an idle watch tells the revision under its own id; others stay silent.
async fn progress_by_itself(p: &mut Player) -> Played {
    p.watch(
        1,
        pb::WatchCreateRequest {
            progress_notify: true,
            ..create("a", "")
        },
    )
    .await?;
    p.watch(2, create("a", "")).await?;
    p.watch(
        3,
        pb::WatchCreateRequest {
            progress_notify: true,
            start_revision: 1000,
            ..create("a", "")
        },
    )
    .await?;
    p.put("elsewhere", "1").await?;
    p.put("a", "1").await?;
    p.pair.settle().await?;
    p.sleep(Duration::from_millis(1500)).await;
    p.pair.idle_progress(1, 0, true).await?;
    p.pair.idle_progress(2, 0, false).await?;
    p.pair.idle_progress(3, 0, false).await
}
