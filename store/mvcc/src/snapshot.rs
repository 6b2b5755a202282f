//! A copy of the store for another member, and taking one in.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use bytes::Bytes;

use crate::{
    Error, db, directory,
    schema::{APPLIED, STATE},
    state::State,
    store::Inner,
};

/// Bytes read at a time while a file is checksummed.
const READ_BYTES: usize = 256 * 1024;

/// A file of a snapshot directory, by its bare name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    pub name: String,
    pub size: u64,
    pub crc32c: u32,
}

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// What the last commit in it was made of.
    pub applied: Bytes,
    pub revision: i64,
    pub files: Vec<SnapshotFile>,
}

/// Flushes and links the files into `dir`. Reads all of them for their checksums: not for a thread
/// that others wait for.
pub(crate) fn snapshot_to(inner: &Inner, dir: &Path) -> Result<SnapshotInfo, Error> {
    inner.db.checkpoint(dir)?;
    let mut rows = db::peek(dir, &[APPLIED, STATE])?.into_iter();
    let applied = rows.next().flatten().unwrap_or_default();
    let state = match rows.next().flatten() {
        Some(row) => State::decode(&row)?,
        None => State::default(),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::corrupt("a file of the snapshot has an odd name"));
        };
        if !belongs(&name) {
            fs::remove_file(entry.path())?;
            continue;
        }
        let (size, crc32c) = checksum(&entry.path())?;
        files.push(SnapshotFile { name, size, crc32c });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(SnapshotInfo {
        applied,
        revision: state.revision,
        files,
    })
}

/// Makes the files in `received` (same file system as `dir`) the store of `dir`: verifies and
/// syncs every file, moves the directory in, switches the pointer. All handles of the old store
/// must be gone before `dir` is opened anew. A crash at any point leaves the old store or the new.
///
/// Errors: `Corrupt` if a file is missing, superfluous or not as `info` says.
pub fn install(dir: &Path, received: &Path, info: &SnapshotInfo) -> Result<(), Error> {
    let mut there = Vec::new();
    for entry in fs::read_dir(received)? {
        there.push(entry?.file_name().into_string().unwrap_or_default());
    }
    if let Some(odd) = there
        .iter()
        .find(|name| !info.files.iter().any(|f| f.name == **name))
    {
        return Err(Error::corrupt(format!(
            "snapshot has a file {odd:?} it does not list"
        )));
    }
    for file in &info.files {
        if !there.contains(&file.name) {
            return Err(Error::corrupt(format!(
                "snapshot lacks its file {:?}",
                file.name
            )));
        }
        let path = received.join(&file.name);
        if checksum(&path)? != (file.size, file.crc32c) {
            return Err(Error::corrupt(format!(
                "file {:?} of the snapshot differs",
                file.name
            )));
        }
        File::open(&path)?.sync_all()?;
    }
    directory::sync_dir(received)?;
    directory::switch(dir, received)
}

/// What reading the copy once has left in it (a lock, a log) is not part of it.
fn belongs(name: &str) -> bool {
    name == "CURRENT"
        || name.starts_with("MANIFEST-")
        || name.starts_with("OPTIONS-")
        || name.ends_with(".sst")
        || name.ends_with(".blob")
}

fn checksum(path: &Path) -> Result<(u64, u32), Error> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut size, mut crc) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok((size, crc));
        };
        size += read as u64;
        crc = crc32c::crc32c_append(crc, bytes);
    }
}
