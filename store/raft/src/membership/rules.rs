//! What may be done to a membership: etcd's rules, as functions of what is known.
//!
//! etcd counts a member as started once it has published its name. Two rules guard the quorum
//! (`--strict-reconfig-check`): enough members must have started for the quorum after the change,
//! and the member that is asked must itself have been in touch with enough of them for a while.

use super::Member;

/// A request to change the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Add {
        id: u64,
        peer_urls: Vec<String>,
        learner: bool,
    },
    Remove {
        id: u64,
    },
    Update {
        id: u64,
        peer_urls: Vec<String>,
    },
    Promote {
        id: u64,
    },
}

/// Why a change is refused; none of it has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such member")]
    NotFound,
    #[error("a member has this id already")]
    IdExists,
    #[error("a member of this id was removed, and an id never comes back")]
    IdRemoved,
    #[error("a member has this peer url already")]
    UrlExists,
    #[error("the member is no learner")]
    NotLearner,
    #[error("the learner lacks too much of the leader's log")]
    NotReady,
    #[error("there are as many learners as may be")]
    TooManyLearners,
    #[error("too few members have started for the quorum to come")]
    NotEnoughStarted,
    #[error("too few members have been in touch for long enough")]
    Unhealthy,
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn voters(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| !member.learner)
}

fn started<'a>(voters: impl Iterator<Item = &'a Member>) -> usize {
    voters.filter(|member| !member.name.is_empty()).count()
}

/// Whether the member that takes the request may pass it on. `in_touch` says of another member
/// whether it has been reached for long enough, `reached` whether it can be reached at all.
pub fn strict(
    members: &[Member],
    own: u64,
    change: &Change,
    in_touch: impl Fn(u64) -> bool,
    reached: impl Fn(u64) -> bool,
) -> Result<(), Refusal> {
    let count = voters(members).count();
    let touched = || {
        let near = voters(members).filter(|member| member.id == own || in_touch(member.id));
        near.count()
    };
    match change {
        Change::Add { learner, .. } => {
            let alone = count == 1;
            let enough = started(voters(members)) >= quorum(count + 1);
            // A cluster of one could otherwise never become more.
            let grows = alone && started(voters(members)) == 1;
            if !(*learner || enough || grows) {
                return Err(Refusal::NotEnoughStarted);
            }
            match alone || touched() >= quorum(count + 1) {
                true => Ok(()),
                false => Err(Refusal::Unhealthy),
            }
        }
        Change::Remove { id } => {
            if members
                .iter()
                .any(|member| member.id == *id && member.learner)
            {
                return Ok(());
            }
            let stay = || voters(members).filter(|member| member.id != *id);
            if started(stay()) < quorum(stay().count()) {
                return Err(Refusal::NotEnoughStarted);
            }
            // Who is down is in no quorum now.
            if *id != own && !reached(*id) {
                return Ok(());
            }
            match touched().saturating_sub(1) > count.saturating_sub(1) / 2 {
                true => Ok(()),
                false => Err(Refusal::Unhealthy),
            }
        }
        Change::Update { .. } | Change::Promote { .. } => Ok(()),
    }
}

/// What the leader checks against the members of that moment, whoever took the request.
pub fn valid(
    members: &[Member],
    change: &Change,
    removed: impl Fn(u64) -> bool,
    learners_max: usize,
) -> Result<(), Refusal> {
    let find = |id: u64| members.iter().find(|member| member.id == id);
    let taken = |urls: &[String], but: Option<u64>| {
        let mut others = members.iter().filter(|member| Some(member.id) != but);
        others.any(|member| member.peer_urls.iter().any(|url| urls.contains(url)))
    };
    match change {
        Change::Add {
            id,
            peer_urls,
            learner,
        } => {
            if removed(*id) {
                return Err(Refusal::IdRemoved);
            }
            if find(*id).is_some() {
                return Err(Refusal::IdExists);
            }
            if taken(peer_urls, None) {
                return Err(Refusal::UrlExists);
            }
            let learners = members.iter().filter(|member| member.learner).count();
            match *learner && learners >= learners_max {
                true => Err(Refusal::TooManyLearners),
                false => Ok(()),
            }
        }
        Change::Remove { id } => find(*id).map(drop).ok_or(Refusal::NotFound),
        Change::Update { id, peer_urls } => {
            find(*id).ok_or(Refusal::NotFound)?;
            match taken(peer_urls, Some(*id)) {
                true => Err(Refusal::UrlExists),
                false => Ok(()),
            }
        }
        Change::Promote { id } => match find(*id).ok_or(Refusal::NotFound)?.learner {
            true => Ok(()),
            false => Err(Refusal::NotLearner),
        },
    }
}

/// Whether a learner has nine tenths of the leader's log (etcd).
pub fn ready(matched: u64, last: u64) -> Result<(), Refusal> {
    match u128::from(matched) * 10 >= u128::from(last) * 9 {
        true => Ok(()),
        false => Err(Refusal::NotReady),
    }
}

/// With `--strict-reconfig-check`: the learner counts as started in the quorum to come.
pub fn promotable(members: &[Member]) -> Result<(), Refusal> {
    let count = voters(members).count();
    match started(voters(members)) + 1 >= quorum(count + 1) {
        true => Ok(()),
        false => Err(Refusal::NotEnoughStarted),
    }
}

/// Whether the change is to be seen in these members, and so has been made.
pub fn made(members: &[Member], change: &Change) -> bool {
    let find = |id: u64| members.iter().find(|member| member.id == id);
    match change {
        Change::Add { id, .. } => find(*id).is_some(),
        Change::Remove { id } => find(*id).is_none(),
        Change::Update { id, peer_urls } => {
            find(*id).is_some_and(|member| member.peer_urls == *peer_urls)
        }
        Change::Promote { id } => find(*id).is_some_and(|member| !member.learner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, started: bool) -> Member {
        Member {
            id,
            name: if started {
                format!("m{id}")
            } else {
                String::new()
            },
            peer_urls: vec![format!("http://m{id}:2380")],
            client_urls: Vec::new(),
            learner: false,
            votes: started,
        }
    }

    fn learner(id: u64) -> Member {
        Member {
            learner: true,
            votes: false,
            ..member(id, true)
        }
    }

    fn add(learner: bool) -> Change {
        Change::Add {
            id: 9,
            peer_urls: vec!["http://m9:2380".into()],
            learner,
        }
    }

    /// Asks member 1, which is in touch with `near`.
    fn strictly(members: &[Member], change: &Change, near: &[u64]) -> Result<(), Refusal> {
        strict(
            members,
            1,
            change,
            |id| near.contains(&id),
            |id| near.contains(&id),
        )
    }

    #[test]
    fn a_cluster_of_one_may_grow_and_then_waits_for_the_second() {
        let one = [member(1, true)];
        assert_eq!(strictly(&one, &add(false), &[]), Ok(()));
        let two = [member(1, true), member(2, false)];
        let refused = Err(Refusal::NotEnoughStarted);
        assert_eq!(strictly(&two, &add(false), &[]), refused);
        assert_eq!(strictly(&two, &add(true), &[]), Err(Refusal::Unhealthy));
    }

    #[test]
    fn nobody_is_added_while_one_of_three_is_down() {
        let three = [1, 2, 3].map(|id| member(id, true));
        for learner in [false, true] {
            assert_eq!(strictly(&three, &add(learner), &[2, 3]), Ok(()));
            let refused = strictly(&three, &add(learner), &[2]);
            assert_eq!(refused, Err(Refusal::Unhealthy));
        }
    }

    #[test]
    fn the_dead_may_be_removed_and_the_living_only_while_enough_are_left() {
        let three = [1, 2, 3].map(|id| member(id, true));
        assert_eq!(strictly(&three, &Change::Remove { id: 3 }, &[2]), Ok(()));
        let living = strictly(&three, &Change::Remove { id: 2 }, &[2]);
        assert_eq!(living, Err(Refusal::Unhealthy));
        assert_eq!(strictly(&three, &Change::Remove { id: 2 }, &[2, 3]), Ok(()));
        let two = [member(1, true), member(2, false)];
        let started = strictly(&two, &Change::Remove { id: 1 }, &[]);
        assert_eq!(started, Err(Refusal::NotEnoughStarted));
        assert_eq!(strictly(&two, &Change::Remove { id: 2 }, &[]), Ok(()));
        let with_learner = [member(1, true), learner(4)];
        let removed = strictly(&with_learner, &Change::Remove { id: 4 }, &[]);
        assert_eq!(removed, Ok(()));
    }

    #[test]
    fn ids_and_urls_are_of_one_member_only() {
        let two = [member(1, true), learner(2)];
        let removed = |id| id == 7;
        let check = |change: &Change| valid(&two, change, removed, 1);
        let add = |id, url: &str, learner| Change::Add {
            id,
            peer_urls: vec![url.into()],
            learner,
        };
        assert_eq!(check(&add(7, "http://x:1", false)), Err(Refusal::IdRemoved));
        assert_eq!(check(&add(2, "http://x:1", false)), Err(Refusal::IdExists));
        let taken = check(&add(3, "http://m1:2380", false));
        assert_eq!(taken, Err(Refusal::UrlExists));
        let learners = check(&add(3, "http://x:1", true));
        assert_eq!(learners, Err(Refusal::TooManyLearners));
        assert_eq!(check(&add(3, "http://x:1", false)), Ok(()));
        let update = |id, url: &str| Change::Update {
            id,
            peer_urls: vec![url.into()],
        };
        assert_eq!(check(&update(1, "http://m1:2380")), Ok(()));
        assert_eq!(check(&update(1, "http://m2:2380")), Err(Refusal::UrlExists));
        assert_eq!(check(&update(5, "http://x:1")), Err(Refusal::NotFound));
        assert_eq!(check(&Change::Promote { id: 1 }), Err(Refusal::NotLearner));
        assert_eq!(check(&Change::Promote { id: 2 }), Ok(()));
        assert_eq!(check(&Change::Remove { id: 5 }), Err(Refusal::NotFound));
    }

    #[test]
    fn a_learner_is_ready_with_nine_tenths_of_the_log() {
        assert_eq!(ready(9, 10), Ok(()));
        assert_eq!(ready(8, 9), Err(Refusal::NotReady));
        assert_eq!(ready(0, u64::MAX), Err(Refusal::NotReady));
        assert_eq!(ready(u64::MAX, u64::MAX), Ok(()));
    }
}
