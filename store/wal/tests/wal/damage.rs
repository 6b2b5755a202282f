//! Damage to durable bytes is refused with file, offset and checksums, and nothing is cut.

use std::path::Path;

use mainstay_wal::{Error, Wal};
use tempfile::tempdir;

use crate::support::{all, append, entries, open, options, segments};

const PAGE: usize = 4096;

/// Writes batches of two entries, one a page, and returns the segment files.
fn written(dir: &Path, batches: u64) -> Vec<std::path::PathBuf> {
    let wal = open(dir);
    for batch in 0..batches {
        append(&wal, entries(1, 2 * batch..2 * batch + 2, 60));
    }
    wal.close();
    segments(dir)
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= mask;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_flipped_bit_below_a_durable_offset_is_refused() {
    let dir = tempdir().unwrap();
    let path = written(dir.path(), 4).remove(0);
    let good = std::fs::read(&path).unwrap();
    let body = 40 + 2 * (28 + 60);
    // The first, a middle and the last batch; after a clean close even that one is claimed.
    for page in [1, 2, 4] {
        for byte in page * PAGE..page * PAGE + body {
            flip(&path, byte, 1 << (byte % 8));
            let damaged = std::fs::read(&path).unwrap();
            match Wal::open(options(dir.path())).err() {
                Some(Error::Checksum {
                    file,
                    offset,
                    expected,
                    actual,
                }) => {
                    assert_eq!(file, path);
                    assert!(
                        (page * PAGE..=byte).contains(&(offset as usize)),
                        "{byte} {offset}"
                    );
                    assert_ne!(expected, actual);
                }
                other => panic!("byte {byte}: {other:?}"),
            }
            assert!(
                std::fs::read(&path).unwrap() == damaged,
                "a refused log was changed"
            );
            std::fs::write(&path, &good).unwrap();
        }
    }
    assert_eq!(all(&open(dir.path())), entries(1, 0..8, 60));
}

#[test]
fn the_message_names_file_offset_and_checksums() {
    let dir = tempdir().unwrap();
    let path = written(dir.path(), 3).remove(0);
    flip(&path, PAGE + 40 + 28 + 5, 1);
    let text = Wal::open(options(dir.path())).err().unwrap().to_string();
    let start = format!(
        "raft log is corrupt: {} at offset 4136: expected ",
        path.display()
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(
        text.contains("checksum 0x") && text.contains("actual 0x"),
        "{text}"
    );
}

#[test]
fn a_sealed_segment_is_checked_to_its_end_and_must_be_there() {
    let dir = tempdir().unwrap();
    let files = written(dir.path(), 40);
    assert_eq!(files.len(), 3);
    let good = std::fs::read(&files[1]).unwrap();
    for page in [1, 7, 15] {
        flip(&files[1], page * PAGE + 41, 2);
        let error = Wal::open(options(dir.path())).err();
        assert!(
            matches!(error, Some(Error::Checksum { .. })),
            "page {page}: {error:?}"
        );
        std::fs::write(&files[1], &good).unwrap();
    }
    std::fs::write(&files[1], &good[..15 * PAGE]).unwrap();
    assert!(
        Wal::open(options(dir.path())).is_err(),
        "a shortened segment was taken"
    );
    std::fs::remove_file(&files[1]).unwrap();
    let error = Wal::open(options(dir.path())).err();
    assert!(
        matches!(error, Some(Error::MissingSegment { .. })),
        "{error:?}"
    );
    std::fs::write(&files[1], &good).unwrap();
    let first = std::fs::read(&files[0]).unwrap();
    std::fs::remove_file(&files[0]).unwrap();
    let error = Wal::open(options(dir.path())).err();
    assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
    std::fs::write(&files[0], first).unwrap();
    assert_eq!(all(&open(dir.path())), entries(1, 0..80, 60));
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let files = written(dir.path(), 40);
    let others = written(other.path(), 40);
    std::fs::copy(&others[1], &files[1]).unwrap();
    let error = Wal::open(options(dir.path())).err();
    assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
}

#[test]
fn another_format_version_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let path = written(dir.path(), 1).remove(0);
    flip(&path, 8, 1 ^ 9);
    let text = Wal::open(options(dir.path())).err().unwrap().to_string();
    assert!(text.ends_with("has raft log format version 9, this program reads version 1"));
}

#[test]
fn an_entry_that_rots_while_the_log_is_open_is_never_returned() {
    let dir = tempdir().unwrap();
    let path = written(dir.path(), 4).remove(0);
    let wal = open(dir.path());
    flip(&path, 2 * PAGE + 40 + 28 + 28 + 60, 4);
    assert_eq!(wal.read(0, 3, usize::MAX).unwrap(), entries(1, 0..3, 60));
    let error = wal.read(3, 4, usize::MAX).unwrap_err();
    assert!(
        matches!(error, Error::Checksum { offset: 8320, .. }),
        "{error}"
    );
}
