//! The faults and their schedule.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{Cluster, HEAL_TIMEOUT},
    disk::Cut,
    lease_load::MAX_TTL,
    recorder::Recorder,
};

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of the leader, restarted after a while.
    KillLeader,
    KillFollower,
    /// kill -9 of all at once.
    KillAll,
    /// The leader stands still for longer than an election takes.
    PauseLeader,
    /// The leader stands still until leases have run out without it.
    PauseLeaderBeyondLeases,
    PauseFollower,
    /// One member loses its power and what it had not synced.
    PowerCutOne,
    PowerCutAll,
}

/// Every kind, and how often it comes beside the others.
const WEIGHTS: [(Fault, u32); 8] = [
    (Fault::KillLeader, 8),
    (Fault::PauseLeader, 5),
    (Fault::KillAll, 2),
    (Fault::PowerCutAll, 2),
    (Fault::PowerCutOne, 3),
    (Fault::KillFollower, 2),
    (Fault::PauseLeaderBeyondLeases, 1),
    (Fault::PauseFollower, 1),
];

impl Fault {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::KillLeader => "kill -9 of the leader",
            Fault::KillFollower => "kill -9 of a follower",
            Fault::KillAll => "kill -9 of all",
            Fault::PauseLeader => "stop of the leader",
            Fault::PauseLeaderBeyondLeases => "stop of the leader beyond its leases",
            Fault::PauseFollower => "stop of a follower",
            Fault::PowerCutOne => "power cut of one",
            Fault::PowerCutAll => "power cut of all",
        }
    }

    fn needs_mounts(self) -> bool {
        matches!(self, Fault::PowerCutOne | Fault::PowerCutAll)
    }
}

/// The faults of a run: each kind once in random order, then by weight.
#[derive(Debug)]
pub struct Schedule {
    first: Vec<Fault>,
    weights: Vec<(Fault, u32)>,
}

impl Schedule {
    #[must_use]
    pub fn new(mounts: bool, random: &mut StdRng) -> Schedule {
        let possible = WEIGHTS
            .into_iter()
            .filter(|(fault, _)| mounts || !fault.needs_mounts());
        let weights: Vec<(Fault, u32)> = possible.collect();
        let mut first: Vec<Fault> = weights.iter().map(|(fault, _)| *fault).collect();
        first.shuffle(random);
        Schedule { first, weights }
    }

    pub fn next(&mut self, random: &mut StdRng) -> Fault {
        if let Some(fault) = self.first.pop() {
            return fault;
        }
        let total: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = random.random_range(0..total.max(1));
        for (fault, weight) in &self.weights {
            if left < *weight {
                return *fault;
            }
            left -= weight;
        }
        Fault::KillLeader
    }
}

/// Injects faults until `deadline`, healing and waiting for health after each. With `all_kinds` it
/// goes on beyond that until each kind has come, which a slow machine may need.
///
/// # Errors
/// If the cluster does not come back, or the machine refuses.
pub async fn run(
    cluster: &mut Cluster,
    recorder: &Recorder,
    mounts: bool,
    deadline: Instant,
    all_kinds: bool,
    random: &mut StdRng,
) -> anyhow::Result<Vec<Fault>> {
    let mut schedule = Schedule::new(mounts, random);
    let mut done = Vec::new();
    loop {
        let quiet = Duration::from_millis(random.random_range(1500..4000));
        let owed = all_kinds && !schedule.first.is_empty();
        if !owed && Instant::now() + quiet > deadline {
            tokio::time::sleep_until(deadline).await;
            return Ok(done);
        }
        sleep(quiet).await;
        let fault = schedule.next(random);
        let start = recorder.now();
        println!("{:7.2} s  {}", start as f64 / 1e9, fault.name());
        inject(fault, cluster, random).await?;
        cluster.heal()?;
        let healthy = cluster.wait_healthy(HEAL_TIMEOUT).await;
        recorder.fault(fault.name(), start);
        healthy?;
        done.push(fault);
    }
}

/// Does one fault and leaves the cluster to be healed.
///
/// # Errors
/// If the machine refuses.
pub async fn inject(
    fault: Fault,
    cluster: &mut Cluster,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let leader = cluster.leader_or_any(random).await;
    let count = cluster.members.len();
    let follower = (leader + random.random_range(1..count.max(2))) % count;
    let pause = Duration::from_millis(random.random_range(2000..6000));
    let down = Duration::from_millis(random.random_range(500..2500));
    match fault {
        Fault::KillLeader => {
            cluster.members[leader].kill()?;
            sleep(down).await;
        }
        Fault::KillFollower => {
            cluster.members[follower].kill()?;
            sleep(down).await;
        }
        Fault::KillAll => {
            for member in &mut cluster.members {
                member.kill()?;
            }
        }
        Fault::PauseLeader => {
            cluster.members[leader].pause()?;
            sleep(pause).await;
        }
        Fault::PauseFollower => {
            cluster.members[follower].pause()?;
            sleep(pause).await;
        }
        Fault::PauseLeaderBeyondLeases => {
            cluster.members[leader].pause()?;
            // The new leader gives every lease its full time again, after the election.
            let leases = Duration::from_secs(MAX_TTL.unsigned_abs());
            sleep(leases + Duration::from_secs(3)).await;
        }
        Fault::PowerCutOne => {
            let victim = if random.random_bool(0.6) {
                leader
            } else {
                follower
            };
            power_cut(cluster, &[victim])?;
        }
        Fault::PowerCutAll => power_cut(cluster, &(0..count).collect::<Vec<_>>())?,
    }
    Ok(())
}

/// Stops the members, takes from their disks what was not synced, and kills them.
///
/// # Errors
/// If the machine refuses.
pub fn power_cut(cluster: &mut Cluster, victims: &[usize]) -> anyhow::Result<()> {
    for &victim in victims {
        cluster.members[victim].pause()?;
    }
    let copies: Vec<Cut> = victims
        .iter()
        .map(|&victim| cluster.members[victim].copy_disk())
        .collect::<anyhow::Result<_>>()?;
    for (&victim, cut) in victims.iter().zip(copies) {
        let member = &mut cluster.members[victim];
        member.kill()?;
        member.disk.revert(cut)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_possible_fault_comes_once_before_any_comes_again() {
        for (mounts, kinds) in [(true, 8), (false, 6)] {
            let mut random = StdRng::seed_from_u64(7);
            let mut schedule = Schedule::new(mounts, &mut random);
            let first: BTreeSet<Fault> = (0..kinds).map(|_| schedule.next(&mut random)).collect();
            assert_eq!(first.len(), kinds);
            assert!(mounts || !first.iter().any(|fault| fault.needs_mounts()));
        }
    }

    #[test]
    fn one_seed_gives_one_schedule() {
        let draw = || {
            let mut random = StdRng::seed_from_u64(3);
            let mut schedule = Schedule::new(true, &mut random);
            (0..50)
                .map(|_| schedule.next(&mut random))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
