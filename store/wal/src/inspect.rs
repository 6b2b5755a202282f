//! Looking at a stopped log without opening it: nothing is written, and damage ends nothing. What
//! stands behind a bad batch is found by looking for the next good one, page by page.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{self, BATCH_HEADER, PAGE};
use crate::bytes_at::u64_at;
use crate::record::Record;
use crate::segment::{FIRST_BATCH, Name, SegmentHeader};
use crate::{EntryId, Error, SEGMENT_BYTES_MAX};

/// One thing found, in the order of the files and of their bytes.
#[derive(Debug)]
pub enum Found {
    Segment {
        file: PathBuf,
        sequence: u64,
        bytes: u64,
        recycled: bool,
    },
    /// A record at an offset of the segment told before.
    Record { offset: u64, record: Seen },
    /// Something that fails its checksum or contradicts itself, and where the next good batch is,
    /// if there is one. At the end of the last segment it may be a batch that was being written
    /// when the power failed.
    Damage { error: Error, next: Option<u64> },
    /// The batches of the segment end here.
    End { offset: u64 },
}

/// A record; the payloads are the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Entry {
        id: EntryId,
        kind: u8,
        payload: Bytes,
    },
    Vote(Bytes),
    Committed(Bytes),
    /// Entries after the index are taken back; `None` takes all.
    Truncate(Option<u64>),
    Purge(EntryId),
    /// One that this version does not know.
    Unknown,
}

/// Tells everything in the log's directory. Fails only where the directory itself cannot be read.
pub fn inspect(dir: &Path, mut tell: impl FnMut(Found)) -> Result<(), Error> {
    let failed = |op, source: std::io::Error| Error::Io {
        op,
        file: dir.to_owned(),
        source: Arc::new(source),
    };
    let mut sequences = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed("list", error))? {
        let name = entry.map_err(|error| failed("list", error))?.file_name();
        if let Some(Name::Segment(sequence)) = name.to_str().and_then(Name::parse) {
            sequences.push(sequence);
        }
    }
    sequences.sort_unstable();
    for sequence in sequences {
        let file = Name::Segment(sequence).path(dir);
        match read(&file) {
            Ok(bytes) => segment(&file, sequence, &bytes, &mut tell),
            Err(error) => tell(Found::Damage { error, next: None }),
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Bytes, Error> {
    let length = fs::metadata(file).map(|meta| meta.len());
    let read = length.and_then(|length| match length > SEGMENT_BYTES_MAX {
        true => Err(std::io::Error::other("it is larger than any segment")),
        false => fs::read(file),
    });
    read.map(Bytes::from).map_err(|source| Error::Io {
        op: "read",
        file: file.to_owned(),
        source: Arc::new(source),
    })
}

/// The last entry of a log, as far as its good batches tell; `None` for an empty one.
pub fn last_entry(dir: &Path) -> Result<Option<EntryId>, Error> {
    let mut end = End::default();
    inspect(dir, |found| {
        if let Found::Record { record, .. } = found {
            end.follow(&record);
        }
    })?;
    Ok(end.last())
}

/// Follows the end of a log through its records.
#[derive(Default)]
struct End {
    /// The first entry of each term, of which a truncation may go back to an earlier one.
    terms: Vec<EntryId>,
    last: Option<u64>,
    purged: Option<EntryId>,
}

impl End {
    fn follow(&mut self, record: &Seen) {
        match record {
            Seen::Entry { id, .. } => {
                if self.terms.last().is_none_or(|first| first.term != id.term) {
                    self.terms.push(*id);
                }
                self.last = Some(id.index);
            }
            Seen::Truncate(upto) => {
                self.terms
                    .retain(|first| upto.is_some_and(|upto| first.index <= upto));
                self.last = upto.filter(|_| !self.terms.is_empty()).min(self.last);
            }
            Seen::Purge(upto) => self.purged = Some(*upto),
            Seen::Vote(_) | Seen::Committed(_) | Seen::Unknown => {}
        }
    }

    fn last(&self) -> Option<EntryId> {
        let entry = self.last.zip(self.terms.last());
        let entry = entry.map(|(index, first)| EntryId {
            index,
            term: first.term,
        });
        // After a snapshot the log may be purged further than it reaches.
        let beyond = |purged: &EntryId| entry.is_none_or(|entry| entry.index < purged.index);
        self.purged.filter(beyond).or(entry)
    }
}

fn segment(file: &Path, sequence: u64, bytes: &Bytes, tell: &mut impl FnMut(Found)) {
    let header = SegmentHeader::decode(bytes.get(..PAGE).unwrap_or(bytes), file);
    tell(Found::Segment {
        file: file.to_owned(),
        sequence,
        bytes: bytes.len() as u64,
        recycled: header.as_ref().is_ok_and(|header| header.recycled),
    });
    let generation = match header {
        Ok(header) => header.generation,
        Err(error) => {
            // The batches repeat what the header is needed for.
            let found = first_generation(bytes);
            let next = found.map(|_| FIRST_BATCH);
            tell(Found::Damage { error, next });
            match found {
                Some(generation) => generation,
                None => return,
            }
        }
    };
    let mut walk = Walk {
        file,
        bytes,
        generation,
        offset: FIRST_BATCH,
    };
    while walk.step(tell) {}
}

/// The generation that the first thing which looks like a batch names.
fn first_generation(bytes: &Bytes) -> Option<u64> {
    let mut pages = bytes.chunks(PAGE).skip(1);
    pages.find_map(|page| {
        let generation = u64_at(page, 8)?;
        batch::looks_like_one(page, generation).then_some(generation)
    })
}

struct Walk<'a> {
    file: &'a Path,
    bytes: &'a Bytes,
    generation: u64,
    offset: u64,
}

impl Walk<'_> {
    /// Tells the batch at the offset and goes on to the next; false at the end.
    fn step(&mut self, tell: &mut impl FnMut(Found)) -> bool {
        let at = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(at..).unwrap_or_default();
        let mismatch = match batch::header(rest, self.generation, self.offset) {
            Ok(header) => {
                let length = BATCH_HEADER.saturating_add(header.body);
                let whole = rest.get(..length).unwrap_or(rest);
                let sound = batch::check_body(whole, header, self.generation, self.offset);
                if sound.is_ok() && whole.len() == length {
                    self.records(whole, tell);
                    self.offset += batch::padded(header.body) as u64;
                    return true;
                }
                match sound {
                    Err(batch::BadBody::Record(_, mismatch)) => Some(mismatch),
                    _ => None,
                }
            }
            Err(mismatch) => Some(mismatch),
        };
        let next = self.next_good();
        if next.is_none() && !batch::looks_like_one(rest, self.generation) {
            tell(Found::End {
                offset: self.offset,
            });
            return false;
        }
        tell(Found::Damage {
            error: self.error(mismatch),
            next,
        });
        self.offset = next.unwrap_or(self.offset);
        next.is_some()
    }

    fn records(&self, batch: &[u8], tell: &mut impl FnMut(Found)) {
        let own = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        for (from, record) in batch::records(batch) {
            let record = match record {
                Some(Record::Entry { id, kind, payload }) => Seen::Entry {
                    id,
                    kind,
                    payload: own(payload),
                },
                Some(Record::Vote(vote)) => Seen::Vote(own(vote)),
                Some(Record::Committed(hint)) => Seen::Committed(own(hint)),
                Some(Record::Truncate(index)) => Seen::Truncate(index),
                Some(Record::Purge(upto)) => Seen::Purge(upto),
                None => Seen::Unknown,
            };
            let offset = self.offset + from as u64;
            tell(Found::Record { offset, record });
        }
    }

    /// The next page at which a batch of this segment begins whose header is good.
    fn next_good(&self) -> Option<u64> {
        let mut offset = self.offset.checked_add(PAGE as u64)?;
        loop {
            let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
            if rest.is_empty() {
                return None;
            }
            let likely = batch::looks_like_one(rest, self.generation);
            if likely && batch::header(rest, self.generation, offset).is_ok() {
                return Some(offset);
            }
            offset = offset.checked_add(PAGE as u64)?;
        }
    }

    fn error(&self, mismatch: Option<crate::record::Mismatch>) -> Error {
        let (file, offset) = (self.file.to_owned(), self.offset);
        match mismatch {
            Some(mismatch) => Error::Checksum {
                file,
                offset,
                expected: mismatch.expected,
                actual: mismatch.actual,
            },
            None => Error::Malformed {
                file,
                offset,
                what: "a batch is cut short or lacks records",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{Entry, Options, Wal};

    fn log(dir: &Path, batches: u64) {
        let wal = Wal::open(Options::new(dir)).unwrap();
        for index in 1..=batches {
            let entry = Entry {
                id: EntryId { term: 1, index },
                kind: 7,
                payload: Bytes::from(vec![index as u8; 100]),
            };
            let (done, heard) = std::sync::mpsc::channel();
            let told = Box::new(move |result| drop(done.send(result)));
            wal.append(vec![entry], told).unwrap();
            heard.recv().unwrap().unwrap();
        }
        wal.close();
    }

    fn found(dir: &Path) -> (Vec<u64>, Vec<Option<u64>>) {
        let (mut indexes, mut damage) = (Vec::new(), Vec::new());
        inspect(dir, |found| match found {
            Found::Record {
                record: Seen::Entry { id, .. },
                ..
            } => indexes.push(id.index),
            Found::Damage { next, .. } => damage.push(next),
            _ => {}
        })
        .unwrap();
        (indexes, damage)
    }

    #[test]
    fn everything_is_told_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 5);
        let file = Name::Segment(1).path(dir.path());
        let before = fs::read(&file).unwrap();
        assert_eq!(found(dir.path()), (vec![1, 2, 3, 4, 5], vec![]));
        assert_eq!(fs::read(&file).unwrap(), before);
        assert!(inspect(&dir.path().join("none"), |_| {}).is_err());
    }

    #[test]
    fn the_end_of_a_log_goes_with_what_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 5);
        assert_eq!(
            last_entry(dir.path()).unwrap(),
            Some(EntryId { term: 1, index: 5 })
        );
        let entry = |term, index| Seen::Entry {
            id: EntryId { term, index },
            kind: 7,
            payload: Bytes::new(),
        };
        let after = |records: &[Seen]| {
            let mut end = End::default();
            records.iter().for_each(|record| end.follow(record));
            end.last().map(|id| (id.term, id.index))
        };
        let two_terms = || vec![entry(1, 1), entry(1, 2), entry(2, 3), entry(2, 4)];
        let with = |more: Vec<Seen>| after(&[two_terms(), more].concat());
        assert_eq!(after(&[]), None);
        assert_eq!(with(vec![]), Some((2, 4)));
        assert_eq!(with(vec![Seen::Truncate(Some(2))]), Some((1, 2)));
        assert_eq!(
            with(vec![Seen::Truncate(Some(3)), entry(5, 4)]),
            Some((5, 4))
        );
        assert_eq!(with(vec![Seen::Truncate(None)]), None);
        let purge = |term, index| Seen::Purge(EntryId { term, index });
        assert_eq!(with(vec![purge(2, 3)]), Some((2, 4)));
        assert_eq!(with(vec![purge(7, 30)]), Some((7, 30)));
        assert_eq!(
            with(vec![purge(1, 2), Seen::Truncate(Some(2))]),
            Some((1, 2))
        );
    }

    #[test]
    fn what_stands_behind_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 5);
        let path = Name::Segment(1).path(dir.path());
        let file = fs::File::options().write(true).open(&path).unwrap();
        // The second batch, somewhere in its payload.
        file.write_all_at(b"x", FIRST_BATCH + PAGE as u64 + 90)
            .unwrap();
        let after = FIRST_BATCH + 2 * PAGE as u64;
        assert_eq!(found(dir.path()), (vec![1, 3, 4, 5], vec![Some(after)]));
        // Without its header the segment still tells what it holds.
        file.write_all_at(&[0; 64], 0).unwrap();
        let (indexes, damage) = found(dir.path());
        assert_eq!(indexes, [1, 3, 4, 5]);
        assert_eq!(damage, [Some(FIRST_BATCH), Some(after)]);
    }
}
