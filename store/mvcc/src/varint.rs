//! LEB128 integers, with every read checked.

use crate::Error;

/// Bytes a 64-bit integer can take.
const VARINT_BYTES_MAX: usize = 10;

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an integer off the front of `input`.
pub(crate) fn take(input: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0u64;
    for (i, byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == VARINT_BYTES_MAX - 1 && bits > 1 {
            break;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            *input = input.get(i + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(Error::corrupt("an integer is cut short or too long"))
}

/// Takes an integer that must fit a revision, a version or a lease.
pub(crate) fn take_i64(input: &mut &[u8]) -> Result<i64, Error> {
    i64::try_from(take(input)?).map_err(|_| Error::corrupt("an integer is out of range"))
}

pub(crate) fn take_u32(input: &mut &[u8]) -> Result<u32, Error> {
    u32::try_from(take(input)?).map_err(|_| Error::corrupt("an integer is out of range"))
}

/// Takes `len` bytes off the front of `input`.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], Error> {
    let Some((head, tail)) = input.split_at_checked(len) else {
        return Err(Error::corrupt("a field is cut short"));
    };
    *input = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_and_cuts_are_noticed() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            u64::from(u32::MAX),
            i64::MAX as u64,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut input = bytes.as_slice();
            assert_eq!(take(&mut input).unwrap(), value);
            assert!(input.is_empty());
            let mut cut = &bytes[..bytes.len() - 1];
            assert!(take(&mut cut).is_err());
        }
        assert!(take(&mut [0xff; 11].as_slice()).is_err());
    }
}
