//! Log files that were put aside: how they are called, and which of them are packed or deleted.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local, NaiveDateTime, TimeZone as _, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::stem;
use crate::settings::Rotation;

/// lumberjack's, so that what collects etcd's logs finds ours.
const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const PACKED: &str = ".gz";

/// The files of one log.
#[derive(Clone)]
pub struct Backups {
    dir: PathBuf,
    /// The log's name up to where the time goes, and what follows it.
    before: String,
    after: String,
    rotation: Rotation,
}

/// A file that was put aside.
#[derive(Debug)]
struct Backup {
    path: PathBuf,
    at: DateTime<Utc>,
    packed: bool,
}

impl Backups {
    pub fn new(log: &Path, rotation: Rotation) -> Backups {
        let dir = log.parent().unwrap_or(Path::new(""));
        let (before, after) = stem(log);
        let text = |name: OsString| name.to_string_lossy().into_owned();
        Backups {
            dir: match dir.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => dir.to_owned(),
            },
            before: format!("{}-", text(before)),
            after: text(after),
            rotation,
        }
    }

    /// Where a log goes that ends now.
    pub fn name(&self, now: DateTime<Utc>) -> PathBuf {
        let time = match self.rotation.local_time {
            true => now.with_timezone(&Local).format(TIME).to_string(),
            false => now.format(TIME).to_string(),
        };
        let (before, after) = (&self.before, &self.after);
        self.dir.join(format!("{before}{time}{after}"))
    }

    /// Deletes what is too old or too many and packs what is left, as far as that was asked for.
    /// Goes on after a failure, and returns the first.
    pub fn clean(&self, now: DateTime<Utc>) -> io::Result<()> {
        let Rotation {
            max_age,
            max_backups,
            compress,
            ..
        } = self.rotation;
        if max_age.is_none() && max_backups.is_none() && !compress {
            return Ok(());
        }
        let mut outcome = Ok(());
        let mut note = |result: io::Result<()>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        // Packed and not yet packed, a file counts once.
        let (mut times, mut last) = (0, None);
        for backup in self.found()? {
            if last != Some(backup.at) {
                times += 1;
                last = Some(backup.at);
            }
            let age = (now - backup.at).to_std().unwrap_or_default();
            let too_many = max_backups.is_some_and(|most| times > most);
            if too_many || max_age.is_some_and(|most| age > most) {
                note(fs::remove_file(&backup.path));
            } else if compress && !backup.packed {
                note(pack(&backup.path));
            }
        }
        outcome
    }

    /// The backups there are, the newest first.
    fn found(&self) -> io::Result<Vec<Backup>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            // Whatever has another name is somebody else's.
            if let Some((at, packed)) = name.to_str().and_then(|name| self.time(name)) {
                let path = entry.path();
                found.push(Backup { path, at, packed });
            }
        }
        found.sort_by_key(|backup| std::cmp::Reverse(backup.at));
        Ok(found)
    }

    /// The time in a name, and whether it is of a packed file.
    fn time(&self, name: &str) -> Option<(DateTime<Utc>, bool)> {
        let (name, packed) = match name.strip_suffix(PACKED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let time = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let time = NaiveDateTime::parse_from_str(time, TIME).ok()?;
        let time = match self.rotation.local_time {
            // An hour that the clock goes through twice is read as its first.
            true => Local.from_local_datetime(&time).earliest()?.to_utc(),
            false => time.and_utc(),
        };
        Some((time, packed))
    }
}

/// Packs a file and deletes it. A packed one that is there already was not finished.
fn pack(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(PACKED);
    let mut from = File::open(path)?;
    let to = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(from.metadata()?.mode() & 0o777)
        .open(&packed)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    let written = io::copy(&mut from, &mut encoder).and_then(|_| encoder.finish());
    if let Err(error) = written {
        // The disk may be full, and the half of it is of no use.
        let _ = fs::remove_file(&packed);
        return Err(error);
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use chrono::TimeDelta;
    use flate2::read::GzDecoder;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn rotation() -> Rotation {
        Rotation {
            max_bytes: 1,
            max_age: None,
            max_backups: None,
            local_time: false,
            compress: false,
        }
    }

    /// Four backups, each a day older than the one before, and the names left after a clean-up.
    fn left(rotation: Rotation) -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let now = Utc::now();
        let backups = Backups::new(&dir.path().join("x.log"), rotation);
        for days in 0..4 {
            let name = backups.name(now - TimeDelta::days(days) - TimeDelta::minutes(1));
            fs::write(name, format!("{days} days old")).unwrap();
        }
        // None of these is a backup of x.log.
        for other in ["x.log", "x-notes.log", "y-2001-01-01T00-00-00.000.log"] {
            fs::write(dir.path().join(other), "mine").unwrap();
        }
        backups.clean(now).unwrap();
        backups.clean(now).unwrap();
        assert!(dir.path().join("y-2001-01-01T00-00-00.000.log").exists());
        assert!(dir.path().join("x-notes.log").exists() && dir.path().join("x.log").exists());
        let found = backups.found().unwrap();
        let names = found.iter().map(|backup| {
            let name = backup.path.file_name().unwrap();
            name.to_str().unwrap().to_owned()
        });
        let names = names.collect();
        (dir, names)
    }

    #[test]
    fn without_limits_everything_stays() {
        assert_eq!(left(rotation()).1.len(), 4);
    }

    #[test]
    fn the_oldest_are_too_many() {
        let (dir, names) = left(Rotation {
            max_backups: Some(2),
            ..rotation()
        });
        assert_eq!(names.len(), 2);
        let newest = fs::read_to_string(dir.path().join(&names[0])).unwrap();
        assert_eq!(newest, "0 days old");
    }

    #[test]
    fn what_is_too_old_is_deleted() {
        for local_time in [false, true] {
            let (_dir, names) = left(Rotation {
                max_age: Some(2 * DAY),
                local_time,
                ..rotation()
            });
            assert_eq!(names.len(), 2, "local time: {local_time}");
        }
    }

    #[test]
    fn packed_files_hold_what_was_in_them() {
        let (dir, names) = left(Rotation {
            compress: true,
            max_backups: Some(3),
            ..rotation()
        });
        assert_eq!(names.len(), 3);
        assert!(
            names.iter().all(|name| name.ends_with(".log.gz")),
            "{names:?}"
        );
        let packed = File::open(dir.path().join(&names[0])).unwrap();
        let mut text = String::new();
        GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "0 days old");
    }
}
