//! `mainstay inspect wal|db|members`: what is in a stopped member's directory. Damage is told where
//! it is, and ends nothing. The exit code is 0 if there is none, 1 if there is some or the directory
//! cannot be read at all, and 2 for wrong arguments.

mod db;
mod members;
mod wal;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use mainstay_apply::{AppliedState, rows};
use mainstay_mvcc::Inspector;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::data_dir::{MEMBER, STORE};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 for no damage; 1 for damage, each line of it beginning with DAMAGED, or for \
    a directory that cannot be read; 2 for wrong arguments."
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The raft log, record by record.
    Wal(wal::Wal),
    /// The store: its revisions, leases, alarms and members, and on demand every record.
    Db(db::Db),
    /// Who this member is and who its cluster has, as its store and its log know it.
    Members(members::Members),
}

#[derive(Debug, Args)]
struct Directory {
    /// The stopped member's data directory.
    #[arg(long)]
    data_dir: PathBuf,
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

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut out = Out {
        to: io::BufWriter::new(io::stdout().lock()),
        damaged: false,
    };
    match &arguments.what {
        What::Wal(asked) => wal::show(asked, &mut out)?,
        What::Db(asked) => db::show(asked, &mut out)?,
        What::Members(asked) => members::show(asked, &mut out)?,
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

/// The store of a member, open for reading.
struct Store {
    inspector: Inspector,
    /// Where it was put together, if it could not be read where it is. Removed after it is closed.
    _scratch: Option<TempDir>,
}

impl std::ops::Deref for Store {
    type Target = Inspector;

    fn deref(&self) -> &Inspector {
        &self.inspector
    }
}

/// Opens the store, if need be by its table files alone. `None` where nothing of it can be read.
fn store<W: Write>(member: &Path, out: &mut Out<W>) -> Result<Option<Store>> {
    let dir = member.join(STORE);
    let opened = match Inspector::open(&dir) {
        Ok(inspector) => Ok(Store {
            inspector,
            _scratch: None,
        }),
        Err(error) => {
            out.damage(format_args!("{}: {error}", dir.display()))?;
            salvage(member, &dir, out)
        }
    };
    match opened {
        Ok(store) => {
            for error in store.damage() {
                out.damage(error)?;
            }
            Ok(Some(store))
        }
        Err(error) => {
            out.damage(format_args!("nothing of the store can be read: {error:#}"))?;
            Ok(None)
        }
    }
}

fn salvage<W: Write>(member: &Path, dir: &Path, out: &mut Out<W>) -> Result<Store> {
    // Beside the store table files need no copies; but the disk may be one that is only read.
    let scratch = tempfile::Builder::new()
        .prefix("inspect-")
        .tempdir_in(member)
        .or_else(|_| tempfile::tempdir())?;
    let inspector = Inspector::salvage(dir, scratch.path())?;
    out.line("what follows was put together from the table files; rows that had been deleted may be among it")?;
    Ok(Store {
        inspector,
        _scratch: Some(scratch),
    })
}

fn applied(store: &Inspector) -> Result<AppliedState> {
    let row = store.applied()?;
    Ok(AppliedState::decode(row.as_deref())?)
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
