//! Alarms: what stands against which member, and what they forbid.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_mvcc::{Batch, Store};
use mainstay_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, alarm_request::AlarmAction,
};

use crate::{ApplyError, Error, Outcome, context::Context, error::Failure};

/// Records of alarms in the store: this prefix, then type and member, big endian. No value.
const PREFIX: &[u8] = b"alarm/";

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
        for (key, _) in store.meta_scan(PREFIX)? {
            let alarm = decode(&key).ok_or_else(|| mainstay_mvcc::Error::Corrupt {
                what: format!("alarm record {key:02x?} cannot be read"),
            })?;
            alarms.standing.insert(alarm);
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
        batch.put_meta(record_key(kind, member), Some(Bytes::new()));
        self.standing.insert((kind, member));
        self.changed = true;
        Ok(())
    }

    /// Matches type and member exactly; member 0 is no wildcard. Returns what was cleared.
    fn clear(&mut self, batch: &mut Batch<'_>, kind: i32, member: u64) -> Vec<AlarmMember> {
        if !self.standing.remove(&(kind, member)) {
            return Vec::new();
        }
        batch.put_meta(record_key(kind, member), None);
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

fn record_key(kind: i32, member: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(PREFIX.len() + 12);
    key.put_slice(PREFIX);
    key.put_i32(kind);
    key.put_u64(member);
    key.freeze()
}

fn decode(key: &[u8]) -> Option<(i32, u64)> {
    let (kind, member) = key.strip_prefix(PREFIX)?.split_first_chunk::<4>()?;
    let member = <[u8; 8]>::try_from(member).ok()?;
    Some((i32::from_be_bytes(*kind), u64::from_be_bytes(member)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_cut_one_is_refused() {
        let key = record_key(2, u64::MAX - 1);
        assert_eq!(decode(&key), Some((2, u64::MAX - 1)));
        assert_eq!(decode(&key[..key.len() - 1]), None);
        assert_eq!(decode(b"alarm/"), None);
    }
}
