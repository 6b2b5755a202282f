//! What every test needs: small logs, entries made from their index, and waiting for callbacks.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use bytes::Bytes;
use mainstay_wal::{Done, Entry, EntryId, Error, Options, Wal};

/// Sixteen pages: the header and fifteen small batches.
pub const SEGMENT: u64 = 64 << 10;

/// Small segments, and no helper thread, so that a test knows which files there are.
pub fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: SEGMENT,
        prepare: false,
        ..Options::new(dir)
    }
}

pub fn id(term: u64, index: u64) -> EntryId {
    EntryId { term, index }
}

/// An entry whose payload follows from its id and length.
pub fn entry(term: u64, index: u64, len: usize) -> Entry {
    let payload: Vec<u8> = (0..len as u64)
        .map(|at| (at ^ index ^ (term << 4)) as u8 | 1)
        .collect();
    Entry {
        id: id(term, index),
        kind: (index % 3) as u8,
        payload: Bytes::from(payload),
    }
}

pub fn entries(term: u64, range: std::ops::Range<u64>, len: usize) -> Vec<Entry> {
    range.map(|index| entry(term, index, len)).collect()
}

/// Runs a change and waits until it is durable or has failed.
pub fn wait(change: impl FnOnce(Done) -> Result<(), Error>) -> Result<(), Error> {
    let (send, receive) = mpsc::channel();
    change(Box::new(move |result| send.send(result).unwrap()))?;
    receive.recv().expect("the callback was dropped")
}

pub fn append(wal: &Wal, entries: Vec<Entry>) {
    wait(|done| wal.append(entries, done)).unwrap();
}

pub fn ignore() -> Done {
    Box::new(|_| {})
}

/// Every entry from the purge point on.
pub fn all(wal: &Wal) -> Vec<Entry> {
    let state = wal.state();
    let from = state.purged.map_or(0, |purged| purged.index + 1);
    let end = state.last.map_or(0, |last| last.index + 1);
    wal.read(from, end, usize::MAX).unwrap()
}

pub fn open(dir: &Path) -> Wal {
    Wal::open(options(dir)).unwrap()
}

/// Segment files, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    found.sort();
    found
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        std::fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}
