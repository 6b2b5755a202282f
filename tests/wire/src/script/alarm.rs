use mainstay_proto::etcdserverpb::{self as pb, alarm_request::AlarmAction};

use crate::normalise::FIRST_MEMBER;
use crate::player::{Played, Player, put_fields, range};
use crate::request::Request;
use crate::script::scripts;

scripts! { no_space corrupt bookkeeping full_by_writing(1, "--quota-backend-bytes=33554432")
on_every_member(3) }

fn alarm(action: AlarmAction, member_id: u64, kind: i32) -> Request {
    Request::Alarm(pb::AlarmRequest {
        action: action as i32,
        member_id,
        alarm: kind,
    })
}

/// One request of every kind, so that what an alarm stops and what it lets through shows.
async fn everything(p: &mut Player) -> Played {
    let get = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestRange(
            crate::player::range_fields("a", ""),
        )),
    };
    let put = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(put_fields("t", "1"))),
    };
    let delete = pb::DeleteRangeRequest {
        key: "t".into(),
        ..Default::default()
    };
    let delete = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestDeleteRange(delete)),
    };
    p.get("a").await?;
    p.put("a", "2").await?;
    p.put("", "2").await?;
    for (success, failure) in [
        (vec![get.clone()], vec![]),
        (vec![put.clone()], vec![]),
        (vec![get.clone()], vec![put]),
        (vec![delete], vec![]),
        (vec![], vec![]),
    ] {
        p.txn(pb::TxnRequest {
            success,
            failure,
            ..Default::default()
        })
        .await?;
    }
    p.delete("b", "").await?;
    p.send(Request::RangeStream(crate::player::range_fields(
        "\0", "\0",
    )))
    .await?;
    p.grant(50, 600).await?;
    p.send(Request::LeaseRevoke(pb::LeaseRevokeRequest { id: 1 }))
        .await?;
    p.send(Request::LeaseKeepAlive(vec![pb::LeaseKeepAliveRequest {
        id: 2,
    }]))
    .await?;
    p.time_to_live(2).await?;
    p.send(Request::LeaseLeases).await?;
    p.compact(p.pair.world.compacted.max(0) + 1, true).await?;
    p.hash(0).await?;
    p.send(Request::Hash).await?;
    p.send(Request::Defragment).await?;
    p.send(Request::Status).await?;
    p.send(Request::MemberList(pb::MemberListRequest {
        linearizable: true,
    }))
    .await?;
    p.watch(1, crate::player::create("a", "")).await?;
    p.send(Request::WatchProgress { stream: 1 }).await?;
    p.send(alarm(AlarmAction::Get, 0, 0)).await?;
    Ok(())
}

async fn stretch(p: &mut Player, kind: i32) -> Played {
    p.put("a", "1").await?;
    p.put("b", "1").await?;
    p.grant(1, 600).await?;
    p.grant(2, 600).await?;
    p.send(alarm(AlarmAction::Activate, FIRST_MEMBER, kind))
        .await?;
    everything(p).await?;
    p.send(alarm(AlarmAction::Deactivate, FIRST_MEMBER, kind))
        .await?;
    everything(p).await
}

async fn no_space(p: &mut Player) -> Played {
    stretch(p, pb::AlarmType::Nospace as i32).await?;
    p.send(range("\0", "\0")).await?;
    Ok(())
}

async fn corrupt(p: &mut Player) -> Played {
    stretch(p, pb::AlarmType::Corrupt as i32).await
}

async fn bookkeeping(p: &mut Player) -> Played {
    use AlarmAction::{Activate, Deactivate, Get};
    for (action, member, kind) in [
        (Get, 0, 0),
        (Deactivate, 0, 1),
        (Activate, 5, 0),
        (Activate, 5, 1),
        (Activate, 5, 1),
        (Activate, 6, 2),
        (Activate, 0, 1),
        (Get, 0, 0),
        (Get, 5, 1),
        (Get, 5, 2),
        (Get, 77, 7),
        (Deactivate, 0, 2),
        (Deactivate, 5, 2),
        (Deactivate, 5, 0),
        (Activate, 8, 9),
        (Get, 0, 9),
        (Get, 0, 0),
        (Deactivate, 8, 9),
        (Deactivate, 5, 1),
        (Deactivate, 0, 1),
        (Deactivate, 6, 2),
        (Get, 0, 0),
    ] {
        p.send(alarm(action, member, kind)).await?;
        p.send(Request::Status).await?;
    }
    p.put("a", "works again").await?;
    Ok(())
}

/// Writing until the quota is full. At which put that happens depends on how each product lays
/// records out, so only the way there and back is compared: fill, refuse, compact, defragment,
/// disarm, put.
async fn full_by_writing(p: &mut Player) -> Played {
    let value = "v".repeat(1 << 20);
    p.pair.until_refused("fill", value.into(), 64).await?;
    p.pair.alarms().await?;
    p.pair.delete_and_compact("fill").await?;
    p.pair.defragment_and_disarm().await?;
    p.pair.alarms().await?;
    p.pair.puts_work("after").await
}

async fn on_every_member(p: &mut Player) -> Played {
    for member in 0..3 {
        let id = FIRST_MEMBER + member as u64;
        p.send_to(member, alarm(AlarmAction::Activate, id, 1))
            .await?;
        for asked in 0..3 {
            p.send_to(asked, Request::Put(put_fields("a", "1"))).await?;
            p.send_to(asked, alarm(AlarmAction::Get, 0, 0)).await?;
            p.send_to(asked, Request::Status).await?;
        }
    }
    for member in 0..3 {
        let id = FIRST_MEMBER + member as u64;
        p.send_to(2 - member, alarm(AlarmAction::Deactivate, id, 1))
            .await?;
    }
    p.put("a", "2").await?;
    Ok(())
}
