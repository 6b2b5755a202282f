//! Alarms: what stands against which member, and what they forbid.

use std::collections::BTreeSet;

use bytes::Bytes;
use mainstay_mvcc::{Batch, Store};
use mainstay_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, alarm_request::AlarmAction,
};

use crate::{ApplyError, Error, Outcome, context::Context, error::Failure, rows};

/// Alarms that may stand at a time. Two a member would do; a client may name any member id.
const ALARMS_MAX: usize = 4096;

/// The alarms that stand, sorted by type and member.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    standing: BTreeSet<(i32, u64)>,
    changed: bool,
}

pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    request: &AlarmRequest,
) -> Result<Outcome, Failure> {
    let (kind, member) = (request.alarm, request.member_id);
    let alarms = match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Get) => context.alarms.of_type(kind),
        Ok(AlarmAction::Activate) if kind == AlarmType::None as i32 => Vec::new(),
        Ok(AlarmAction::Activate) => {
            context.alarms.raise(context.batch, kind, member)?;
            vec![AlarmMember {
                member_id: member,
                alarm: kind,
            }]
        }
        Ok(AlarmAction::Deactivate) => context.alarms.clear(context.batch, kind, member),
        Err(_) => return Err(ApplyError::UnknownAlarmAction.into()),
    };
    Ok(Outcome::Alarm {
        alarms,
        revision: context.batch.revision(),
    })
}

impl Alarms {
    pub(crate) fn load(store: &Store) -> Result<Alarms, Error> {
        let mut alarms = Alarms::default();
        for (key, _) in store.meta_scan(rows::ALARMS)? {
            alarms.standing.insert(rows::alarm_of(&key)?);
        }
        Ok(alarms)
    }

    /// Whether an alarm of this type stands against any member.
    pub(crate) fn stands(&self, kind: AlarmType) -> bool {
        let kind = kind as i32;
        self.standing
            .range((kind, 0)..=(kind, u64::MAX))
            .next()
            .is_some()
    }

    /// Raising an alarm that stands changes nothing.
    pub(crate) fn raise(
        &mut self,
        batch: &mut Batch<'_>,
        kind: i32,
        member: u64,
    ) -> Result<(), ApplyError> {
        if self.standing.contains(&(kind, member)) {
            return Ok(());
        }
        if self.standing.len() >= ALARMS_MAX {
            return Err(ApplyError::TooManyAlarms);
        }
        batch.put_meta(rows::alarm(kind, member), Some(Bytes::new()));
        self.standing.insert((kind, member));
        self.changed = true;
        Ok(())
    }

    /// Matches type and member exactly; member 0 is no wildcard. Returns what was cleared.
    fn clear(&mut self, batch: &mut Batch<'_>, kind: i32, member: u64) -> Vec<AlarmMember> {
        if !self.standing.remove(&(kind, member)) {
            return Vec::new();
        }
        batch.put_meta(rows::alarm(kind, member), None);
        self.changed = true;
        vec![AlarmMember {
            member_id: member,
            alarm: kind,
        }]
    }

    /// All alarms of a type, all of them for `NONE`, whatever member was asked for.
    fn of_type(&self, kind: i32) -> Vec<AlarmMember> {
        let mut alarms = self.list();
        alarms.retain(|alarm| kind == AlarmType::None as i32 || alarm.alarm == kind);
        alarms
    }

    pub(crate) fn list(&self) -> Vec<AlarmMember> {
        let member = |&(alarm, member_id): &(i32, u64)| AlarmMember { member_id, alarm };
        self.standing.iter().map(member).collect()
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
