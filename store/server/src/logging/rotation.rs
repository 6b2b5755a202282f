//! A log file that is put aside when it is full, as lumberjack does it for etcd.
//!
//! `etcd.log` becomes `etcd-2026-11-26T18-30-00.000.log`, with the time of its end, and a new file takes
//! its place. What was put aside is packed and, by age or number, deleted by a thread of its own:
//! lines do not wait for that.

mod backups;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use crate::settings::Rotation;
use backups::Backups;

/// Nobody else may read a new log (lumberjack); one that takes another's place has its mode.
const MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o755;

/// The file that is written, and how much is in it.
pub struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    backups: Backups,
    /// Wakes the thread that looks after what was put aside.
    cleaning: SyncSender<()>,
}

impl Rotating {
    /// Goes on with the file if there is one, and looks after what lies beside it.
    pub fn open(path: &Path, rotation: &Rotation) -> io::Result<Rotating> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE).create(dir)?;
        }
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        let backups = Backups::new(path, rotation.clone());
        let cleaning = clean(backups.clone())?;
        let rotating = Rotating {
            path: path.to_owned(),
            file,
            bytes,
            max_bytes: rotation.max_bytes,
            backups,
            cleaning,
        };
        rotating.wake();
        Ok(rotating)
    }

    /// A thread that is at it already will not miss what was put aside a moment ago by much: the next
    /// rotation wakes it again.
    fn wake(&self) {
        let _ = self.cleaning.try_send(());
    }

    fn rotate(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        let before = self.file.metadata()?;
        let mut aside = self.backups.name(now);
        // Whatever has the name already stays: two rotations may fall into one millisecond.
        for later in 1.. {
            if !aside.exists() {
                break;
            }
            aside = self.backups.name(now + TimeDelta::milliseconds(later));
        }
        match fs::rename(&self.path, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Somebody else has moved it.
            _ => {}
        }
        let file = append(&self.path)?;
        fchmod(&file, Mode::from_raw_mode(before.mode() & 0o7777))?;
        // Only root may give files away; the log is no worse for being its writer's own.
        let owner = (Uid::from_raw(before.uid()), Gid::from_raw(before.gid()));
        let _ = fchown(&file, Some(owner.0), Some(owner.1));
        (self.file, self.bytes) = (file, 0);
        self.wake();
        Ok(())
    }
}

impl Write for Rotating {
    /// Takes a line whole: it is never divided between two files.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let length = line.len() as u64;
        let full = self.bytes.saturating_add(length) > self.max_bytes;
        if full && self.bytes > 0 && self.rotate(Utc::now()).is_err() {
            // A full file is better than none; it is tried again after as much once more.
            self.bytes = 0;
        }
        self.file.write_all(line)?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(MODE)
        .open(path)
}

/// Starts the thread that packs and deletes, once for every time it is woken.
fn clean(backups: Backups) -> io::Result<SyncSender<()>> {
    let (wake, woken) = sync_channel(1);
    let cleaning = std::thread::Builder::new().name("log backups".to_owned());
    cleaning.spawn(move || {
        for () in woken {
            if let Err(error) = backups.clean(Utc::now()) {
                tracing::warn!(%error, "older log files could not be cleaned up");
            }
        }
    })?;
    Ok(wake)
}

/// A file's name without its extension, and the extension with its dot (Go's `filepath.Ext`).
fn stem(path: &Path) -> (OsString, OsString) {
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_encoded_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    let (stem, extension) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let text = |bytes: &[u8]| {
        use std::os::unix::ffi::OsStringExt as _;
        OsString::from_vec(bytes.to_vec())
    };
    (text(stem), text(extension))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn rotation(max_bytes: u64) -> Rotation {
        Rotation {
            max_bytes,
            max_age: None,
            max_backups: None,
            local_time: false,
            compress: false,
        }
    }

    /// What is in the directory beside the log, by name.
    fn aside(dir: &Path) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap() != "x.log")
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_full_file_is_put_aside_under_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/x.log");
        let mut log = Rotating::open(&path, &rotation(10)).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "a line that is longer\n",
            "4\n",
        ] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let aside = aside(path.parent().unwrap());
        let texts: Vec<&str> = aside.iter().map(|(_, text)| text.as_str()).collect();
        // None is divided, and one that is longer than a file has a file of its own.
        assert_eq!(texts, ["one\ntwo\n", "three\n", "a line that is longer\n"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
        let name = &aside[0].0;
        assert!(name.starts_with("x-20") && name.ends_with(".log"), "{name}");
        assert_eq!(name.len(), "x-2026-11-26T18-30-00.000.log".len());
    }

    #[test]
    fn a_file_that_is_there_goes_on_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        fs::write(&path, "before\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut log = Rotating::open(&path, &rotation(10)).unwrap();
        log.write_all(b"a\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\na\n");
        log.write_all(b"bc\n").unwrap();
        assert_eq!(aside(dir.path())[0].1, "before\na\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn a_new_log_is_its_writers_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        Rotating::open(&path, &rotation(10)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_log_that_cannot_be_put_aside_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/x.log");
        let mut log = Rotating::open(&path, &rotation(4)).unwrap();
        log.write_all(b"one\n").unwrap();
        // The directory is gone, so there is nowhere to put the file nor to make a new one.
        fs::remove_dir_all(dir.path().join("logs")).unwrap();
        log.write_all(b"two\n").unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn extensions_are_gos() {
        let of = |name: &str| {
            let (stem, extension) = stem(Path::new(name));
            (
                stem.into_string().unwrap(),
                extension.into_string().unwrap(),
            )
        };
        assert_eq!(of("/v/etcd.log"), ("etcd".into(), ".log".into()));
        assert_eq!(of("/v/etcd"), ("etcd".into(), String::new()));
        assert_eq!(of("/v/a.b.log"), ("a.b".into(), ".log".into()));
    }
}
