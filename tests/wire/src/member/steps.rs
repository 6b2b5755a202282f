use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};

use super::discovery;
use super::records;
use super::site::Site;
use crate::ports::free_port;

/// Steps taken on one side, as a value that a table can hold.
pub type Steps = for<'a> fn(&'a mut Site) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Name, members to begin with, and what is done.
pub const ALL: &[(&str, usize, Steps)] = &[
    ("learner from add to removal", 3, |site| {
        Box::pin(learner(site))
    }),
    ("voters added to one", 1, |site| Box::pin(voters(site))),
    ("removed while it was down", 3, |site| {
        Box::pin(while_down(site))
    }),
    ("the leader removes itself", 3, |site| {
        Box::pin(leader(site))
    }),
    ("listed before it has been up", 1, |site| {
        Box::pin(not_yet_up(site))
    }),
    ("joining what has not added it", 1, |site| {
        Box::pin(stranger(site))
    }),
    ("moving to another address", 3, |site| {
        Box::pin(address(site))
    }),
    ("one survivor makes a new cluster", 3, |site| {
        Box::pin(survivor(site))
    }),
    ("a list kept by another cluster", 1, discovery::registry),
    (
        "a list kept over TLS for a user",
        1,
        discovery::secure_registry,
    ),
    (records::PLAIN, 1, records::plain),
    (records::OVER_TLS, 1, records::over_tls),
];

/// Longer than the time after which a step of no avail would have had an effect.
const MOMENT: Duration = Duration::from_secs(2);

/// add, start with the printed variables, list, refusals of a learner, promote, remove.
async fn learner(site: &mut Site) -> Result<()> {
    site.ctl(0, &["put", "before", "1"]).await?;
    let at = site.add(0, true).await?;
    site.until_shows(0, &["member", "list"], ", m3, ").await?;
    site.until_shows(at, &["get", "before", "--consistency=s"], "before")
        .await?;
    site.show(0, &["member", "list"]).await?;
    for args in [
        &["put", "a", "b"][..],
        &["get", "before"],
        &["get", "before", "--consistency=s"],
        &["member", "list"],
        &["lease", "grant", "60"],
        &["alarm", "list"],
        &["compaction", "1"],
        &["move-leader", "1234"],
        &["endpoint", "hashkv"],
        &["member", "add", "x", "--peer-urls=http://127.0.0.1:1"],
        &["member", "remove", "1234"],
        &["member", "promote", "1234"],
        &["member", "update", "1234", "--peer-urls=http://127.0.0.1:1"],
    ] {
        site.show(at, args).await?;
    }
    for path in [
        "/health",
        "/livez?verbose",
        "/readyz",
        "/readyz/non_learner",
    ] {
        site.page(at, path).await?;
    }
    let id = id_of(site, "m3").await?;
    let leader = site.leader().await?;
    let moved = site.ctl(leader, &["move-leader", &id]).await?;
    site.note(&format!("moving the lead to a learner: {}", moved.text));
    site.until_done(0, &["member", "promote", &id]).await?;
    site.show(0, &["member", "list"]).await?;
    site.until_done(at, &["put", "after", "2"]).await?;
    site.show(at, &["get", "", "--prefix"]).await?;
    site.show(1, &["member", "promote", &id]).await?;
    site.page(at, "/readyz/non_learner").await?;
    site.until_done(1, &["member", "remove", &id]).await?;
    site.end_of(at).await?;
    site.show(0, &["member", "list"]).await?;
    site.show(0, &["member", "remove", &id]).await?;
    site.peer(at).restart()?;
    // At a start on old data etcd ends with 0 or 1, as it happens.
    site.gone(at).await?;
    site.show(2, &["get", "", "--prefix"]).await.map(drop)
}

async fn id_of(site: &Site, name: &str) -> Result<String> {
    let listed = site.ctl(0, &["member", "list"]).await?;
    let found = listed
        .text
        .lines()
        .find(|line| line.contains(&format!(", {name}, ")));
    let id = found.and_then(|line| line.split(", ").next());
    Ok(id
        .with_context(|| format!("{name} is not listed"))?
        .to_owned())
}

/// One grows to three by voters, and what was written is on each.
async fn voters(site: &mut Site) -> Result<()> {
    site.ctl(0, &["put", "k", "v"]).await?;
    for at in [1, 2] {
        let added = site.add(0, false).await?;
        site.until_done(added, &["get", "k"]).await?;
        site.show(added, &["get", "k"]).await?;
        site.show(0, &["member", "list"]).await?;
        site.until_done(at, &["put", "k", &format!("v{at}")])
            .await?;
    }
    for at in 0..3 {
        site.show(at, &["get", "k"]).await?;
    }
    // All three count: with two of them gone nothing is written.
    site.peer(0).kill().await?;
    site.until_done(1, &["put", "k", "two of three"]).await?;
    site.peer(2).kill().await?;
    let alone = site.ctl(1, &["put", "k", "one of three"]).await?;
    site.note(&format!("one of three writes: {}", alone.code == Some(0)));
    site.peer(2).restart()?;
    site.until_done(1, &["put", "k", "two again"])
        .await
        .map(drop)
}

/// A member that was down when it was removed learns it from the others at its next start.
async fn while_down(site: &mut Site) -> Result<()> {
    let id = id_of(site, "m2").await?;
    site.peer(2).kill().await?;
    site.until_done(0, &["member", "remove", &id]).await?;
    site.peer(2).restart()?;
    // As above: with any code.
    site.gone(2).await?;
    site.show(0, &["member", "list"]).await?;
    site.show(1, &["put", "still", "writes"]).await.map(drop)
}

async fn leader(site: &mut Site) -> Result<()> {
    let leader = site.leader().await?;
    let id = id_of(site, &format!("m{leader}")).await?;
    // Refused until members have been in touch; and etcd may be gone before it has answered.
    while !site.is_gone(leader)? {
        site.ctl(leader, &["member", "remove", &id]).await?;
    }
    let other = (leader + 1) % 3;
    site.until_done(other, &["put", "k", "v"]).await?;
    let listed = site.ctl(other, &["member", "list"]).await?;
    site.note(&format!("{} are left", listed.text.lines().count()));
    Ok(())
}

/// A member that nobody has added, and one that names other members than there are.
async fn stranger(site: &mut Site) -> Result<()> {
    let known = site.cluster.peers[0].peer_port;
    let ports = (free_port()?, free_port()?);
    let binary = site.binary().to_owned();
    site.cluster.seat(&binary, "m1".into(), ports);
    let own = format!("http://127.0.0.1:{}", ports.1);
    let client = format!("http://127.0.0.1:{}", ports.0);
    let list = format!("--initial-cluster=m0=http://127.0.0.1:{known},m1={own}");
    site.peer(1).set_flags([
        "--name=m1".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={own}"),
        format!("--initial-advertise-peer-urls={own}"),
        list,
        "--initial-cluster-state=existing".to_owned(),
    ]);
    site.peer(1).restart()?;
    site.end_of(1).await?;
    site.note_log(1, &["error validating peerURLs", "member count is unequal"]);
    // Added under another URL than the one it comes with.
    site.until_done(
        0,
        &[
            "member",
            "add",
            "m1",
            "--peer-urls=http://127.0.0.1:1",
            "--learner",
        ],
    )
    .await?;
    site.peer(1).restart()?;
    site.end_of(1).await?;
    site.note_log(1, &["PeerURLs: no match found for existing member"]);
    let nobody = format!("--initial-cluster=m0=http://127.0.0.1:1,m1={own}");
    site.peer(1).set_flags([nobody]);
    site.peer(1).restart()?;
    site.end_of(1).await?;
    site.note_log(1, &["cannot fetch cluster info from peer urls"]);
    site.show(0, &["put", "still", "writes"]).await.map(drop)
}

/// A follower stops, gets another peer URL, and starts there with its data.
async fn address(site: &mut Site) -> Result<()> {
    let leader = site.leader().await?;
    let moved = (leader + 1) % 3;
    let id = id_of(site, &format!("m{moved}")).await?;
    site.peer(moved).kill().await?;
    let url = format!("http://127.0.0.1:{}", free_port()?);
    site.until_done(
        leader,
        &["member", "update", &id, &format!("--peer-urls={url}")],
    )
    .await?;
    site.peer(moved)
        .set_flags([format!("--listen-peer-urls={url}")]);
    site.peer(moved).restart()?;
    site.until_done(moved, &["put", "moved", "yes"]).await?;
    // It must count: the third goes, and two are a quorum.
    site.peer((leader + 2) % 3).kill().await?;
    site.until_done(moved, &["put", "counts", "yes"]).await?;
    let listed = site.ctl(leader, &["member", "list"]).await?;
    site.note(&format!(
        "its url is listed: {}",
        listed.text.contains(&url)
    ));
    let kept = site.ctl(leader, &["get", "", "--prefix"]).await?;
    site.note(&kept.text);
    Ok(())
}

/// Two of three are lost for good. The third makes a cluster of its own and keeps its data.
async fn survivor(site: &mut Site) -> Result<()> {
    for number in 0..20 {
        site.ctl(number % 3, &["put", &format!("k{number:02}"), "v"])
            .await?;
    }
    site.until_shows(0, &["get", "k09", "--consistency=s"], "k09")
        .await?;
    for at in 0..3 {
        site.peer(at).kill().await?;
    }
    site.peer(0).set_flags(["--force-new-cluster".to_owned()]);
    site.peer(0).restart()?;
    site.until_done(0, &["get", "k00"]).await?;
    site.show(0, &["member", "list"]).await?;
    // What was written last may not be known as committed here, and etcd drops it then.
    site.show(0, &["get", "k0", "--prefix", "--keys-only"])
        .await?;
    site.until_done(0, &["put", "after", "1"]).await?;
    site.peer(0).kill().await?;
    site.peer(0).drop_flag("--force-new-cluster");
    site.peer(0).restart()?;
    site.until_done(0, &["put", "after", "2"]).await?;
    site.show(0, &["get", "after"]).await?;
    // The lost ones are none of it any more.
    site.peer(1).restart()?;
    tokio::time::sleep(MOMENT).await;
    site.show(0, &["member", "list"]).await?;
    let added = site.add(0, false).await?;
    site.until_done(added, &["get", "after"]).await.map(drop)
}

/// Three form a cluster of their own, of which one comes late: all know its name from the start.
async fn not_yet_up(site: &mut Site) -> Result<()> {
    let late = 3;
    for at in 1..=late {
        discovery::seat(site, at, "127.0.0.1")?;
    }
    let listed = site.cluster.peers[1..=late].iter();
    let listed = listed.map(|peer| format!("{}=http://127.0.0.1:{}", peer.name, peer.peer_port));
    let list = format!("--initial-cluster={}", listed.collect::<Vec<_>>().join(","));
    for at in 1..=late {
        let token = "--initial-cluster-token=late".to_owned();
        site.peer(at).set_flags([list.clone(), token]);
    }
    for at in 1..late {
        site.peer(at).restart()?;
    }
    site.until_done(1, &["put", "k", "v"]).await?;
    site.learn_ids(1).await?;
    // Each tells its own addresses to clients once it is up.
    site.until_done(2, &["get", "k"]).await?;
    site.show(1, &["member", "list"]).await?;
    site.show(1, &["member", "list", "--write-out=simple", "--hex"])
        .await?;
    site.peer(late).restart()?;
    site.until_done(late, &["get", "k"]).await?;
    site.show(late, &["member", "list"]).await?;
    Ok(())
}
