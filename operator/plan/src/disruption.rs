//! How many members a drain must leave: a quorum of those there are or of those there shall be,
//! whichever is more.

use crate::record::{MemberPhase, Record};
use crate::view::quorum;

/// `minAvailable` of the disruption budget. None for a single member, which could never be drained.
pub fn min_available(record: &Record) -> Option<u32> {
    let voters = record.members.values().filter(|member| {
        matches!(
            member.phase,
            MemberPhase::Voter
                | MemberPhase::Bootstrapping
                | MemberPhase::Leaving
                | MemberPhase::Replacing
        )
    });
    let members = voters.count().max(record.target as usize);
    let least = u32::try_from(quorum(members)).ok()?;
    (members > 1).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{MemberRecord, Origin};

    fn record(voters: u32, target: u32) -> Record {
        let voter = MemberRecord {
            incarnation: 1,
            origin: Origin::Bootstrap,
            phase: MemberPhase::Voter,
            since: jiff::Timestamp::UNIX_EPOCH,
            former_pod: None,
            member_id: None,
            volume_uid: None,
        };
        Record {
            members: (0..voters)
                .map(|ordinal| (ordinal, voter.clone()))
                .collect(),
            target,
            ..Record::default()
        }
    }

    #[test]
    fn a_drain_leaves_a_quorum_of_what_is_and_what_shall_be() {
        assert_eq!(min_available(&record(1, 1)), None);
        assert_eq!(min_available(&record(2, 2)), Some(2));
        assert_eq!(min_available(&record(3, 3)), Some(2));
        assert_eq!(min_available(&record(3, 5)), Some(3));
        assert_eq!(min_available(&record(5, 3)), Some(3));
    }
}
