use mainstay_proto::etcdserverpb as pb;

use crate::player::{Played, Player, create, put_fields, range_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { bounds zero_once reads_around tombstone_at_the_revision hashes many_versions
by_revision(1, "--auto-compaction-mode=revision", "--auto-compaction-retention=1000") }

async fn history(p: &mut Player) -> Played {
    for at in 0..4 {
        for key in ["a", "b", "c"] {
            p.put(key, &format!("{key}{at}")).await?;
        }
        p.delete("b", "").await?;
    }
    Ok(())
}

async fn bounds(p: &mut Player) -> Played {
    let outcome = p.compact(-1, false).await?;
    p.refused(&outcome, "required revision has been compacted")?;
    let outcome = p.compact(2, false).await?;
    p.refused(&outcome, "required revision is a future revision")?;
    history(p).await?;
    for (revision, physical) in [(5, true), (5, true), (4, false), (0, false), (-1, false)] {
        p.compact(revision, physical).await?;
    }
    for revision in [18, i64::MAX, i64::MIN, 17, 17] {
        p.compact(revision, true).await?;
    }
    p.put("a", "after").await?;
    p.hash(0).await?;
    Ok(())
}

/// The compact revision of a fresh store is -1, so 0 works once.
async fn zero_once(p: &mut Player) -> Played {
    let outcome = p.compact(0, true).await?;
    p.must(&outcome)?;
    let outcome = p.compact(0, true).await?;
    p.refused(&outcome, "required revision has been compacted")?;
    history(p).await?;
    let outcome = p.compact(1, true).await?;
    p.must(&outcome)
}

async fn reads_around(p: &mut Player) -> Played {
    history(p).await?;
    for at in [3, 6, 9, 13, 17] {
        let outcome = p.compact(at, at % 2 == 1).await?;
        p.must(&outcome)?;
        for revision in 1..19 {
            let read = pb::RangeRequest {
                revision,
                ..range_fields("a", "z")
            };
            p.send(Request::Range(read.clone())).await?;
            p.send(Request::RangeStream(read.clone())).await?;
            p.send(Request::Range(pb::RangeRequest {
                count_only: true,
                ..read
            }))
            .await?;
        }
        p.send(Request::Range(range_fields("a", "z"))).await?;
    }
    Ok(())
}

/// A tombstone at exactly the compact revision is kept: a watch from there still gets it.
async fn tombstone_at_the_revision(p: &mut Player) -> Played {
    p.put("a", "1").await?;
    p.put("b", "1").await?;
    p.delete("a", "").await?;
    let outcome = p.compact(4, true).await?;
    p.must(&outcome)?;
    let from = |start_revision, prev_kv| pb::WatchCreateRequest {
        start_revision,
        prev_kv,
        ..create("a", "z")
    };
    p.watch(1, from(4, false)).await?;
    p.watch(1, from(4, true)).await?;
    p.watch(2, from(3, false)).await?;
    p.watch(3, from(5, true)).await?;
    p.put("a", "2").await?;
    p.pair.settle().await?;
    p.hash(4).await?;
    p.hash(0).await?;
    Ok(())
}

/// The value of every revision before and after compactions, some of them answered from what a
/// compaction left.
async fn hashes(p: &mut Player) -> Played {
    p.grant(11, 900).await?;
    p.send(Request::Put(pb::PutRequest {
        lease: 11,
        ..put_fields("leased", "1")
    }))
    .await?;
    history(p).await?;
    for revision in -1..20 {
        p.hash(revision).await?;
    }
    for at in [4, 6, 10, 14, 18] {
        let outcome = p.compact(at, true).await?;
        p.must(&outcome)?;
        for revision in 1..20 {
            p.hash(revision).await?;
        }
    }
    p.hash(0).await?;
    Ok(())
}

/// More versions of one key than any list in memory likes, read at many of them.
async fn many_versions(p: &mut Player) -> Played {
    for at in 0..300 {
        p.put("hot", &at.to_string()).await?;
    }
    p.delete("hot", "").await?;
    p.put("hot", "reborn").await?;
    for compact in [0, 150] {
        if compact > 0 {
            p.compact(compact, true).await?;
        }
        for revision in [2, 3, 50, 149, 150, 151, 299, 300, 301, 302, 303] {
            p.send(Request::Range(pb::RangeRequest {
                revision,
                ..range_fields("hot", "")
            }))
            .await?;
        }
    }
    p.hash(0).await?;
    Ok(())
}

/// Automatic compaction by revision looks every five minutes: nothing may happen before.
async fn by_revision(p: &mut Player) -> Played {
    history(p).await?;
    p.send(Request::Range(pb::RangeRequest {
        revision: 2,
        ..range_fields("a", "")
    }))
    .await?;
    Ok(())
}
