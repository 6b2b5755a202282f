//! A failed write or sync ends the log: nothing is acknowledged after it, nothing is retried.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use mainstay_wal::storage::{Disk, File, Storage};
use mainstay_wal::{Error, Observer, Options, Wal};
use tempfile::tempdir;

use crate::support::{all, append, entries, ignore, open, options, wait};

/// The disk, with syncs or writes that fail when told to, and counted.
#[derive(Clone, Default)]
struct Failing(Arc<Switches>);

#[derive(Default)]
struct Switches {
    fail_sync: AtomicBool,
    full: AtomicBool,
    writes: AtomicUsize,
    syncs: AtomicUsize,
}

impl Failing {
    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile {
            switches: Arc::clone(&self.0),
            file,
        })
    }
}

impl Storage for Failing {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(Disk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(Disk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
}

struct FailingFile {
    switches: Arc<Switches>,
    file: Arc<dyn File>,
}

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.switches.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.allocate(len)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.switches.writes.fetch_add(1, Ordering::SeqCst);
        self.file.write_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.switches.syncs.fetch_add(1, Ordering::SeqCst);
        // Fails once, as the kernel does: the next call would report success.
        if self.switches.fail_sync.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        self.file.sync()
    }
}

#[derive(Default)]
struct Heard(AtomicBool);

impl Observer for Heard {
    fn failed(&self, _error: &Error) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_failed_sync_poisons_the_log_and_is_not_retried() {
    let dir = tempdir().unwrap();
    let (failing, heard) = (Failing::default(), Arc::new(Heard::default()));
    let storage = Arc::new(failing.clone());
    let observer = Arc::clone(&heard) as Arc<dyn Observer>;
    let wal = Wal::open(Options {
        storage,
        observer,
        ..options(dir.path())
    })
    .unwrap();
    append(&wal, entries(1, 0..3, 100));
    failing.0.fail_sync.store(true, Ordering::SeqCst);
    let (send, results) = mpsc::channel();
    let count = failing.0.syncs.load(Ordering::SeqCst);
    for index in 3..20 {
        let send = send.clone();
        let done = Box::new(move |result| send.send(result).unwrap());
        if wal.append(entries(1, index..index + 1, 100), done).is_err() {
            break;
        }
    }
    drop(send);
    let results: Vec<Result<(), Error>> = results.iter().collect();
    assert!(
        !results.is_empty() && results.iter().all(Result::is_err),
        "{results:?}"
    );
    assert!(heard.0.load(Ordering::SeqCst));
    let text = wal.poisoned().unwrap().to_string();
    assert!(
        text.starts_with("raft log has stopped: cannot sync "),
        "{text}"
    );
    let writes = failing.0.writes.load(Ordering::SeqCst);
    assert!(matches!(
        wal.append(entries(1, 3..4, 1), ignore()),
        Err(Error::Poisoned(_))
    ));
    assert!(matches!(
        wal.save_vote(Bytes::new(), ignore()),
        Err(Error::Poisoned(_))
    ));
    assert!(wal.save_committed(Bytes::new()).is_err());
    assert!(wal.truncate_after(None, ignore()).is_err());
    assert!(wal.read(0, 3, usize::MAX).is_err());
    wal.close();
    assert_eq!(
        failing.0.syncs.load(Ordering::SeqCst),
        count + 1,
        "a second sync was tried"
    );
    assert_eq!(
        failing.0.writes.load(Ordering::SeqCst),
        writes,
        "something was written after it"
    );
    let found = all(&open(dir.path()));
    assert_eq!(&found[..3], entries(1, 0..3, 100));
}

#[test]
fn a_callback_that_panics_stops_the_log_and_hangs_nobody() {
    let dir = tempdir().unwrap();
    let wal = open(dir.path());
    wal.append(entries(1, 0..1, 10), Box::new(|_| panic!("planted")))
        .unwrap();
    // Either refused at once, or the callback is dropped or gets the error.
    let (send, receive) = mpsc::channel::<Result<(), Error>>();
    let done = Box::new(move |result| send.send(result).unwrap());
    if wal.append(entries(1, 1..2, 10), done).is_ok() {
        assert!(!matches!(receive.recv(), Ok(Ok(()))));
    }
    wal.clone().close();
    let text = wal.poisoned().unwrap().to_string();
    assert!(
        text.ends_with("the thread that writes the raft log has panicked"),
        "{text}"
    );
}

#[test]
fn a_full_disk_says_so_and_the_log_goes_on_once_there_is_room() {
    let dir = tempdir().unwrap();
    let failing = Failing::default();
    let storage = Arc::new(failing.clone());
    let wal = Wal::open(Options {
        storage,
        ..options(dir.path())
    })
    .unwrap();
    failing.0.full.store(true, Ordering::SeqCst);
    let mut acknowledged = 0;
    let error = loop {
        let one = entries(1, acknowledged..acknowledged + 1, 100);
        match wait(|done| wal.append(one, done)) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    let start = "raft log has stopped: no space left for the raft log: cannot allocate ";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(
        acknowledged, 15,
        "a segment of sixteen pages holds fifteen small batches"
    );
    drop(wal);
    let wal = open(dir.path());
    assert_eq!(all(&wal), entries(1, 0..15, 100));
    append(&wal, entries(1, 15..40, 100));
}

#[test]
fn a_sync_that_is_slow_lets_changes_gather_into_one_batch() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Observer for Count {
        fn written(&self, _records: usize, _bytes: usize) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dir = tempdir().unwrap();
    let count = Arc::new(Count::default());
    let observer = Arc::clone(&count) as Arc<dyn Observer>;
    let wal = Wal::open(Options {
        observer,
        ..options(dir.path())
    })
    .unwrap();
    // The callback runs on the writer thread, so holding it up is a slow sync.
    let (go, gate) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let hold = Box::new(move |_| {
        started.send(()).unwrap();
        gate.recv().unwrap();
    });
    wal.append(entries(1, 0..1, 10), hold).unwrap();
    running.recv().unwrap();
    for index in 1..50 {
        wal.append(entries(1, index..index + 1, 10), ignore())
            .unwrap();
    }
    go.send(()).unwrap();
    append(&wal, entries(1, 50..51, 10));
    let batches = count.0.load(Ordering::SeqCst);
    assert!(
        batches <= 3,
        "{batches} batches: one alone, one with what gathered, one at the end"
    );
}
