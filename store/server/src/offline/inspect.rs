//! `mainstay inspect wal|db|members`: what is in a stopped member's directory. Damage is told where
//! it is, and ends nothing; with damage the exit code is 1.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use mainstay_apply::{AppliedState, rows};
use mainstay_lease::row as lease_row;
use mainstay_mvcc::Inspector;
use mainstay_raft::describe;
use mainstay_wal::{Found, Seen};
use rustix::fs::{FlockOperation, flock};

use crate::data_dir::{MEMBER, STORE};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The raft log, record by record.
    Wal(Wal),
    /// The store: its revisions, leases, alarms and members, and on demand every record.
    Db(Db),
    /// Who this member is and who its cluster has, as its store and its log know it.
    Members(Members),
}

#[derive(Debug, Args)]
struct Directory {
    /// The stopped member's data directory.
    #[arg(long)]
    data_dir: PathBuf,
}

#[derive(Debug, Args)]
struct Members {
    #[command(flatten)]
    log: Log,
}

#[derive(Debug, Args)]
struct Log {
    #[command(flatten)]
    directory: Directory,
    /// Its log, where it is not inside its data directory.
    #[arg(long)]
    wal_dir: Option<PathBuf>,
}

impl Log {
    fn dir(&self, member: &Path) -> PathBuf {
        self.wal_dir.clone().unwrap_or_else(|| member.join("wal"))
    }
}

#[derive(Debug, Args)]
struct Wal {
    #[command(flatten)]
    log: Log,
    /// First entry to show.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Last entry to show.
    #[arg(long, default_value_t = u64::MAX)]
    to: u64,
}

#[derive(Debug, Args)]
struct Db {
    #[command(flatten)]
    directory: Directory,
    /// Show every record too.
    #[arg(long)]
    records: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut out = Out {
        to: io::BufWriter::new(io::stdout().lock()),
        damaged: false,
    };
    match &arguments.what {
        What::Wal(wal) => self::wal(wal, &mut out)?,
        What::Db(db) => self::db(db, &mut out)?,
        What::Members(asked) => members(&asked.log, &mut out)?,
    }
    out.to.flush()?;
    match out.damaged {
        true => bail!("there is damage, see above"),
        false => Ok(()),
    }
}

/// Where the lines go.
struct Out<W: Write> {
    to: W,
    damaged: bool,
}

impl<W: Write> Out<W> {
    fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.to, "{text}")
    }

    fn damage(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        self.damaged = true;
        self.line(format_args!("DAMAGED {text}"))
    }
}

/// The member's directory, if no process has it. Held as long as the file lives.
fn enter(directory: &Directory) -> Result<(PathBuf, Option<File>)> {
    let member = directory.data_dir.join(MEMBER);
    if !member.is_dir() {
        bail!("{} holds no member", directory.data_dir.display());
    }
    let path = member.join("lock");
    let Ok(file) = File::open(&path) else {
        return Ok((member, None));
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok((member, Some(file))),
        Err(_) => bail!(
            "{} is in use: stop the member first",
            directory.data_dir.display()
        ),
    }
}

fn wal<W: Write>(arguments: &Wal, out: &mut Out<W>) -> Result<()> {
    let (member, _lock) = enter(&arguments.log.directory)?;
    let dir = arguments.log.dir(&member);
    let mut told = Ok(());
    mainstay_wal::inspect(&dir, |found| {
        if told.is_ok() {
            told = tell(found, arguments, out);
        }
    })?;
    Ok(told?)
}

fn tell<W: Write>(found: Found, wanted: &Wal, out: &mut Out<W>) -> io::Result<()> {
    let (offset, record) = match found {
        Found::Segment {
            file,
            sequence,
            bytes,
            recycled,
        } => {
            let life = if recycled { ", recycled" } else { "" };
            let file = file.display();
            return out.line(format_args!(
                "segment {sequence} {file}, {bytes} bytes{life}"
            ));
        }
        Found::End { offset } => return out.line(format_args!("{offset:>10} end")),
        Found::Damage { error, next } => {
            return match next {
                Some(next) => out.damage(format_args!("{error}; the next good batch is at {next}")),
                None => out.damage(format_args!(
                    "{error}; nothing good follows in this segment"
                )),
            };
        }
        Found::Record { offset, record } => (offset, record),
    };
    let text = match record {
        Seen::Entry { id, .. } if !(wanted.from..=wanted.to).contains(&id.index) => return Ok(()),
        Seen::Entry { id, kind, payload } => {
            let bytes = payload.len();
            let what = describe::entry(kind, payload);
            format!(
                "entry {} of term {}, {bytes} bytes: {what}",
                id.index, id.term
            )
        }
        Seen::Vote(vote) => describe::vote(vote),
        Seen::Committed(hint) => describe::committed(hint),
        Seen::Truncate(Some(index)) => format!("entries after {index} are taken back"),
        Seen::Truncate(None) => "all entries are taken back".to_owned(),
        Seen::Purge(upto) => format!("purged up to {} of term {}", upto.index, upto.term),
        Seen::Unknown => return out.damage(format_args!("{offset}: a record of an unknown kind")),
    };
    out.line(format_args!("{offset:>10} {text}"))
}

/// The store of a member, open for reading.
fn store(member: &Path) -> Result<Inspector> {
    let dir = member.join(STORE);
    Inspector::open(&dir).with_context(|| dir.display().to_string())
}

fn db<W: Write>(arguments: &Db, out: &mut Out<W>) -> Result<()> {
    let (member, _lock) = enter(&arguments.directory)?;
    let store = store(&member)?;
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

fn applied(store: &Inspector) -> Result<AppliedState> {
    let row = store.applied()?;
    Ok(AppliedState::decode(row.as_deref())?)
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

/// What members have told about themselves.
fn published<W: Write>(store: &Inspector, out: &mut Out<W>) -> Result<()> {
    each(store, rows::MEMBERS, out, |key, value| {
        let member = rows::member_of(key, bytes::Bytes::copy_from_slice(value))?;
        let urls = member.client_urls.join(",");
        Ok(format!(
            "member {:x} is {} at {urls}",
            member.member, member.name
        ))
    })
}

/// A line for every row under a prefix.
fn each<W: Write>(
    store: &Inspector,
    prefix: &[u8],
    out: &mut Out<W>,
    text: impl Fn(&[u8], &[u8]) -> Result<String>,
) -> Result<()> {
    for row in store.meta_scan(prefix) {
        let told = row
            .map_err(Into::into)
            .and_then(|(key, value)| text(&key, &value));
        match told {
            Ok(text) => out.line(text)?,
            Err(error) => out.damage(format!("{}: {error:#}", prefix.escape_ascii()))?,
        }
    }
    Ok(())
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

fn members<W: Write>(asked: &Log, out: &mut Out<W>) -> Result<()> {
    let (member, _lock) = enter(&asked.directory)?;
    match mainstay_raft::identity::load(&member) {
        Ok(Some(own)) => {
            let fate = if own.removed {
                ", removed from it for good"
            } else {
                ""
            };
            let (own, cluster) = (own.identity.member, own.identity.cluster);
            out.line(format_args!(
                "this is member {own:x} of cluster {cluster:x}{fate}"
            ))?;
        }
        Ok(None) => out.line("this member has no identity yet")?,
        Err(error) => out.damage(error)?,
    }
    let store = store(&member)?;
    match applied(&store).map(|state| state.membership) {
        Ok(Some((position, bytes))) => {
            let (index, text) = (position.index, describe::membership(bytes));
            out.line(format_args!("store, as of entry {index}: {text}"))?;
        }
        Ok(None) => out.line("the store knows of no membership")?,
        Err(error) => out.damage(format_args!("membership: {error:#}"))?,
    }
    published(&store, out)?;
    logged(&asked.dir(&member), out)
}

/// The last membership in the log, which may not have been committed.
fn logged<W: Write>(dir: &Path, out: &mut Out<W>) -> Result<()> {
    let (mut last, mut damage) = (None, Vec::new());
    mainstay_wal::inspect(dir, |found| match found {
        Found::Record {
            record: Seen::Entry { id, kind, payload },
            ..
        } if describe::is_membership(kind) => last = Some((id.index, payload)),
        Found::Damage { error, .. } => damage.push(error),
        _ => {}
    })?;
    for error in damage {
        out.damage(error)?;
    }
    match last {
        Some((index, bytes)) => {
            let text = describe::membership(bytes);
            out.line(format_args!("log, entry {index}: {text}"))?;
        }
        None => out.line("the log has no membership")?,
    }
    Ok(())
}
