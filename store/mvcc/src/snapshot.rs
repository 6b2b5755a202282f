use bytes::Bytes;
use std::path::Path;

use crate::Error;

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
    pub applied: Bytes,
    pub revision: i64,
    pub files: Vec<SnapshotFile>,
}

/// Makes the files in `received` (same file system as `dir`) the store of `dir`: verifies and syncs
/// every file, moves the directory in, switches the pointer. `dir` is opened anew afterwards.
#[allow(unused_variables)]
pub fn install(dir: &Path, received: &Path, info: &SnapshotInfo) -> Result<(), Error> {
    todo!()
}
