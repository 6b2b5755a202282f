//! Opening a store: state row, index, background thread.

use std::{fs, path::Path, sync::Arc};

use crate::{
    Error, Options, Store, Writer,
    compaction::{self, Compactor, Progress},
    db::Db,
    directory,
    index::{
        Index, Latest,
        checkpoint::{self, Loaded},
    },
    revision::{FIRST, Revision},
    schema,
    state::State,
    store::{Handle, Inner, Shared},
};

pub(crate) fn open(options: Options) -> Result<(Store, Writer), Error> {
    let database = directory::enter(&options.dir)?;
    let db = Db::open(&database, &options)?;
    let state = match db.get(schema::STATE)? {
        Some(row) => State::decode(&row)?,
        None => State::default(),
    };
    let progress = compaction::progress(&db)?;
    let loaded = match options.checkpoint {
        true => read_copy(&database, &db, &state, progress)?,
        false => None,
    };
    let copied = loaded.as_ref().map(|loaded| loaded.from);
    if loaded.is_none() {
        // A copy that is not used must not be: tombstones it needs may be removed from now on.
        remove_copy(&database)?;
    }
    let index = replay(&db, &state, loaded)?;
    let shared = Shared {
        index,
        revision: state.revision,
        compact: state.compact,
    };
    let logical = state.accounting.logical_bytes();
    let compactor = Compactor::new(progress, options.checkpoint.then_some(database), copied);
    let inner = Arc::new(Inner::new(db, shared, compactor, logical));
    if state.compact > progress.versions {
        // Removal had not come to its end when the process did.
        inner.compactor.resume(state.compact, progress.versions);
    }
    let background = inner.clone();
    let thread = std::thread::Builder::new()
        .name("mvcc-background".into())
        .spawn(move || compaction::run(&background))?;
    let handle = Arc::new(Handle {
        inner,
        thread: Some(thread),
    });
    #[allow(unused_mut)]
    let mut writer = Writer::new(handle.clone(), state);
    #[cfg(feature = "planted-faults")]
    writer.plant_split_applied(options.fault_split_applied);
    Ok((Store(handle), writer))
}

/// The copy of the index, if it can be trusted: undamaged, of this database, not newer than what
/// was flushed, and with all tombstones after it still there.
fn read_copy(
    database: &Path,
    db: &Db,
    state: &State,
    progress: Progress,
) -> Result<Option<Loaded>, Error> {
    match checkpoint::read(database, &db.identity()?, progress.tombstones) {
        Ok(None) => Ok(None),
        Ok(Some(loaded)) if loaded.to > state.revision || progress.tombstones > loaded.from + 1 => {
            tracing::warn!(
                copy = loaded.from,
                "the copy of the index does not fit the store"
            );
            Ok(None)
        }
        Ok(Some(loaded)) => Ok(Some(loaded)),
        Err(error @ (Error::Corrupt { .. } | Error::Io(_))) => {
            tracing::warn!(%error, "the copy of the index cannot be used");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn remove_copy(database: &Path) -> Result<(), Error> {
    match fs::remove_file(checkpoint::path(database)) {
        Ok(()) => match database.parent() {
            Some(dir) => directory::sync_dir(dir),
            None => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads the records after the copy, or without one all there are.
fn replay(db: &Db, state: &State, loaded: Option<Loaded>) -> Result<Index, Error> {
    let (mut index, from) = match loaded {
        Some(loaded) => (loaded.index, loaded.from),
        None => (Index::default(), FIRST - 1),
    };
    let mut last = from.max(FIRST);
    for record in db.records(Revision::new(from + 1, 0), Revision::last_of(i64::MAX)) {
        let record = record?;
        last = record.revision.main;
        index.note(&record.key, Latest::of(&record));
    }
    // A backup of another product may have lost the last record to its compaction.
    let compacted_away = last < state.revision && state.revision == state.compact;
    if last != state.revision && !compacted_away {
        return Err(Error::corrupt(format!(
            "the store says revision {} but its last record has {last}",
            state.revision
        )));
    }
    tracing::debug!(
        keys = index.tree.len(),
        from,
        revision = last,
        "index loaded"
    );
    Ok(index)
}
