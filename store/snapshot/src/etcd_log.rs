//! Reads etcd's own log: what a member had been told beyond what its database holds.
//!
//! ```text
//! file    <sequence>-<index of its first entry>.wal, both 16 hexadecimal digits
//! record  length and padding (8), message {type, checksum, data}, padding
//! ```
//! The checksum is a CRC-32C that runs on over the data of all records; each file begins with a
//! record that says where it stands. After the last record a file is zero.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use crate::Error;

/// Kinds of records.
const ENTRY: i64 = 2;
const HARD_STATE: i64 = 3;
const CHECKSUM: i64 = 4;
/// Bytes of entries kept; a database lags behind its log by a tenth of a second.
const TAIL_BYTES_MAX: usize = 1 << 30;

/// Entries of the log after an index.
#[derive(Debug, Default)]
pub struct LogTail {
    /// In order and without a gap.
    pub entries: Vec<LogEntry>,
    /// The last index known to be decided.
    pub commit: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogEntry {
    /// 0 for a request; changes of the membership otherwise.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub index: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(uint32, tag = "2")]
    checksum: u32,
    #[prost(bytes = "bytes", tag = "3")]
    data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct HardState {
    #[prost(uint64, tag = "3")]
    commit: u64,
}

/// Reads the entries after an index from the files of a directory. A record that was cut at the
/// very end of the last file was never answered for and ends the log; damage anywhere else is an
/// error, as is a log that begins too late.
pub fn read_log_tail(dir: &Path, after: u64) -> Result<LogTail, Error> {
    let mut tail = LogTail::default();
    let mut bytes = 0;
    let mut checksum = 0;
    let files = files(dir)?;
    let last = files.len().saturating_sub(1);
    for (at, path) in files.iter().enumerate() {
        let name = path.display();
        let mut records = Records::open(path)?;
        loop {
            let record = match records.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(Cut) if at == last => break,
                Err(Cut) => return Err(Error::damaged(format!("{name} is cut"))),
            };
            let record = Record::decode(record)
                .map_err(|error| Error::damaged(format!("{name}: {error}")))?;
            if record.kind != CHECKSUM {
                checksum = crc32c::crc32c_append(checksum, &record.data);
            } else if checksum == 0 {
                checksum = record.checksum;
            }
            if record.checksum != checksum {
                return Err(Error::damaged(format!("{name}: a checksum differs")));
            }
            let odd = |error| Error::damaged(format!("{name}: {error}"));
            match record.kind {
                ENTRY => {
                    let entry = LogEntry::decode(record.data).map_err(odd)?;
                    bytes += entry.data.len();
                    take(&mut tail.entries, entry, after)?;
                }
                HARD_STATE => tail.commit = HardState::decode(record.data).map_err(odd)?.commit,
                _ => {}
            }
            if bytes > TAIL_BYTES_MAX {
                return Err(Error::Unsupported(
                    "its log is too far ahead of its database".to_owned(),
                ));
            }
        }
    }
    Ok(tail)
}

/// A later entry of an index takes the place of all from there on.
fn take(entries: &mut Vec<LogEntry>, entry: LogEntry, after: u64) -> Result<(), Error> {
    let Some(place) = entry.index.checked_sub(after.saturating_add(1)) else {
        return Ok(());
    };
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    if place > entries.len() {
        return Err(Error::Unsupported(format!(
            "its log lacks entry {}, which its database has not seen",
            after.saturating_add(entries.len() as u64).saturating_add(1)
        )));
    }
    entries.truncate(place);
    entries.push(entry);
    Ok(())
}

/// The files in the order of their sequence, which has no gap.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(stem) = name.and_then(|name| name.strip_suffix(".wal")) else {
            continue;
        };
        let sequence = stem
            .split_once('-')
            .and_then(|(sequence, _)| u64::from_str_radix(sequence, 16).ok());
        if let Some(sequence) = sequence {
            found.push((sequence, path));
        }
    }
    found.sort();
    let gap = found.windows(2).any(|pair| match pair {
        [(before, _), (after, _)] => before.checked_add(1) != Some(*after),
        _ => false,
    });
    if gap {
        return Err(Error::damaged("a file of the log is missing"));
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The records of a file, undecoded.
struct Records {
    input: BufReader<File>,
    /// Bytes of the file not read yet.
    left: u64,
}

/// The file ends inside of a record.
struct Cut;

impl Records {
    fn open(path: &Path) -> Result<Records, Error> {
        let file = File::open(path)?;
        let left = file.metadata()?.len();
        let input = BufReader::new(file);
        Ok(Records { input, left })
    }

    fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        let mut head = [0; 8];
        if self.left < head.len() as u64 {
            return Ok(None);
        }
        self.read(&mut head)?;
        let head = u64::from_le_bytes(head);
        if head == 0 {
            return Ok(None);
        }
        // The top byte says how many bytes fill the record up, if its highest bit is set.
        let bytes = head & (u64::MAX >> 8);
        let padding = if head >> 63 == 1 { (head >> 56) & 7 } else { 0 };
        if bytes.saturating_add(padding) > self.left {
            return Err(Cut);
        }
        let mut record = vec![0; usize::try_from(bytes + padding).map_err(|_| Cut)?];
        self.read(&mut record)?;
        record.truncate(usize::try_from(bytes).map_err(|_| Cut)?);
        Ok(Some(record.into()))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Cut> {
        self.left = self.left.saturating_sub(into.len() as u64);
        self.input.read_exact(into).map_err(|_| Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(out: &mut Vec<u8>, checksum: &mut u32, kind: i64, data: Vec<u8>) {
        *checksum = crc32c::crc32c_append(*checksum, &data);
        let record = Record {
            kind,
            checksum: *checksum,
            data: data.into(),
        };
        let bytes = record.encode_to_vec();
        let padding = (8 - bytes.len() % 8) % 8;
        let top = if padding > 0 {
            0x80 | padding as u64
        } else {
            0
        };
        out.extend_from_slice(&(bytes.len() as u64 | top << 56).to_le_bytes());
        out.extend_from_slice(&bytes);
        out.resize(out.len() + padding, 0);
    }

    fn entry(term: u64, index: u64) -> Vec<u8> {
        let data = format!("{term}.{index}").into();
        let kind = 0;
        LogEntry {
            kind,
            term,
            index,
            data,
        }
        .encode_to_vec()
    }

    fn log() -> Vec<u8> {
        let (mut out, mut checksum) = (Vec::new(), 0);
        put(&mut out, &mut checksum, CHECKSUM, Vec::new());
        for index in 1..=6 {
            put(&mut out, &mut checksum, ENTRY, entry(1, index));
        }
        // A new leader writes others in the place of the last two.
        put(&mut out, &mut checksum, ENTRY, entry(2, 5));
        let commit = HardState { commit: 4 }.encode_to_vec();
        put(&mut out, &mut checksum, HARD_STATE, commit);
        out
    }

    fn read(bytes: &[u8], after: u64) -> Result<LogTail, Error> {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("{:016x}-{:016x}.wal", 0, 0);
        fs::write(dir.path().join(name), bytes).unwrap();
        read_log_tail(dir.path(), after)
    }

    #[test]
    fn the_tail_is_what_was_written_last() {
        let mut whole = log();
        whole.resize(whole.len() + 4096, 0);
        let tail = read(&whole, 3).unwrap();
        let data: Vec<_> = tail.entries.iter().map(|entry| &entry.data[..]).collect();
        assert_eq!((tail.commit, data), (4, vec![&b"1.4"[..], b"2.5"]));
        assert!(read(&whole, 9).unwrap().entries.is_empty());
    }

    #[test]
    fn a_log_cut_at_its_end_is_shorter_and_a_flipped_one_is_refused() {
        let whole = log();
        let mut seen = 0;
        for length in 0..whole.len() {
            let entries = read(&whole[..length], 0).unwrap().entries.len();
            seen = seen.max(entries);
        }
        assert_eq!(seen, 6);
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            refused += usize::from(read(&flipped, 0).is_err());
        }
        assert!(refused > whole.len() / 2, "{refused}");
    }

    #[test]
    fn a_log_that_begins_too_late_is_refused() {
        let (mut out, mut checksum) = (Vec::new(), 0);
        put(&mut out, &mut checksum, ENTRY, entry(1, 9));
        assert!(matches!(read(&out, 7), Err(Error::Unsupported(_))));
        assert_eq!(read(&out, 8).unwrap().entries.len(), 1);
    }
}
