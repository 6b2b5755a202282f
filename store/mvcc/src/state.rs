//! The row that says where the store stands, written with every commit.

use crate::{
    Error,
    accounting::Accounting,
    revision::{FIRST, NEVER_COMPACTED},
    varint,
};

/// Version of the row's encoding.
const ENCODING: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub revision: i64,
    pub compact: i64,
    pub accounting: Accounting,
}

impl Default for State {
    fn default() -> State {
        State {
            revision: FIRST,
            compact: NEVER_COMPACTED,
            accounting: Accounting::default(),
        }
    }
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![ENCODING];
        out.extend_from_slice(&self.revision.to_le_bytes());
        out.extend_from_slice(&self.compact.to_le_bytes());
        self.accounting.encode(&mut out);
        out
    }

    pub fn decode(mut input: &[u8]) -> Result<State, Error> {
        if varint::take_bytes(&mut input, 1)? != [ENCODING] {
            return Err(Error::corrupt("the state row has an unknown encoding"));
        }
        let revision = take_fixed(&mut input)?;
        let compact = take_fixed(&mut input)?;
        let accounting = Accounting::decode(&mut input)?;
        if revision < FIRST || !(NEVER_COMPACTED..=revision).contains(&compact) {
            return Err(Error::corrupt("the state row contradicts itself"));
        }
        Ok(State {
            revision,
            compact,
            accounting,
        })
    }
}

fn take_fixed(input: &mut &[u8]) -> Result<i64, Error> {
    let bytes = varint::take_bytes(input, 8)?;
    let bytes = bytes
        .first_chunk::<8>()
        .ok_or_else(|| Error::corrupt("the state row is cut"))?;
    Ok(i64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_encoding() {
        let mut accounting = Accounting::default();
        accounting.put(3, 1000, None);
        accounting.begin_mutation();
        accounting.delete(3, Some(1000));
        accounting.begin_mutation();
        let state = State {
            revision: 77,
            compact: 5,
            accounting,
        };
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        assert!(
            State::decode(
                &State {
                    compact: 78,
                    ..state
                }
                .encode()
            )
            .is_err()
        );
    }
}
