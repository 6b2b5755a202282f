//! The raft log, record by record.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;
use mainstay_raft::describe;
use mainstay_wal::{Found, Seen};

use super::{Log, Out, enter};

#[derive(Debug, Args)]
pub struct Wal {
    #[command(flatten)]
    log: Log,
    /// First entry to show.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Last entry to show.
    #[arg(long, default_value_t = u64::MAX)]
    to: u64,
}

pub fn show<W: Write>(arguments: &Wal, out: &mut Out<W>) -> Result<()> {
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
