//! Who the member is and who its cluster has, as its store and its log know it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use mainstay_raft::describe;
use mainstay_wal::{Found, Seen};

use super::{Log, Out, Store, applied, enter, published, store};

#[derive(Debug, Args)]
pub struct Members {
    #[command(flatten)]
    log: Log,
}

pub fn show<W: Write>(asked: &Members, out: &mut Out<W>) -> Result<()> {
    let (member, _lock) = enter(&asked.log.directory)?;
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
    // The log is told of even if there is nothing left of the store.
    if let Some(store) = store(&member, out)? {
        stored(&store, out)?;
    }
    logged(&asked.log.dir(&member), out)
}

fn stored<W: Write>(store: &Store, out: &mut Out<W>) -> Result<()> {
    match applied(store).map(|state| state.membership) {
        Ok(Some((position, bytes))) => {
            let (index, text) = (position.index, describe::membership(bytes));
            out.line(format_args!("store, as of entry {index}: {text}"))?;
        }
        Ok(None) => out.line("the store knows of no membership")?,
        Err(error) => out.damage(format_args!("membership: {error:#}"))?,
    }
    published(store, out)
}

/// The last membership in the log, which may not have been committed.
fn logged<W: Write>(dir: &Path, out: &mut Out<W>) -> Result<()> {
    let (mut last, mut damage) = (None, Vec::new());
    let read = mainstay_wal::inspect(dir, |found| match found {
        Found::Record {
            record: Seen::Entry { id, kind, payload },
            ..
        } if describe::is_membership(kind) => last = Some((id.index, payload)),
        Found::Damage { error, .. } => damage.push(error),
        _ => {}
    });
    damage.extend(read.err());
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
