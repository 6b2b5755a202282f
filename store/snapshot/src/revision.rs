//! Keys of the bucket `key`: main revision, `_`, sub revision, and `t` for a tombstone.

use crate::Error;

const SEPARATOR: u8 = b'_';
const TOMBSTONE: u8 = b't';

/// A row's key, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    pub main: i64,
    pub sub: i64,
    pub tombstone: bool,
}

impl Revision {
    pub fn read(key: &[u8]) -> Result<Revision, Error> {
        let read = || {
            let (main, rest) = key.split_first_chunk::<8>()?;
            let (&[separator], rest) = rest.split_first_chunk::<1>()?;
            let (sub, mark) = rest.split_first_chunk::<8>()?;
            let tombstone = match mark {
                [] => false,
                [TOMBSTONE] => true,
                _ => return None,
            };
            let (main, sub) = (i64::from_be_bytes(*main), i64::from_be_bytes(*sub));
            (separator == SEPARATOR && main >= 0 && sub >= 0).then_some(Revision {
                main,
                sub,
                tombstone,
            })
        };
        read().ok_or_else(|| Error::damaged("a row's key is no revision"))
    }

    /// The form in which the bucket `meta` keeps a main revision.
    pub fn of_main(main: i64) -> Vec<u8> {
        let mut key = main.to_be_bytes().to_vec();
        key.push(SEPARATOR);
        key.extend_from_slice(&0_i64.to_be_bytes());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_revisions_are_read() {
        let key = Revision::of_main(7);
        let read = Revision::read(&key).unwrap();
        assert_eq!((read.main, read.sub, read.tombstone), (7, 0, false));
        let marked = [key.as_slice(), b"t"].concat();
        assert!(Revision::read(&marked).unwrap().tombstone);
        for odd in [
            key[..16].to_vec(),
            [key.as_slice(), b"x"].concat(),
            [marked.as_slice(), b"t"].concat(),
            Revision::of_main(-1),
            key.iter().map(|byte| byte & !0x5f).collect(),
        ] {
            assert!(Revision::read(&odd).is_err(), "{odd:?}");
        }
    }
}
