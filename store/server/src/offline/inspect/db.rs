//! The store: where it stands, its small rows, and on demand every record.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;
use mainstay_apply::rows;
use mainstay_lease::row as lease_row;
use mainstay_mvcc::Inspector;
use mainstay_raft::describe;

use super::{Directory, Out, applied, each, enter, published, store};

#[derive(Debug, Args)]
pub struct Db {
    #[command(flatten)]
    directory: Directory,
    /// Show every record too.
    #[arg(long)]
    records: bool,
}

pub fn show<W: Write>(arguments: &Db, out: &mut Out<W>) -> Result<()> {
    let (member, _lock) = enter(&arguments.directory)?;
    let Some(store) = store(&member, out)? else {
        return Ok(());
    };
    out.line(format_args!("database {}", store.path().display()))?;
    let last = standing(&store, out)?;
    small_rows(&store, out)?;
    let mut count = Count::default();
    let mut told = Ok(());
    store.records(last, |record| {
        if told.is_ok() {
            told = count.record(record, arguments.records, out);
        }
    });
    told?;
    out.line(format_args!(
        "{} records of revisions {} to {}, {} of them deletions, {} bytes of keys and values",
        count.records, count.first, count.last, count.tombstones, count.bytes
    ))?;
    Ok(())
}

/// Tells where the store stands; returns its last revision.
fn standing<W: Write>(store: &Inspector, out: &mut Out<W>) -> Result<i64> {
    let last = match store.revisions() {
        Ok(Some((revision, compact))) => {
            let compact = match compact {
                -1 => "never compacted".to_owned(),
                compact => format!("compacted to {compact}"),
            };
            out.line(format_args!("revision {revision}, {compact}"))?;
            revision
        }
        Ok(None) => {
            out.line("nothing was ever committed")?;
            0
        }
        Err(error) => {
            out.damage(format_args!("revision: {error}"))?;
            i64::MAX
        }
    };
    match applied(store) {
        Ok(state) => out.line(format_args!(
            "applied up to entry {} of term {}",
            state.index(),
            state.term()
        ))?,
        Err(error) => out.damage(format_args!("applied position: {error:#}"))?,
    }
    Ok(last)
}

/// Versions, alarms, leases and members.
fn small_rows<W: Write>(store: &Inspector, out: &mut Out<W>) -> Result<()> {
    for (name, key) in [
        ("cluster version", rows::CLUSTER_VERSION),
        ("downgrade to", rows::DOWNGRADE),
    ] {
        match store
            .meta(key)
            .map(|row| row.map(|row| rows::version_of(&row)))
        {
            Ok(None) => {}
            Ok(Some(Ok(version))) => out.line(format_args!("{name} {version}"))?,
            Ok(Some(Err(error))) => out.damage(format_args!("{name}: {error}"))?,
            Err(error) => out.damage(format_args!("{name}: {error}"))?,
        }
    }
    each(store, rows::ALARMS, out, |key, _| {
        let (kind, member) = rows::alarm_of(key)?;
        Ok(format!(
            "alarm {} of member {member:x}",
            mainstay_api::alarm_name(kind)
        ))
    })?;
    each(store, lease_row::PREFIX, out, |key, value| {
        let (id, seconds) = lease_row::decode(key, value)?;
        Ok(format!("lease {id:x} of {seconds} s"))
    })?;
    published(store, out)
}

#[derive(Default)]
struct Count {
    records: u64,
    tombstones: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

impl Count {
    fn record<W: Write>(
        &mut self,
        record: Result<mainstay_mvcc::Seen, mainstay_mvcc::Error>,
        show: bool,
        out: &mut Out<W>,
    ) -> io::Result<()> {
        let seen = match record {
            Ok(seen) => seen,
            Err(error) => return out.damage(format_args!("after revision {}: {error}", self.last)),
        };
        if self.records == 0 {
            self.first = seen.main;
        }
        self.last = seen.main;
        self.records += 1;
        self.tombstones += u64::from(seen.tombstone);
        self.bytes += (seen.key.len() + seen.value_bytes) as u64;
        if !show {
            return Ok(());
        }
        let (main, sub, key) = (seen.main, seen.sub, describe::key(&seen.key));
        if seen.tombstone {
            return out.line(format_args!("{main}.{sub} delete {key}"));
        }
        out.line(format_args!(
            "{main}.{sub} put {key}, {} bytes, version {}, created at {}, lease {:x}",
            seen.value_bytes, seen.version, seen.create_revision, seen.lease
        ))
    }
}
