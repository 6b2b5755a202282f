use bytes::Bytes;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::Generator;

/// Few keys, so that requests meet; bytes at both ends of the alphabet, prefixes of each other.
const KEYS: &[&[u8]] = &[
    b"\0",
    b"\0\0",
    b"\x01",
    b"a",
    b"a/",
    b"a/1",
    b"a/2",
    b"a/3",
    b"a0",
    b"b",
    b"b/0",
    b"ba",
    b"c\0",
    b"c\0d",
    b"k\xff",
    b"k\xff\xff",
    b"\xc3\x28",
    b"z",
    b"\xff",
    b"\xff\xff",
];
const VALUES: &[&[u8]] = &[b"", b"1", b"2", b"10", b"value", b"\0\xff", b"zz"];
/// Size of the occasional large value, in bytes.
const LARGE: usize = 20_000;

pub fn key(of: &mut Generator) -> Bytes {
    let key = KEYS.choose(&mut of.rng).copied().unwrap_or(b"a");
    Bytes::from_static(key)
}

/// Mostly a key, now and then the empty one, which most requests refuse.
pub fn any_key(of: &mut Generator) -> Bytes {
    if of.rng.random_ratio(1, 25) {
        Bytes::new()
    } else {
        key(of)
    }
}

/// Every kind of range end: none, from here on, the prefix, another key (before or after), itself.
pub fn end(of: &mut Generator, key: &Bytes) -> Bytes {
    match of.rng.random_range(0..10) {
        0..3 => Bytes::new(),
        3..5 => Bytes::from_static(b"\0"),
        5..7 => prefix_end(key),
        7..9 => self::key(of),
        _ => key.clone(),
    }
}

/// The first key after all that begin with `key`; `\0` (no end) when there is none.
pub fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

pub fn value(of: &mut Generator) -> Bytes {
    if of.rng.random_ratio(1, 60) {
        let byte = of.rng.random();
        return vec![byte; LARGE].into();
    }
    Bytes::from_static(VALUES.choose(&mut of.rng).copied().unwrap_or(b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_carries_over() {
        assert_eq!(&prefix_end(b"a/")[..], b"a0");
        assert_eq!(&prefix_end(b"k\xff")[..], b"l");
        assert_eq!(&prefix_end(b"\xff\xff")[..], b"\0");
    }
}
