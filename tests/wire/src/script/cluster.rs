use std::time::Duration;

use mainstay_proto::etcdserverpb as pb;

use crate::normalise::FIRST_MEMBER;
use crate::player::{Played, Player, create, put_fields, range_fields};
use crate::request::Request;
use crate::script::scripts;

scripts! { members_of_three(3) members_of_one move_leader(3) move_leader_alone
downgrade downgrade_of_three(3) every_member_answers(3) watch_on_a_follower(3) five_members(5)
bad_peer_urls(3) learners(3) more_learners(3, "--max-learners=2") updates(3) unstarted_voters(3)
alone_and_one_more without_strictness(3, "--strict-reconfig-check=false") last_member }

/// etcd wants members to have been in touch for five seconds before it adds or removes one.
const IN_TOUCH: Duration = Duration::from_millis(6500);

fn members(linearizable: bool) -> Request {
    Request::MemberList(pb::MemberListRequest { linearizable })
}

fn add(url: &str, is_learner: bool) -> Request {
    Request::MemberAdd(pb::MemberAddRequest {
        peer_ur_ls: vec![url.to_owned()],
        is_learner,
    })
}

fn remove(at: u64) -> Request {
    let id = FIRST_MEMBER + at;
    Request::MemberRemove(pb::MemberRemoveRequest { id })
}

fn promote(at: u64) -> Request {
    let id = FIRST_MEMBER + at;
    Request::MemberPromote(pb::MemberPromoteRequest { id })
}

fn update(at: u64, urls: &[&str]) -> Request {
    Request::MemberUpdate(pb::MemberUpdateRequest {
        id: FIRST_MEMBER + at,
        peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
    })
}

fn move_to(target_id: u64) -> Request {
    Request::MoveLeader(pb::MoveLeaderRequest { target_id })
}

async fn members_of_three(p: &mut Player) -> Played {
    for member in 0..3 {
        p.send_to(member, members(true)).await?;
        p.send_to(member, members(false)).await?;
        p.send_to(member, Request::Status).await?;
    }
    Ok(())
}

async fn members_of_one(p: &mut Player) -> Played {
    p.send(members(true)).await?;
    p.send(members(false)).await?;
    p.send(Request::Status).await?;
    Ok(())
}

async fn move_leader(p: &mut Player) -> Played {
    p.put("before", "1").await?;
    let outcome = p.send_to(1, move_to(FIRST_MEMBER + 1)).await?;
    p.refused(&outcome, "not leader")?;
    let outcome = p.send_to(0, move_to(12_345)).await?;
    p.refused(&outcome, "bad leader transferee")?;
    let outcome = p.send_to(0, move_to(0)).await?;
    p.refused(&outcome, "bad leader transferee")?;
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 0)] {
        let outcome = p.send_to(from, move_to(FIRST_MEMBER + to)).await?;
        p.must(&outcome)?;
        for member in 0..3 {
            let put = put_fields(&format!("led by {to}"), &member.to_string());
            let outcome = p.send_to(member, Request::Put(put)).await?;
            p.must(&outcome)?;
        }
    }
    Ok(())
}

fn job(action: i32, version: &str) -> Request {
    Request::Downgrade(pb::DowngradeRequest {
        action,
        version: version.to_owned(),
    })
}

const VALIDATE: i32 = 0;
const ENABLE: i32 = 1;
const CANCEL: i32 = 2;

async fn downgrade(p: &mut Player) -> Played {
    p.until_storage_version("3.7.0").await?;
    for version in ["3.6", "3.6.4", "3.6.0"] {
        let outcome = p.send(job(VALIDATE, version)).await?;
        p.must(&outcome)?;
    }
    for version in ["3.7", "3.5", "3.8", "2.6", "4.6"] {
        let outcome = p.send(job(VALIDATE, version)).await?;
        p.refused(&outcome, "invalid downgrade target version")?;
        p.send(job(ENABLE, version)).await?;
    }
    for version in ["", "v3.6", "x", "3", "3.6.0.0", "3.6-rc.1"] {
        let outcome = p.send(job(ENABLE, version)).await?;
        p.refused(&outcome, "wrong downgrade target version format")?;
        p.send(job(VALIDATE, version)).await?;
    }
    // Without a job it succeeds, whatever version it names.
    p.send(job(CANCEL, "nonsense")).await?;
    let outcome = p.send(job(7, "3.6")).await?;
    p.refused(&outcome, "unknown method")?;

    p.send(job(ENABLE, "3.6")).await?;
    p.send(Request::Status).await?;
    p.until_storage_version("3.6.0").await?;
    p.send(Request::Status).await?;
    // Seen from 3.6, only 3.5 lies one below.
    let outcome = p.send(job(VALIDATE, "3.6")).await?;
    p.refused(&outcome, "invalid downgrade target version")?;
    let outcome = p.send(job(ENABLE, "3.5")).await?;
    p.refused(&outcome, "cluster has a downgrade job in progress")?;
    p.put("a", "1").await?;
    p.send(job(CANCEL, "")).await?;
    p.send(Request::Status).await?;
    p.until_storage_version("3.7.0").await?;
    let outcome = p.send(job(VALIDATE, "3.6")).await?;
    p.must(&outcome)?;
    p.get("a").await?;
    Ok(())
}

async fn downgrade_of_three(p: &mut Player) -> Played {
    p.until_storage_version("3.7.0").await?;
    let outcome = p.send_to(1, job(ENABLE, "3.6")).await?;
    p.must(&outcome)?;
    for member in 0..3 {
        p.send_to(member, Request::Status).await?;
    }
    p.until_storage_version("3.6.0").await?;
    let outcome = p.send_to(2, job(CANCEL, "3.6")).await?;
    p.must(&outcome)?;
    p.until_storage_version("3.7.0").await?;
    p.put("a", "1").await?;
    Ok(())
}

async fn move_leader_alone(p: &mut Player) -> Played {
    for target in [FIRST_MEMBER, 0, 12_345] {
        p.send(move_to(target)).await?;
    }
    Ok(())
}

/// What one member acknowledged is read from each other one at once.
async fn every_member_answers(p: &mut Player) -> Played {
    for round in 0..30 {
        let value = round.to_string();
        p.send_to(round % 3, Request::Put(put_fields("k", &value)))
            .await?;
        for member in 0..3 {
            p.send_to(member, Request::Range(range_fields("k", "")))
                .await?;
        }
    }
    for member in 0..3 {
        p.send_to(member, Request::HashKv(pb::HashKvRequest { revision: 0 }))
            .await?;
        let local = pb::RangeRequest {
            serializable: true,
            ..range_fields("k", "")
        };
        p.send_to(member, Request::Range(local)).await?;
        p.send_to(member, Request::RangeStream(range_fields("\0", "\0")))
            .await?;
        p.send_to(member, Request::Defragment).await?;
        p.send_to(member, Request::Hash).await?;
    }
    let compact = pb::CompactionRequest {
        revision: 20,
        physical: true,
    };
    p.send_to(2, Request::Compact(compact)).await?;
    for member in 0..3 {
        let old = pb::RangeRequest {
            revision: 19,
            ..range_fields("k", "")
        };
        p.send_to(member, Request::Range(old)).await?;
    }
    Ok(())
}

/// Stream 1 is on the second member, stream 2 on the third.
async fn watch_on_a_follower(p: &mut Player) -> Played {
    for stream in 1..=3 {
        p.watch(
            stream,
            pb::WatchCreateRequest {
                prev_kv: true,
                ..create("k", "l")
            },
        )
        .await?;
    }
    for round in 0..30 {
        p.send_to(round % 3, Request::Put(put_fields("k", &round.to_string())))
            .await?;
    }
    for stream in 1..=3 {
        p.send(Request::WatchProgress { stream }).await?;
        let past = pb::WatchCreateRequest {
            start_revision: 2,
            ..create("k", "l")
        };
        p.watch(stream, past).await?;
    }
    p.delete("k", "l").await?;
    Ok(())
}

async fn five_members(p: &mut Player) -> Played {
    for member in 0..5 {
        p.send_to(member, Request::Put(put_fields("k", &member.to_string())))
            .await?;
        p.send_to(4 - member, Request::Range(range_fields("k", "")))
            .await?;
        p.send_to(member, members(true)).await?;
    }
    Ok(())
}

async fn bad_peer_urls(p: &mut Player) -> Played {
    let none = Request::MemberAdd(pb::MemberAddRequest::default());
    let outcome = p.send(none).await?;
    p.refused(&outcome, "given member URLs are invalid")?;
    for url in [
        "",
        "a:1",
        "127.0.0.1:2380",
        "http://127.0.0.1",
        "http://127.0.0.1:1/",
        "http://127.0.0.1:1/path",
        "http://::1:2380",
        "http://127.0.0.1:x",
        "ftp://127.0.0.1:1",
        "://",
    ] {
        for member in 0..2 {
            let outcome = p.send_to(member, add(url, member == 1)).await?;
            p.refused(&outcome, "given member URLs are invalid")?;
        }
    }
    Ok(())
}

/// A learner that never starts: refused promotion, one at a time, and gone for good.
async fn learners(p: &mut Player) -> Played {
    p.sleep(IN_TOUCH).await;
    for url in ["peer-url-0", "peer-url-2"] {
        let outcome = p.send(add(url, true)).await?;
        p.refused(&outcome, "Peer URLs already exists")?;
    }
    let outcome = p.send_to(1, add("http://127.0.0.1:1", true)).await?;
    p.must(&outcome)?;
    for member in 0..3 {
        p.send_to(member, members(true)).await?;
        let outcome = p.send_to(member, add("http://127.0.0.1:2", true)).await?;
        p.refused(&outcome, "too many learner members in cluster")?;
        let outcome = p.send_to(member, promote(3)).await?;
        p.refused(&outcome, "in sync with leader")?;
        let outcome = p.send_to(member, promote(1)).await?;
        p.refused(&outcome, "can only promote a learner member")?;
        let outcome = p.send_to(member, promote(500)).await?;
        p.refused(&outcome, "member not found")?;
        let outcome = p.send_to(member, remove(500)).await?;
        p.refused(&outcome, "member not found")?;
    }
    let outcome = p.send(move_to(FIRST_MEMBER + 3)).await?;
    p.refused(&outcome, "bad leader transferee")?;
    p.put("with a learner", "1").await?;
    let outcome = p.send_to(2, remove(3)).await?;
    p.must(&outcome)?;
    for change in [remove(3), promote(3), update(3, &["http://127.0.0.1:9"])] {
        let outcome = p.send_to(1, change).await?;
        p.refused(&outcome, "member not found")?;
    }
    p.send(members(true)).await?;
    let outcome = p.send(add("http://127.0.0.1:3", true)).await?;
    p.must(&outcome)?;
    p.send(members(true)).await.map(drop)
}

async fn more_learners(p: &mut Player) -> Played {
    p.sleep(IN_TOUCH).await;
    for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
        let outcome = p.send(add(url, true)).await?;
        p.must(&outcome)?;
    }
    let outcome = p.send(add("http://127.0.0.1:3", true)).await?;
    p.refused(&outcome, "too many learner members in cluster")?;
    p.send(members(true)).await.map(drop)
}

async fn updates(p: &mut Player) -> Played {
    p.sleep(IN_TOUCH).await;
    let outcome = p.send(update(1, &["peer-url-1"])).await?;
    p.must(&outcome)?;
    let outcome = p.send(update(1, &["peer-url-2"])).await?;
    p.refused(&outcome, "Peer URLs already exists")?;
    let outcome = p.send(update(500, &["http://127.0.0.1:1"])).await?;
    p.refused(&outcome, "member not found")?;
    let outcome = p.send(add("http://127.0.0.1:1", true)).await?;
    p.must(&outcome)?;
    let both = ["http://127.0.0.1:3", "http://127.0.0.1:2"];
    let outcome = p.send_to(2, update(3, &both)).await?;
    p.must(&outcome)?;
    for member in 0..3 {
        p.send_to(member, members(true)).await?;
    }
    p.put("after", "1").await.map(drop)
}

/// Voters that never start: two may be added to three, no more; three go on working.
async fn unstarted_voters(p: &mut Player) -> Played {
    p.sleep(IN_TOUCH).await;
    for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
        let outcome = p.send_to(1, add(url, false)).await?;
        p.must(&outcome)?;
        p.send(members(true)).await?;
        p.put("beside those who never start", "1").await?;
    }
    let outcome = p.send(add("http://127.0.0.1:3", false)).await?;
    p.refused(&outcome, "not enough started members")?;
    let outcome = p.send(add("http://127.0.0.1:3", true)).await?;
    p.refused(&outcome, "unhealthy cluster")?;
    let outcome = p.send(promote(3)).await?;
    p.refused(&outcome, "in sync with leader")?;
    let outcome = p.send(remove(0)).await?;
    p.refused(&outcome, "not enough started members")?;
    for at in [4, 3] {
        let outcome = p.send_to(2, remove(at)).await?;
        p.must(&outcome)?;
        p.send(members(true)).await?;
    }
    p.put("after", "1").await.map(drop)
}

/// A cluster of one may add a second at once.
async fn alone_and_one_more(p: &mut Player) -> Played {
    let outcome = p.send(add("http://127.0.0.1:1", true)).await?;
    p.must(&outcome)?;
    p.send(members(false)).await?;
    let outcome = p.send(remove(1)).await?;
    p.must(&outcome)?;
    let outcome = p.send(add("http://127.0.0.1:3", false)).await?;
    p.must(&outcome)?;
    let outcome = p.send(add("http://127.0.0.1:2", false)).await?;
    p.refused(&outcome, "not enough started members")?;
    let outcome = p.send(add("http://127.0.0.1:2", true)).await?;
    p.refused(&outcome, "unhealthy cluster")?;
    p.send(members(false)).await.map(drop)
}

async fn without_strictness(p: &mut Player) -> Played {
    for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
        let outcome = p.send(add(url, false)).await?;
        p.must(&outcome)?;
    }
    p.send(members(true)).await?;
    let outcome = p.send(remove(4)).await?;
    p.must(&outcome)?;
    let outcome = p.send(add("http://127.0.0.1:3", true)).await?;
    p.must(&outcome)?;
    p.send(members(true)).await?;
    p.put("after", "1").await.map(drop)
}

async fn last_member(p: &mut Player) -> Played {
    let outcome = p.send(remove(0)).await?;
    p.refused(&outcome, "not enough started members")?;
    p.put("after", "1").await.map(drop)
}
