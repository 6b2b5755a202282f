//! The position that the store says it has applied, in openraft's terms.

use std::io;

use mainstay_apply::AppliedState;
use mainstay_proto::peer;
use prost::Message;

use crate::codec;
use crate::types::{LogId, StoredMembership};

/// Last applied entry and the last membership among the applied entries.
pub fn positions(blob: &[u8]) -> io::Result<(Option<LogId>, StoredMembership)> {
    if blob.is_empty() {
        return Ok((None, StoredMembership::default()));
    }
    let state = AppliedState::decode(blob).map_err(io::Error::other)?;
    let membership = match state.membership {
        Some(stored) => {
            let message =
                peer::Membership::decode(stored.bytes).map_err(io::Error::other)?;
            StoredMembership::new(
                Some(LogId::new_term_index(stored.term, stored.index)),
                codec::membership_in(message).map_err(io::Error::other)?,
            )
        }
        None => StoredMembership::default(),
    };
    let last = LogId::new_term_index(state.term, state.index);
    Ok((Some(last), membership))
}
