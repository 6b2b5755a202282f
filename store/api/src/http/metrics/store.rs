//! The log, the keys, the watches and the leases.

use std::sync::atomic::Ordering::Relaxed;

use crate::context::Context;
use crate::metrics::Text;

pub fn write(context: &Context, text: &mut Text) {
    disk(context, text);
    keys(context, text);
    watches(context, text);
    if let Some(count) = context.leases.count() {
        text.gauge("mainstay_leases", "Leases that are granted.")
            .value(count);
    }
}

fn disk(context: &Context, text: &mut Text) {
    let disk = &context.disk;
    text.histogram(
        "etcd_disk_wal_fsync_duration_seconds",
        "The latency distributions of fsync called by WAL.",
    )
    .buckets("", &disk.wal_fsync);
    text.histogram(
        "etcd_disk_backend_commit_duration_seconds",
        "The latency distributions of commit called by backend.",
    )
    .buckets("", &disk.backend_commit);
    text.gauge(
        "etcd_disk_wal_write_bytes_total",
        "Total number of bytes written in WAL.",
    )
    .value(disk.wal_bytes.load(Relaxed));
    text.counter("mainstay_wal_records_total", "Records written to the log.")
        .value(disk.wal_records.load(Relaxed));
    text.counter(
        "mainstay_wal_batches_total",
        "Batches those records were written in.",
    )
    .value(disk.wal_batches.load(Relaxed));
    text.counter(
        "mainstay_wal_segments_total",
        "Segments of the log that were begun.",
    )
    .value(disk.wal_segments.load(Relaxed));
    let size = context.store().size();
    text.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
    )
    .value(size.files_bytes);
    text.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
    )
    .value(size.logical_bytes);
}

fn keys(context: &Context, text: &mut Text) {
    let stats = context.store().stats();
    text.counter(
        "etcd_mvcc_put_total",
        "Total number of puts seen by this member.",
    )
    .value(stats.puts_total);
    text.counter(
        "etcd_mvcc_range_total",
        "Total number of ranges seen by this member.",
    )
    .value(stats.ranges_total);
    text.counter(
        "etcd_mvcc_delete_total",
        "Total number of deletes seen by this member.",
    )
    .value(stats.deletes_total);
    text.counter(
        "etcd_mvcc_txn_total",
        "Total number of txns seen by this member.",
    )
    .value(stats.txns_total);
    text.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.")
        .value(stats.keys);
    text.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The current revision of store.",
    )
    .value(stats.revision);
    text.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
    )
    .value(stats.compact_revision);
    text.counter(
        "etcd_debugging_mvcc_db_compaction_keys_total",
        "Total number of db keys compacted.",
    )
    .value(stats.compaction_keys_total);
}

fn watches(context: &Context, text: &mut Text) {
    let stats = context.hub.stats();
    text.gauge(
        "etcd_debugging_mvcc_watcher_total",
        "Total number of watchers.",
    )
    .value(stats.watchers);
    text.gauge(
        "etcd_debugging_mvcc_watch_stream_total",
        "Total number of watch streams.",
    )
    .value(stats.streams);
    text.gauge(
        "etcd_debugging_mvcc_slow_watcher_total",
        "Total number of unsynced slow watchers.",
    )
    .value(stats.slow_watchers);
    text.gauge(
        "etcd_debugging_mvcc_pending_events_total",
        "Total number of pending events to be sent.",
    )
    .value(stats.pending_events);
    text.counter(
        "etcd_debugging_mvcc_events_total",
        "Total number of events sent by this member.",
    )
    .value(stats.events_total);
}
