//! The applied position, written in the same commit as the effects it stands for.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Error;

/// First byte of the encoding.
const VERSION: u8 = 1;

/// Where an entry stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    pub term: u64,
    pub index: u64,
}

/// How far the store has come: the last entry applied and the last membership among the entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedState {
    /// `None` before the first entry.
    pub log: Option<LogPosition>,
    /// Opaque here; raft knows what it means.
    pub membership: Option<(LogPosition, Bytes)>,
}

impl AppliedState {
    /// One version byte; then for each of `log` and `membership` a byte 0 or 1 and, if 1, term and
    /// index, big endian; the membership's bytes come last and reach to the end.
    pub fn encode(&self) -> Bytes {
        let tail = self.membership.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let mut out = BytesMut::with_capacity(35 + tail);
        out.put_u8(VERSION);
        put_position(&mut out, self.log);
        put_position(
            &mut out,
            self.membership.as_ref().map(|(position, _)| *position),
        );
        if let Some((_, bytes)) = &self.membership {
            out.put_slice(bytes);
        }
        out.freeze()
    }

    /// Reads what [`AppliedState::encode`] wrote. `None` (a store never applied to) is the
    /// beginning.
    pub fn decode(blob: Option<&[u8]>) -> Result<AppliedState, Error> {
        let Some(mut blob) = blob else {
            return Ok(AppliedState::default());
        };
        let version = blob.try_get_u8().map_err(|_| unreadable("it is empty"))?;
        if version != VERSION {
            return Err(unreadable(&format!("its version is {version}")));
        }
        let log = get_position(&mut blob)?;
        let membership = get_position(&mut blob)?;
        if membership.is_none() && blob.has_remaining() {
            return Err(unreadable("bytes follow its end"));
        }
        let membership = membership.map(|position| (position, Bytes::copy_from_slice(blob)));
        Ok(AppliedState { log, membership })
    }

    /// Index of the last entry applied, 0 before the first.
    pub fn index(&self) -> u64 {
        self.log.map_or(0, |position| position.index)
    }

    pub fn term(&self) -> u64 {
        self.log.map_or(0, |position| position.term)
    }
}

fn put_position(out: &mut BytesMut, position: Option<LogPosition>) {
    out.put_u8(u8::from(position.is_some()));
    if let Some(position) = position {
        out.put_u64(position.term);
        out.put_u64(position.index);
    }
}

fn get_position(blob: &mut &[u8]) -> Result<Option<LogPosition>, Error> {
    let cut_short = |_| unreadable("it is cut short");
    match blob.try_get_u8().map_err(cut_short)? {
        0 => Ok(None),
        1 => {
            let term = blob.try_get_u64().map_err(cut_short)?;
            let index = blob.try_get_u64().map_err(cut_short)?;
            Ok(Some(LogPosition { term, index }))
        }
        other => Err(unreadable(&format!("{other} is no flag"))),
    }
}

fn unreadable(what: &str) -> Error {
    Error::State {
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_and_a_cut_one_is_refused() {
        let position = |term, index| LogPosition { term, index };
        let states = [
            AppliedState::default(),
            AppliedState {
                log: Some(position(3, u64::MAX)),
                membership: None,
            },
            AppliedState {
                log: Some(position(4, 9)),
                membership: Some((position(2, 5), Bytes::from_static(b"members"))),
            },
        ];
        for state in states {
            let blob = state.encode();
            assert_eq!(
                AppliedState::decode(Some(&blob)).expect("own encoding"),
                state
            );
            let fixed = blob.len() - state.membership.as_ref().map_or(0, |(_, b)| b.len());
            for len in 0..fixed {
                assert!(
                    AppliedState::decode(Some(&blob[..len])).is_err(),
                    "{len} bytes"
                );
            }
        }
        assert!(
            AppliedState::decode(Some(&[2, 0, 0])).is_err(),
            "a version to come"
        );
        assert!(
            AppliedState::decode(Some(&[1, 0, 0, 7])).is_err(),
            "bytes too many"
        );
        assert_eq!(AppliedState::decode(None).expect("none").index(), 0);
    }
}
