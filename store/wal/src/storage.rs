//! The seam between the log and the file system, so that tests can cut the power.
//!
//! The log uses files in a narrow way: a segment is written forward at explicit offsets, synced,
//! renamed, and directories are synced after every change of a name. [`Disk`] is the real thing,
//! [`PowerCut`] keeps back whatever was not synced.

mod disk;
mod power_cut;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use disk::Disk;
pub use power_cut::{Piece, PowerCut};

/// Names and directories.
pub trait Storage: Send + Sync {
    /// Creates `dir` and its parents; no error if it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of the plain files in `dir`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates an empty file; an error if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Renames within one directory; an existing target is replaced. Open files follow.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file, used by the writer thread and by readers at once.
pub trait File: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reserves blocks and sets the length to at least `len`; new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Fills `buf` from `offset`; an error if the file ends before.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes data and length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}
