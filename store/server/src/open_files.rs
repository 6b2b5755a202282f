//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for RocksDB's files (1024), the log, the peers' connections and whatever else is opened:
/// a member whose clients take the last descriptor could not begin its next log segment, and would
/// have to stop.
const RESERVE: u64 = 2048;

/// Raises the soft limit to the hard one, as Go does for etcd, and returns how many client
/// connections fit beside everything else; at least a quarter of the limit.
pub fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    };
    // No limit at all is said by `None`.
    let fits = current.map_or(u64::MAX, |files| {
        files.saturating_sub(RESERVE).max(files / 4)
    });
    tracing::info!(open_files = current, "limits of this process");
    usize::try_from(fits).unwrap_or(usize::MAX)
}
