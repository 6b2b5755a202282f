//! Crash images: whatever part of the last, unsynced batch reached the disk, the log opens with
//! everything that was acknowledged, and the torn batch is there whole or not at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mainstay_wal::storage::{File, Piece, PowerCut, Storage};
use mainstay_wal::{Entry, Options, Wal};
use parking_lot::Mutex;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tempfile::tempdir;

use crate::support::{all, append, copy_dir, entries, id, open, options, segments, wait};

const PAGE: usize = 4096;

type Keep = Box<dyn FnMut(&Piece) -> bool + Send>;

/// Cuts the power in place of the next sync of a file or directory once it is armed.
struct CutAtSync {
    power: PowerCut,
    armed: AtomicBool,
    /// Syncs that still work once it is armed.
    left: AtomicUsize,
    piece_bytes: usize,
    keep: Mutex<Keep>,
}

#[derive(Clone)]
struct Cutter(Arc<CutAtSync>);

impl Cutter {
    fn new(piece_bytes: usize, keep: Keep) -> Self {
        Self(Arc::new(CutAtSync {
            power: PowerCut::new(),
            armed: AtomicBool::new(false),
            left: AtomicUsize::new(0),
            piece_bytes,
            keep: Mutex::new(keep),
        }))
    }

    /// Cuts the power after `syncs` more of them.
    fn arm(&self, syncs: usize) {
        self.0.left.store(syncs, Ordering::SeqCst);
        self.0.armed.store(true, Ordering::SeqCst);
    }

    fn cut_if_armed(&self) {
        if self.0.armed.load(Ordering::SeqCst) && self.0.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            let mut keep = self.0.keep.lock();
            self.0.power.cut_keeping(self.0.piece_bytes, &mut *keep);
        }
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CutterFile {
            cutter: self.clone(),
            file,
        })
    }
}

impl Storage for Cutter {
    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.0.power.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.0.power.list(dir)
    }
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn File>> {
        Ok(self.wrap(self.0.power.create(path)?))
    }
    fn open(&self, path: &Path) -> std::io::Result<Arc<dyn File>> {
        Ok(self.wrap(self.0.power.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.0.power.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.0.power.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.cut_if_armed();
        self.0.power.sync_dir(dir)
    }
}

struct CutterFile {
    cutter: Cutter,
    file: Arc<dyn File>,
}

impl File for CutterFile {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn allocate(&self, len: u64) -> std::io::Result<()> {
        self.file.allocate(len)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> std::io::Result<()> {
        self.file.write_at(buf, offset)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.cutter.cut_if_armed();
        self.file.sync()
    }
}

/// Makes a log, in a segment that has been used before if `recycled`, and cuts the power in the
/// sync of `last`. Returns what was acknowledged.
fn crash(dir: &Path, recycled: bool, last: &[Entry], piece: usize, keep: Keep) -> Vec<Entry> {
    let cutter = Cutter::new(piece, keep);
    let storage = Arc::new(cutter.clone());
    let wal = Wal::open(Options {
        storage,
        ..options(dir)
    })
    .unwrap();
    let first = last[0].id.index;
    let begin = if recycled { first - 34 } else { first - 3 };
    for index in begin..first {
        append(&wal, entries(1, index..index + 1, 900));
        if recycled && index == first - 8 {
            wait(|done| wal.purge(id(1, index), done)).unwrap();
        }
    }
    let newest = std::fs::read(segments(dir).last().unwrap()).unwrap();
    assert_eq!(
        newest[9] == 1,
        recycled,
        "the test does not use the segment it means to"
    );
    let acknowledged = all(&wal);
    cutter.arm(0);
    wait(|done| wal.append(last.to_vec(), done)).unwrap_err();
    assert!(wal.poisoned().is_some());
    acknowledged
}

/// Opens a crash image, checks it, opens it again, and goes on writing.
fn check(dir: &Path, acknowledged: &[Entry], last: &[Entry], whole: bool, what: &str) {
    let mut expected = acknowledged.to_vec();
    if whole {
        expected.extend_from_slice(last);
    }
    let fast = || {
        Wal::open(Options {
            sync: false,
            ..options(dir)
        })
        .expect(what)
    };
    let wal = fast();
    assert_eq!(all(&wal), expected, "{what}");
    wal.close();
    let wal = fast();
    assert_eq!(
        wal.state().recovered.cut,
        None,
        "{what}: a second recovery found more to cut"
    );
    assert_eq!(all(&wal), expected, "{what}: second recovery");
    let next = expected.last().unwrap().id.index + 1;
    let more = entries(2, next..next + 2, 700);
    append(&wal, more.clone());
    wal.close();
    expected.extend(more);
    let wal = open(dir);
    assert_eq!(all(&wal), expected, "{what}: after new entries");
}

/// Every subset, given as the bits of `0..1 << count`, or as many random ones.
fn subsets(recycled: bool, piece: usize, last: &[Entry], masks: impl Iterator<Item = u64>) {
    let body: usize = 40
        + last
            .iter()
            .map(|entry| 28 + entry.payload.len())
            .sum::<usize>();
    for mask in masks {
        let dir = tempdir().unwrap();
        let mut seen = 0;
        let keep = move |part: &Piece| {
            let kept = matches!(part, Piece::Data { .. }) && mask >> seen & 1 == 1;
            seen += 1;
            kept
        };
        let acknowledged = crash(dir.path(), recycled, last, piece, Box::new(keep));
        // Pieces of padding alone do not matter: zeros on a fresh file, unread on a used one.
        let needed = (1 << body.div_ceil(piece)) - 1;
        let whole = mask & needed == needed;
        let what = format!("recycled {recycled}, pieces of {piece}, kept {mask:#b}");
        check(dir.path(), &acknowledged, last, whole, &what);
    }
}

#[test]
fn every_subset_of_the_pages_of_the_last_batch_fresh() {
    subsets(false, PAGE, &entries(1, 3..8, 4000), 0..1 << 5);
}

#[test]
fn every_subset_of_the_pages_of_the_last_batch_recycled() {
    subsets(true, PAGE, &entries(1, 100..105, 4000), 0..1 << 5);
}

#[test]
fn every_subset_of_the_sectors_of_a_page_fresh() {
    subsets(false, 512, &entries(1, 3..8, 700), 0..1 << 8);
}

#[test]
fn every_subset_of_the_sectors_of_a_page_recycled() {
    subsets(true, 512, &entries(1, 100..105, 700), 0..1 << 8);
}

#[test]
fn random_subsets_of_the_sectors_of_many_pages() {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let masks: Vec<u64> = (0..200).map(|_| rng.next_u64() | rng.next_u64()).collect();
    for (recycled, first) in [(false, 3), (true, 100)] {
        let last = entries(1, first..first + 5, 4000);
        subsets(recycled, 512, &last, masks.iter().copied());
    }
}

#[test]
fn every_cut_of_the_last_batch() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, entries(1, 0..3, 100));
    append(&wal, entries(1, 3..6, 100));
    let last = entries(1, 6..9, 50);
    append(&wal, last.clone());
    let path = segments(dir.path()).remove(0);
    let image = tempdir().unwrap();
    copy_dir(dir.path(), image.path()); // Before the closing batch.
    wal.close();
    let image = std::fs::read(image.path().join(path.file_name().unwrap())).unwrap();
    let (start, body) = (3 * PAGE, 40 + 3 * (28 + 50));
    for cut in 0..body {
        for shorten in [false, true] {
            let dir = tempdir().unwrap();
            let mut bytes = image.clone();
            if shorten {
                bytes.truncate(start + cut);
            } else {
                bytes[start + cut..].fill(0);
            }
            std::fs::write(dir.path().join(path.file_name().unwrap()), &bytes).unwrap();
            let wal = Wal::open(Options {
                sync: false,
                ..options(dir.path())
            })
            .unwrap();
            assert_eq!(all(&wal), entries(1, 0..6, 100), "cut at {cut}");
            let found = wal.state().recovered.cut.map(|cut| (cut.offset, cut.bytes));
            // The checksum follows from a random generation, so its first bytes may be zero.
            let left = image[start..start + cut].iter().any(|byte| *byte != 0);
            assert_eq!(found.is_some(), left, "cut at {cut}");
            assert!(found.is_none_or(|(offset, bytes)| offset == start as u64 && bytes > 0));
            wal.close();
            let what = format!("cut at {cut}");
            check(dir.path(), &entries(1, 0..6, 100), &last, false, &what);
        }
    }
}

#[test]
fn a_cut_while_segments_are_begun_and_recycled_loses_nothing() {
    // A batch of one entry takes a page, so some twenty batches and a purge begin two segments
    // and recycle one; header, names and batches are synced one by one. The power fails in place
    // of each of these syncs in turn, and unsynced names are lost or kept.
    for (syncs, names) in (0..34).flat_map(|syncs| [(syncs, false), (syncs, true)]) {
        let dir = tempdir().unwrap();
        let keep = move |piece: &Piece| names && matches!(piece, Piece::Name { .. });
        let cutter = Cutter::new(PAGE, Box::new(keep));
        let storage = Arc::new(cutter.clone());
        let wal = Wal::open(Options {
            storage,
            ..options(dir.path())
        })
        .unwrap();
        for index in 0..13 {
            append(&wal, entries(1, index..index + 1, 100));
        }
        cutter.arm(syncs);
        let mut acknowledged = 13;
        let mut purged = None;
        for index in 13..60 {
            match wait(|done| wal.append(entries(1, index..index + 1, 100), done)) {
                Ok(()) => acknowledged = index + 1,
                Err(_) => break,
            }
            if index == 17 && wait(|done| wal.purge(id(1, 15), done)).is_ok() {
                purged = Some(id(1, 15));
            }
        }
        assert!(wal.poisoned().is_some(), "the power was never cut");
        drop(wal);
        let wal = open(dir.path());
        let first = if purged.is_some() { 16 } else { 0 };
        assert_eq!(
            all(&wal),
            entries(1, first..acknowledged, 100),
            "{syncs} {names}"
        );
        assert_eq!(wal.state().purged, purged, "{syncs} {names}");
        append(&wal, entries(2, acknowledged..acknowledged + 20, 100));
        wal.close();
        assert!(Wal::open(options(dir.path())).is_ok());
    }
}
