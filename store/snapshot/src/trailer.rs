//! The checksum at the end of a backup: SHA-256 of all before it, as the stream delivers it.
//!
//! A database's file is whole disk sectors long, so a length of 32 bytes beyond a sector says that
//! a checksum is there (etcd's rule).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use crate::Error;

/// Bytes of the checksum.
pub const BYTES: u64 = 32;
const SECTOR_BYTES: u64 = 512;
/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;

/// A SHA-256 that takes bytes as they are written.
#[derive(Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; BYTES as usize] {
        self.0.finalize().into()
    }
}

/// Whether a file of this length ends with a checksum.
pub fn is_there(file_bytes: u64) -> bool {
    file_bytes % SECTOR_BYTES == BYTES
}

/// Bytes of the database in a file of this length.
pub fn database_bytes(file_bytes: u64) -> u64 {
    match is_there(file_bytes) {
        true => file_bytes - BYTES,
        false => file_bytes,
    }
}

/// Reads the file and compares it with the checksum at its end.
///
/// Errors: `NoChecksum` if there is none, `Checksum` if it differs.
pub fn verify(file: &File) -> Result<(), Error> {
    let bytes = file.metadata()?.len();
    if !is_there(bytes) {
        return Err(Error::NoChecksum);
    }
    let mut expected = [0; BYTES as usize];
    file.read_exact_at(&mut expected, database_bytes(bytes))?;
    let found = sum(file, database_bytes(bytes))?;
    if found != expected {
        return Err(Error::Checksum {
            expected: hex(&expected),
            found: hex(&found),
        });
    }
    Ok(())
}

/// SHA-256 of the first `bytes` of a file.
fn sum(file: &File, bytes: u64) -> Result<[u8; BYTES as usize], Error> {
    let mut sum = Sum::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut at = 0;
    while at < bytes {
        let want = (bytes - at).min(READ_BYTES as u64);
        let part = buffer.get_mut(..usize::try_from(want).unwrap_or(READ_BYTES));
        let part = part.unwrap_or_default();
        file.read_exact_at(part, at)?;
        sum.add(part);
        at += want;
    }
    Ok(sum.finish())
}

/// Copies a database's file and puts the checksum behind it.
pub fn append(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut sum = Sum::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        sum.add(part);
        to.write_all(part)?;
    }
    to.write_all(&sum.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_checksum_is_found_by_the_length_and_compared() {
        let database = vec![7; 4096];
        let mut whole = Vec::new();
        append(&mut database.as_slice(), &mut whole).unwrap();
        assert_eq!(whole.len(), 4096 + 32);
        verify(&file(&whole)).unwrap();
        assert!(matches!(verify(&file(&database)), Err(Error::NoChecksum)));
        assert!(matches!(
            verify(&file(&whole[..4000])),
            Err(Error::NoChecksum)
        ));
        for at in [0, 4095, 4096, 4127] {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(matches!(
                verify(&file(&flipped)),
                Err(Error::Checksum { .. })
            ));
        }
    }
}
