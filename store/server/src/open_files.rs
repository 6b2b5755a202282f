//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for RocksDB's files (1024 a database, and two of them while a snapshot is installed), peers'
/// handshakes (1000) and connections (256), and the log: a member whose clients take the last
/// descriptor could not begin its next log segment, and would have to stop.
const RESERVE: u64 = 4096;

/// Raises the soft limit to the hard one, as Go does for etcd. Called before anything is opened.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::info!(open_files = limit.maximum, "limits of this process"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

/// How many client connections fit beside everything else; at least a quarter of the limit.
pub fn connections_max() -> usize {
    // No limit at all is said by `None`.
    let fits = getrlimit(Resource::Nofile)
        .current
        .map_or(u64::MAX, |files| {
            files.saturating_sub(RESERVE).max(files / 4)
        });
    usize::try_from(fits).unwrap_or(usize::MAX)
}
