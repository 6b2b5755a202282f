//! A file system whose power can be cut.
//!
//! Works on a real directory but keeps in memory whatever was not made durable: written bytes
//! until the file is synced, new, changed and removed names until their directory is synced. So
//! killing the process, or calling [`PowerCut::cut`], leaves the directory as a power cut would.
//! `kill -9` alone proves nothing about durability, because the page cache survives it.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, File, Storage};

/// Marks files whose name is not durable yet; they are kept under such a name until it is.
const HIDDEN: &str = ".unsynced-";

/// The storage. Clones share the power switch.
///
/// Memory: everything that is not synced stays in memory, so it suits logs and not bulk loads.
#[derive(Clone, Default)]
pub struct PowerCut(Arc<Mutex<Inner>>);

/// Something not durable that a cut may keep or lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Part of an unsynced write.
    Data {
        /// The file, under its latest name.
        file: PathBuf,
        /// Offset in the file in bytes.
        offset: u64,
        /// Length in bytes, at most the `piece_bytes` asked for.
        len: usize,
    },
    /// A created, renamed or removed name. Journals keep their order, so after the first lost one
    /// all later ones are lost too.
    Name {
        /// The name after the change, or the one removed.
        file: PathBuf,
    },
}

#[derive(Default)]
struct Inner {
    off: bool,
    /// Names as the running process sees them; `None` is a name that is gone.
    names: HashMap<PathBuf, Option<Arc<Node>>>,
    changes: Vec<Change>,
    hidden: u64,
}

enum Change {
    Create { hidden: PathBuf, path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

struct Node {
    file: fs::File,
    pending: Mutex<Pending>,
}

struct Pending {
    /// Length as the running process sees it.
    len: u64,
    writes: Vec<(u64, Vec<u8>)>,
}

impl PowerCut {
    /// A storage with the power on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: everything that was not synced is lost and every later call fails.
    pub fn cut(&self) {
        self.cut_keeping(usize::MAX, |_| false);
    }

    /// Cuts the power but lets the disk have written some of what was not synced, as disks do:
    /// unsynced writes are cut into pieces at multiples of `piece_bytes` of the file, and `keep`
    /// decides for each. 512 tears sectors apart, 4096 pages.
    pub fn cut_keeping(&self, piece_bytes: usize, mut keep: impl FnMut(&Piece) -> bool) {
        let mut inner = self.0.lock();
        inner.off = true;
        for (path, node) in &inner.names {
            let Some(node) = node else { continue };
            for (offset, data) in node.pending.lock().writes.drain(..) {
                for (offset, data) in pieces(offset, &data, piece_bytes) {
                    let piece = Piece::Data {
                        file: path.clone(),
                        offset,
                        len: data.len(),
                    };
                    if keep(&piece) {
                        // The disk is allowed to lose it, so a failure here is one more loss.
                        let _lost = node.file.write_all_at(data, offset);
                    }
                }
            }
        }
        let changes = std::mem::take(&mut inner.changes);
        let mut kept = true;
        for change in changes {
            kept = kept
                && keep(&Piece::Name {
                    file: change.target().to_path_buf(),
                });
            if kept {
                let _lost = change.apply();
            } else if let Change::Create { hidden, .. } = change {
                let _left = fs::remove_file(hidden);
            }
        }
    }

    fn on(&self) -> io::Result<parking_lot::MutexGuard<'_, Inner>> {
        let inner = self.0.lock();
        if inner.off {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(inner)
        }
    }
}

impl Change {
    fn target(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Remove { path } => path,
            Self::Rename { to, .. } => to,
        }
    }

    fn apply(&self) -> io::Result<()> {
        match self {
            Self::Create { hidden, path } => fs::rename(hidden, path),
            Self::Rename { from, to } => fs::rename(from, to),
            Self::Remove { path } => fs::remove_file(path),
        }
    }
}

/// Cuts a write where the file's offset is a multiple of `bytes`.
fn pieces(offset: u64, data: &[u8], bytes: usize) -> Vec<(u64, &[u8])> {
    let mut out = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let to_border = bytes - usize::try_from(at % bytes as u64).unwrap_or(0);
        let (head, tail) = rest.split_at(to_border.min(rest.len()));
        out.push((at, head));
        at += head.len() as u64;
        rest = tail;
    }
    out
}

impl Inner {
    fn node(&mut self, path: &Path) -> io::Result<Arc<Node>> {
        match self.names.get(path) {
            Some(Some(node)) => return Ok(Arc::clone(node)),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        self.insert(path, file)
    }

    fn insert(&mut self, path: &Path, file: fs::File) -> io::Result<Arc<Node>> {
        let len = file.metadata()?.len();
        let node = Arc::new(Node {
            file,
            pending: Mutex::new(Pending {
                len,
                writes: Vec::new(),
            }),
        });
        self.names
            .insert(path.to_path_buf(), Some(Arc::clone(&node)));
        Ok(node)
    }
}

impl Storage for PowerCut {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        drop(self.on()?);
        Disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.on()?;
        let mut names = Vec::new();
        for name in Disk.list(dir)? {
            let path = dir.join(&name);
            if name.starts_with(HIDDEN) {
                let ours = inner.changes.iter().any(
                    |change| matches!(change, Change::Create { hidden, .. } if *hidden == path),
                );
                if !ours {
                    fs::remove_file(path)?; // Left by a process that was killed.
                }
            } else if !inner.names.contains_key(&path) {
                names.push(name);
            }
        }
        for (path, node) in &inner.names {
            if node.is_some()
                && path.parent() == Some(dir)
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut inner = self.on()?;
        let taken = match inner.names.get(path) {
            Some(node) => node.is_some(),
            None => path.try_exists()?,
        };
        if taken {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.hidden += 1;
        let name = format!("{HIDDEN}{}-{}", std::process::id(), inner.hidden);
        let hidden = path.with_file_name(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&hidden)?;
        let node = inner.insert(path, file)?;
        inner.changes.push(Change::Create {
            hidden,
            path: path.to_path_buf(),
        });
        Ok(Arc::new(PowerCutFile {
            power: self.clone(),
            node,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let node = self.on()?.node(path)?;
        Ok(Arc::new(PowerCutFile {
            power: self.clone(),
            node,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.on()?;
        let node = inner.node(from)?;
        inner.names.insert(from.to_path_buf(), None);
        inner.names.insert(to.to_path_buf(), Some(node));
        inner.changes.push(Change::Rename {
            from: from.to_path_buf(),
            to: to.to_path_buf(),
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.on()?;
        inner.node(path)?;
        inner.names.insert(path.to_path_buf(), None);
        inner.changes.push(Change::Remove {
            path: path.to_path_buf(),
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.on()?;
        let (here, elsewhere): (Vec<_>, Vec<_>) = std::mem::take(&mut inner.changes)
            .into_iter()
            .partition(|change| change.target().parent() == Some(dir));
        inner.changes = elsewhere;
        here.iter().try_for_each(Change::apply)
    }
}

struct PowerCutFile {
    power: PowerCut,
    node: Arc<Node>,
}

impl File for PowerCutFile {
    fn len(&self) -> io::Result<u64> {
        drop(self.power.on()?);
        Ok(self.node.pending.lock().len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        drop(self.power.on()?);
        let mut pending = self.node.pending.lock();
        pending.len = pending.len.max(len);
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        drop(self.power.on()?);
        let pending = self.node.pending.lock();
        let end = offset + buf.len() as u64;
        if end > pending.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf.fill(0);
        let durable = self.node.file.metadata()?.len().saturating_sub(offset);
        let durable = usize::try_from(durable)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        if let Some(head) = buf.get_mut(..durable) {
            self.node.file.read_exact_at(head, offset)?;
        }
        for (at, data) in &pending.writes {
            let (from, to) = (offset.max(*at), end.min(at + data.len() as u64));
            if from < to {
                // Both ranges lie within their buffers, hence within usize.
                let (len, target) = ((to - from) as usize, (from - offset) as usize);
                let source = (from - at) as usize;
                buf[target..target + len].copy_from_slice(&data[source..source + len]);
            }
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        drop(self.power.on()?);
        let mut pending = self.node.pending.lock();
        pending.len = pending.len.max(offset + buf.len() as u64);
        pending.writes.push((offset, buf.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // The switch stays locked, so that a cut comes before or after a sync and never inside.
        let _inner = self.power.on()?;
        let mut pending = self.node.pending.lock();
        for (offset, data) in pending.writes.drain(..) {
            self.node.file.write_all_at(&data, offset)?;
        }
        if self.node.file.metadata()?.len() < pending.len {
            self.node.file.set_len(pending.len)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(storage: &dyn Storage, path: &Path, len: usize) -> Vec<u8> {
        let mut buf = vec![0; len];
        storage.open(path).unwrap().read_at(&mut buf, 0).unwrap();
        buf
    }

    #[test]
    fn what_was_not_synced_is_lost_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, lost) = (dir.path().join("kept"), dir.path().join("lost"));
        let power = PowerCut::new();
        let file = power.create(&kept).unwrap();
        file.write_at(b"durable", 0).unwrap();
        file.sync().unwrap();
        power.sync_dir(dir.path()).unwrap();
        file.write_at(b"DUR", 0).unwrap();
        power.create(&lost).unwrap().sync().unwrap();
        assert_eq!(read(&power, &kept, 7), b"DURable");
        let mut names = power.list(dir.path()).unwrap();
        names.sort();
        assert_eq!(names, ["kept", "lost"]);
        power.cut();
        assert!(file.write_at(b"x", 0).is_err() && file.sync().is_err());
        assert!(power.list(dir.path()).is_err());
        assert_eq!(Disk.list(dir.path()).unwrap(), ["kept"]);
        assert_eq!(read(&Disk, &kept, 7), b"durable");
    }

    #[test]
    fn renames_and_removals_wait_for_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        let power = PowerCut::new();
        power.rename(&a, &c).unwrap();
        power.remove(&b).unwrap();
        assert_eq!(power.list(dir.path()).unwrap(), ["c"]);
        assert!(power.open(&a).is_err() && power.open(&b).is_err());
        power.sync_dir(dir.path()).unwrap();
        assert_eq!(Disk.list(dir.path()).unwrap(), ["c"]);
        power.rename(&c, &a).unwrap();
        power.cut();
        assert_eq!(Disk.list(dir.path()).unwrap(), ["c"]);
    }

    #[test]
    fn pieces_are_cut_at_borders_of_the_file_and_kept_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [0; 2048]).unwrap();
        let power = PowerCut::new();
        power
            .open(&path)
            .unwrap()
            .write_at(&[1; 1000], 300)
            .unwrap();
        let mut seen = Vec::new();
        power.cut_keeping(512, |piece| {
            if let Piece::Data { offset, len, .. } = piece {
                seen.push((*offset, *len));
            }
            seen.len() == 2
        });
        assert_eq!(seen, [(300, 212), (512, 512), (1024, 276)]);
        let bytes = fs::read(&path).unwrap();
        let ones = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == 1)
            .map(|(at, _)| at);
        assert_eq!(ones.collect::<Vec<_>>(), (512..1024).collect::<Vec<_>>());
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let killed = PowerCut::new();
        let _file = killed.create(&dir.path().join("file")).unwrap();
        assert_eq!(Disk.list(dir.path()).unwrap().len(), 1);
        assert!(PowerCut::new().list(dir.path()).unwrap().is_empty());
        assert!(Disk.list(dir.path()).unwrap().is_empty());
    }
}
