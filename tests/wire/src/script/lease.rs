use mainstay_proto::etcdserverpb as pb;

use crate::player::{Played, Player, create, put_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { times_to_live ids attach_and_detach revoke_is_one_revision expiry_is_one_revision
keep_alive order_of_leases keep_alive_through_followers(3)
longer_elections(1, "--heartbeat-interval=300", "--election-timeout=3000") }

fn revoke(id: i64) -> Request {
    Request::LeaseRevoke(pb::LeaseRevokeRequest { id })
}

fn beat(ids: &[i64]) -> Request {
    Request::LeaseKeepAlive(
        ids.iter()
            .map(|id| pb::LeaseKeepAliveRequest { id: *id })
            .collect(),
    )
}

fn attach(key: &str, lease: i64) -> Request {
    Request::Put(pb::PutRequest {
        lease,
        ..put_fields(key, "v")
    })
}

/// The least TTL follows from the election timeout; the greatest is a constant.
async fn times_to_live(p: &mut Player) -> Played {
    for (at, ttl) in [0, -1, i64::MIN, 1, 2, 3, 60].into_iter().enumerate() {
        let id = at as i64 + 1;
        let outcome = p.grant(id, ttl).await?;
        p.must(&outcome)?;
        p.send(revoke(id)).await?;
    }
    let outcome = p.grant(20, 9_000_000_000).await?;
    p.must(&outcome)?;
    let outcome = p.grant(20, 9_000_000_001).await?;
    p.refused(&outcome, "too large lease TTL")?;
    p.grant(0, i64::MAX).await?;
    Ok(())
}

async fn longer_elections(p: &mut Player) -> Played {
    for ttl in [1, 4, 5, 6] {
        p.grant(ttl, ttl).await?;
        p.send(revoke(ttl)).await?;
    }
    Ok(())
}

async fn ids(p: &mut Player) -> Played {
    for id in [1, -1, i64::MAX, i64::MIN, 1] {
        p.grant(id, 600).await?;
    }
    for _ in 0..3 {
        let outcome = p.grant(0, 600).await?;
        p.must(&outcome)?;
        p.time_to_live(outcome.lease).await?;
        p.send(attach("of a chosen lease", outcome.lease)).await?;
        p.get("of a chosen lease").await?;
    }
    for id in [0, 5, -5] {
        p.time_to_live(id).await?;
        p.send(beat(&[id])).await?;
        let outcome = p.send(revoke(id)).await?;
        p.refused(&outcome, "requested lease not found")?;
        let outcome = p.send(attach("a", id + 1000)).await?;
        p.refused(&outcome, "requested lease not found")?;
    }
    p.send(Request::LeaseLeases).await?;
    Ok(())
}

async fn attach_and_detach(p: &mut Player) -> Played {
    p.grant(1, 600).await?;
    p.grant(2, 600).await?;
    for key in ["c", "a", "b", "a"] {
        p.send(attach(key, 1)).await?;
    }
    p.time_to_live(1).await?;
    p.send(attach("a", 2)).await?;
    p.put("b", "free").await?;
    p.send(Request::Put(pb::PutRequest {
        ignore_lease: true,
        ..put_fields("c", "kept")
    }))
    .await?;
    p.time_to_live(1).await?;
    p.time_to_live(2).await?;
    p.delete("a", "").await?;
    p.time_to_live(2).await?;
    p.send(revoke(2)).await?;
    p.send(revoke(1)).await?;
    p.send(crate::player::range("\0", "\0")).await?;
    p.hash(0).await?;
    Ok(())
}

async fn revoke_is_one_revision(p: &mut Player) -> Played {
    p.watch(
        1,
        pb::WatchCreateRequest {
            prev_kv: true,
            ..create("k", "l")
        },
    )
    .await?;
    p.grant(1, 600).await?;
    p.send(revoke(1)).await?;
    p.grant(1, 600).await?;
    for key in ["k9", "k1", "k5", "k\u{ff}", "k"] {
        p.send(attach(key, 1)).await?;
    }
    p.send(revoke(1)).await?;
    p.get("k1").await?;
    let outcome = p.send(revoke(1)).await?;
    p.refused(&outcome, "requested lease not found")?;
    p.hash(0).await?;
    Ok(())
}

async fn expiry_is_one_revision(p: &mut Player) -> Played {
    p.watch(
        1,
        pb::WatchCreateRequest {
            prev_kv: true,
            ..create("k", "l")
        },
    )
    .await?;
    p.grant(1, 3).await?;
    for key in ["k9", "k1", "k5"] {
        p.send(attach(key, 1)).await?;
    }
    p.until_revision(5).await?;
    p.time_to_live(1).await?;
    p.send(beat(&[1])).await?;
    p.get("k1").await?;
    p.hash(0).await?;
    Ok(())
}

async fn keep_alive(p: &mut Player) -> Played {
    p.grant(1, 600).await?;
    p.grant(2, 900).await?;
    p.send(beat(&[])).await?;
    p.send(beat(&[1, 2, 3, 1, 0, -1, 2])).await?;
    p.time_to_live(1).await?;
    Ok(())
}

/// Those whose end is nearest come first, however they were granted.
async fn order_of_leases(p: &mut Player) -> Played {
    for (id, ttl) in [(1, 5000), (2, 100), (3, 80_000), (4, 1000)] {
        p.grant(id, ttl).await?;
    }
    p.pair.order_of_leases().await
}

async fn keep_alive_through_followers(p: &mut Player) -> Played {
    p.grant(1, 600).await?;
    for member in 0..3 {
        p.send_to(member, beat(&[1, 9])).await?;
        let ask = pb::LeaseTimeToLiveRequest { id: 1, keys: true };
        p.send_to(member, Request::LeaseTimeToLive(ask)).await?;
        p.send_to(member, Request::LeaseLeases).await?;
        let id = 10 + member as i64;
        p.send_to(
            member,
            Request::LeaseGrant(pb::LeaseGrantRequest { ttl: 600, id }),
        )
        .await?;
        p.send_to((member + 1) % 3, attach("k", id)).await?;
        p.send_to((member + 2) % 3, revoke(id)).await?;
    }
    Ok(())
}
