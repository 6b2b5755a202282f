//! The stories in their order. Those of the first part have clients at work all the time; those that
//! have a cluster of their own come last.

mod auth;
mod certificates;
mod crowd;
mod deletion;
mod members;
mod obstacles;
mod quorum;
mod release;
mod roles;
mod samples;
mod volumes;

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use xtask::tally::Tally;

use super::Part;
use super::cluster::{Cluster, LIMIT};
use super::install::Release;
use super::load::Load;
use super::times::Times;

pub use auth::password;
pub use certificates::rotate_authorities;
pub use release::restricted;

/// The longest time without an answered write that passes: the time until a lost leader is missed
/// and followed, on a machine that is busy with a whole node. One story may take longer, as a
/// cluster of two cannot lose one.
const GAP_LIMIT: Duration = Duration::from_secs(20);

/// Create, scale, leader killed, volumes grown and lost, roll, rotation; false if there is no cluster
/// to go on with.
pub fn core(tally: &mut Tally, cluster: &Cluster, times: &mut Times, part: Part) -> bool {
    let created = tally.case("create three members", || {
        cluster.apply(3, &json!({}))?;
        times.note("create: declared to 3/3 ready", cluster.until_ready(3)?);
        members::one_leader(cluster)
    });
    if !created {
        return false;
    }
    let mut load = None;
    tally.case("clients write through the Service", || {
        let started = Load::start(cluster)?;
        started.until_written(LIMIT)?;
        load = Some(started);
        Ok(())
    });
    let Some(load) = load else { return false };
    under_load(tally, cluster, times, part, load);
    true
}

fn under_load(tally: &mut Tally, cluster: &Cluster, times: &mut Times, part: Part, mut load: Load) {
    for (name, count) in [
        ("scale 3 to 5", 5),
        ("scale 5 to 3", 3),
        ("scale 3 to 1", 1),
        ("scale 1 to 3", 3),
    ] {
        tally.case(name, || {
            load.during(name, || members::scale(cluster, count, times, name))
        });
    }
    tally.case("leader's pod killed", || {
        let killed = load.during("leader's pod killed", || {
            members::kill_leader(cluster, times)
        });
        killed.and_then(|()| load.until_written(LIMIT).map(drop))
    });
    if part > Part::Core {
        tally.case("volumes grow", || {
            load.during("volumes grow", || volumes::grow(cluster, times))
        });
    }
    tally.case("volume lost", || {
        load.during("volume lost", || members::lose_volume(cluster, times))
    });
    tally.case("roll to another image", || {
        load.during("roll of three members", || members::roll(cluster, times))
    });
    tally.case("certificates rotated", || {
        load.during("new leaf certificates", || {
            certificates::rotate_leaves(cluster, times)
        })
    });
    tally.case("certificate authorities rotated", || {
        load.during("new authorities", || {
            certificates::rotate_authorities(cluster, times)
        })
    });
    tally.case(
        "what clients saw is linearizable, and nothing was out for long",
        || judge(load, times),
    );
}

fn judge(load: Load, times: &mut Times) -> anyhow::Result<()> {
    for verdict in load.finish()? {
        times.clients(verdict.story, &verdict);
        if verdict.longest_gap > GAP_LIMIT && verdict.story != "scale 3 to 1" {
            bail!(
                "no write was answered for {:?}: {verdict:?}",
                verdict.longest_gap
            );
        }
    }
    Ok(())
}

/// What else happens to the cluster of the first part.
pub fn further(
    tally: &mut Tally,
    cluster: &Cluster,
    release: &Release<'_>,
    times: &mut Times,
    part: Part,
) {
    let (moves, kills) = match part {
        Part::Long => (100, 5),
        _ => (50, 2),
    };
    tally.case("labels follow a leader that moves", || {
        roles::moves(cluster, times, moves)
    });
    tally.case("labels follow a leader that is killed", || {
        roles::kills(cluster, times, kills)
    });
    tally.case("hibernate and wake", || members::hibernate(cluster, times));
    tally.case("what breaks a rule is refused", || {
        obstacles::refused(cluster)
    });
    tally.case("an image that is not there is told and mended", || {
        members::bad_image(cluster)
    });
    tally.case("quorum lost with its disks alive", || {
        quorum::pods_down(cluster, times)
    });
    tally.case("quorum lost for good", || {
        quorum::volumes_lost(cluster, times)
    });
    tally.case("the operator goes and comes back", || {
        release::away(cluster, release, times)
    });
}

/// Clusters of their own.
pub fn others(
    tally: &mut Tally,
    cluster: &Cluster,
    checkout: &Path,
    times: &mut Times,
    part: Part,
) {
    let kubectl = &cluster.kubectl;
    if part == Part::Long {
        tally.case("samples", || samples::ready(kubectl, checkout, times));
        tally.case("sample of cert-manager", || {
            samples::issued(kubectl, checkout, times)
        });
    }
    tally.case("what cannot work is told and mended", || {
        obstacles::mended(kubectl, times)
    });
    tally.case("given certificates and a password", || {
        obstacles::secrets(kubectl, times)
    });
    tally.case("a store that is full", || obstacles::full(kubectl, times));
    tally.case("volumes of a deleted cluster stay", || {
        deletion::kept(kubectl)
    });
    tally.case("fifty clusters", || crowd::crowd(kubectl, times));
}
