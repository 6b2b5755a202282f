//! Files kept for the next segment: recycled ones, and fresh ones zeroed ahead by a helper thread.
//!
//! Overwriting written blocks spares the file system a journal commit with every sync; measured,
//! that is a third of the time of a small sync. A spare is only speed: none is needed, and the
//! bytes in it mean nothing until a header gives it a generation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::segment::Name;
use crate::storage::{File, Storage};
use crate::{Error, Options};

/// Spare files kept at most; a segment that falls free beyond this is removed.
pub(crate) const SPARES_MAX: usize = 2;

/// Zeros written and synced at a time, so that the log's own syncs never wait for much.
const ZERO_CHUNK: usize = 1 << 20;

/// A file of the size of a segment with no meaning.
pub(crate) struct Spare {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Whether it was a segment before.
    pub recycled: bool,
}

/// The pool, shared by the writer and the helper thread.
pub(crate) struct Spares {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    segment_bytes: u64,
    sync: bool,
    pool: Mutex<Pool>,
    wake: Condvar,
}

#[derive(Default)]
struct Pool {
    ready: Vec<Spare>,
    number: u64,
    wanted: bool,
    closing: bool,
}

impl Spares {
    /// A pool of what an earlier run left. `number` is above that of every spare on disk.
    pub fn new(options: &Options, ready: Vec<Spare>, number: u64) -> Self {
        let wanted = ready.is_empty();
        Self {
            dir: options.dir.clone(),
            storage: Arc::clone(&options.storage),
            segment_bytes: options.segment_bytes,
            sync: options.sync,
            pool: Mutex::new(Pool {
                ready,
                number,
                wanted,
                closing: false,
            }),
            wake: Condvar::new(),
        }
    }

    /// Whether [`Spares::take`] would find one.
    pub fn any(&self) -> bool {
        !self.pool.lock().ready.is_empty()
    }

    /// Takes a spare, if there is one, and has the helper make another when it was the last.
    pub fn take(&self) -> Option<Spare> {
        let mut pool = self.pool.lock();
        let spare = pool.ready.pop();
        if pool.ready.is_empty() {
            pool.wanted = true;
            self.wake.notify_one();
        }
        spare
    }

    /// A path for a new spare.
    pub fn path(&self) -> PathBuf {
        let mut pool = self.pool.lock();
        pool.number += 1;
        Name::Spare(pool.number).path(&self.dir)
    }

    /// Turns a segment that holds nothing live into a spare, or removes it if there are enough.
    /// The directory is synced before the file can be overwritten: else a power cut could bring
    /// the old name back with the new content.
    pub fn recycle(&self, path: &Path, file: &Arc<dyn File>, capacity: u64) -> Result<(), Error> {
        let keep = capacity == self.segment_bytes && self.pool.lock().ready.len() < SPARES_MAX;
        let spare = self.path();
        let changed = if keep {
            self.storage
                .rename(path, &spare)
                .map_err(|e| Error::io("rename", path, e))
        } else {
            self.storage
                .remove(path)
                .map_err(|e| Error::io("remove", path, e))
        };
        changed?;
        if self.sync {
            self.storage
                .sync_dir(&self.dir)
                .map_err(|e| Error::io("sync directory", &self.dir, e))?;
        }
        if keep {
            let file = Arc::clone(file);
            self.pool.lock().ready.push(Spare {
                path: spare,
                file,
                recycled: true,
            });
        }
        Ok(())
    }

    /// Lets the helper thread end.
    pub fn close(&self) {
        self.pool.lock().closing = true;
        self.wake.notify_one();
    }

    /// The helper thread: zeroes one file whenever the pool is empty.
    pub fn run(&self) {
        loop {
            let mut pool = self.pool.lock();
            while !pool.wanted && !pool.closing {
                self.wake.wait(&mut pool);
            }
            if pool.closing {
                return;
            }
            pool.wanted = false;
            let needed = pool.ready.is_empty();
            drop(pool);
            if needed {
                self.add_zeroed();
            }
        }
    }

    fn add_zeroed(&self) {
        let path = self.path();
        match self.zeroed(&path) {
            Ok(Some(file)) => {
                self.pool.lock().ready.push(Spare {
                    path,
                    file,
                    recycled: false,
                });
            }
            // Closed, or the disk is full: the log itself will meet that and say so. What is left
            // has not a segment's length and is removed at the next start.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot prepare a log segment");
                let _left = self.storage.remove(&path);
            }
        }
    }

    fn zeroed(&self, path: &Path) -> std::io::Result<Option<Arc<dyn File>>> {
        let file = self.storage.create(path)?;
        let zeros = vec![0; ZERO_CHUNK];
        let mut offset = 0;
        while offset < self.segment_bytes {
            if self.pool.lock().closing {
                return Ok(None);
            }
            let left = usize::try_from(self.segment_bytes - offset).unwrap_or(ZERO_CHUNK);
            let chunk = zeros.get(..left.min(ZERO_CHUNK)).unwrap_or(&zeros);
            file.write_at(chunk, offset)?;
            if self.sync {
                file.sync()?;
            }
            offset += chunk.len() as u64;
        }
        Ok(Some(file))
    }
}
