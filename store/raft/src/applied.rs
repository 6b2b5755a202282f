//! The position that the store says it has applied, in openraft's terms.

use std::io;

use mainstay_apply::{AppliedState, LogPosition};
use mainstay_proto::peer;
use prost::Message;

use crate::codec;
use crate::types::{LogId, StoredMembership};

/// Last applied entry and the last membership among the applied entries.
pub fn positions(state: &AppliedState) -> io::Result<(Option<LogId>, StoredMembership)> {
    let membership = match &state.membership {
        Some((position, bytes)) => {
            let message = peer::Membership::decode(bytes.clone()).map_err(io::Error::other)?;
            StoredMembership::new(
                Some(log_id(position)),
                codec::membership_in(message).map_err(io::Error::other)?,
            )
        }
        None => StoredMembership::default(),
    };
    Ok((state.log.as_ref().map(log_id), membership))
}

/// The same from the store's encoded record.
pub fn positions_of(blob: &[u8]) -> io::Result<(Option<LogId>, StoredMembership)> {
    positions(&AppliedState::decode(Some(blob)).map_err(io::Error::other)?)
}

fn log_id(position: &LogPosition) -> LogId {
    LogId::new_term_index(position.term, position.index)
}
