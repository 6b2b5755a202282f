//! The queue of lines and the thread that writes them.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::rotation::Rotating;
use crate::settings::{LogOutput, Rotation};

/// Lines that may wait to be written; more are dropped.
const LINES_MAX: usize = 8192;
/// How long the end of the process waits for lines that are left.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Lines dropped since the process began.
pub static DROPPED: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// Takes lines and never blocks.
pub struct Writer(SyncSender<String>);

/// Keeps the log open. Dropped, it waits a moment for what is left to be written.
pub struct Guard {
    lines: Option<SyncSender<String>>,
    written: Receiver<()>,
}

/// Opens the outputs, a file as one that rotates if that is asked for; what cannot be opened is named.
pub fn open(
    outputs: &[LogOutput],
    rotation: Option<&Rotation>,
) -> Result<(Writer, Guard), (PathBuf, io::Error)> {
    let mut sinks: Vec<Box<dyn Write + Send>> = Vec::new();
    for output in outputs {
        sinks.push(match output {
            LogOutput::Stderr => Box::new(io::stderr()),
            LogOutput::Stdout => Box::new(io::stdout()),
            LogOutput::File(path) => file(path, rotation).map_err(|error| (path.clone(), error))?,
        });
    }
    let (lines, received) = sync_channel::<String>(LINES_MAX);
    let (done, written) = sync_channel(1);
    let writing = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            for line in received {
                if line.is_empty() {
                    break;
                }
                for sink in &mut sinks {
                    // There is nowhere to report a log that cannot be written.
                    let _ = sink.write_all(line.as_bytes()).and_then(|()| sink.flush());
                }
            }
            let _ = done.send(());
        });
    writing.map_err(|error| (PathBuf::from("log thread"), error))?;
    let writer = Writer(lines.clone());
    Ok((
        writer,
        Guard {
            lines: Some(lines),
            written,
        },
    ))
}

fn file(path: &Path, rotation: Option<&Rotation>) -> io::Result<Box<dyn Write + Send>> {
    Ok(match rotation {
        Some(rotation) => Box::new(Rotating::open(path, rotation)?),
        None => Box::new(File::options().create(true).append(true).open(path)?),
    })
}

impl Writer {
    #[cfg(test)]
    pub fn to(lines: SyncSender<String>) -> Writer {
        Writer(lines)
    }

    pub fn write(&self, line: String) {
        if self.0.try_send(line).is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The subscriber keeps a sender for ever, so the end is a line of its own: an empty one.
        // A full queue has no place for it, and then nobody reads the log anyway.
        if let Some(lines) = self.lines.take()
            && lines.try_send(String::new()).is_ok()
        {
            let _ = self.written.recv_timeout(LAST_LINES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_file_before_the_guard_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (writer, guard) = open(&[LogOutput::File(path.clone())], None).unwrap();
        for n in 0..100 {
            writer.write(format!("{n}\n"));
        }
        drop(guard);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 100);
        let nowhere = dir.path().join("none/log");
        assert!(open(&[LogOutput::File(nowhere)], None).is_err());
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (lines, _received) = sync_channel(1);
        let writer = Writer::to(lines);
        let before = DROPPED.load(Relaxed);
        for _ in 0..3 {
            writer.write("x\n".to_owned());
        }
        assert_eq!(DROPPED.load(Relaxed) - before, 2);
    }
}
