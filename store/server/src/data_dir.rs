//! The data directory: private to its owner, and used by one process at a time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Nobody but the owner may read keys, or the hashes of passwords.
pub const MODE: u32 = 0o700;

/// Directory of a member in its data directory, and that of the store in it.
pub const MEMBER: &str = "member";
pub const WAL: &str = "wal";
pub const STORE: &str = "store";

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("data directory {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("data directory {path} is in use by another process")]
    InUse { path: PathBuf },
}

/// ```text
/// <data-dir>/member/identity   who this member is
/// <data-dir>/member/lock       held while a process uses the directory
/// <data-dir>/member/wal/       the raft log
/// <data-dir>/member/store/     RocksDB and the index's checkpoint
/// <data-dir>/member/transfer/  snapshots on their way; emptied at each start
/// ```
#[derive(Debug)]
pub struct DataDir {
    pub member: PathBuf,
    pub wal: PathBuf,
    pub store: PathBuf,
    pub transfer: PathBuf,
    /// Dropping it releases the lock.
    _lock: File,
}

impl DataDir {
    pub fn open(data_dir: &Path, wal_dir: Option<&Path>) -> Result<DataDir, DataDirError> {
        let member = data_dir.join(MEMBER);
        private(data_dir)?;
        private(&member)?;
        let lock = lock(data_dir, &member.join("lock"))?;
        let wal = wal_dir.map_or_else(|| member.join(WAL), Path::to_path_buf);
        let store = member.join(STORE);
        let transfer = member.join("transfer");
        if let Err(source) = fs::remove_dir_all(&transfer)
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(DataDirError::Io {
                path: transfer,
                source,
            });
        }
        for dir in [&wal, &store, &transfer] {
            private(dir)?;
        }
        Ok(DataDir {
            member,
            wal,
            store,
            transfer,
            _lock: lock,
        })
    }
}

/// Creates the directory if need be, takes everybody else's rights away, and makes its name last.
fn private(path: &Path) -> Result<(), DataDirError> {
    let make = || {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(MODE)
            .create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    make().map_err(|source| DataDirError::Io {
        path: path.to_owned(),
        source,
    })
}

fn lock(data_dir: &Path, path: &Path) -> Result<File, DataDirError> {
    let failed = |source| DataDirError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse {
            path: data_dir.to_owned(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_private_and_has_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.etcd");
        let first = DataDir::open(&path, None).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(matches!(
            DataDir::open(&path, None),
            Err(DataDirError::InUse { .. })
        ));
        drop(first);
        DataDir::open(&path, None).unwrap();
    }
}
