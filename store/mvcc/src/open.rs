//! Opening a store: state row, index, background thread.

use std::sync::Arc;

use crate::{
    Error, Options, Store, Writer,
    compaction::{self, Compactor},
    db::Db,
    directory,
    index::{Index, Latest},
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
    let index = rebuild(&db, &state)?;
    let shared = Shared {
        index,
        revision: state.revision,
        compact: state.compact,
    };
    let logical = state.accounting.logical_bytes();
    let inner = Arc::new(Inner::new(db, shared, Compactor::new(progress), logical));
    if state.compact > progress {
        // Removal had not come to its end when the process did.
        inner.compactor.submit(state.compact, progress);
    }
    let background = inner.clone();
    let thread = std::thread::Builder::new()
        .name("mvcc-compaction".into())
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

/// Reads every record there is.
fn rebuild(db: &Db, state: &State) -> Result<Index, Error> {
    let mut index = Index::default();
    let mut last = FIRST;
    for record in db.records(Revision::default(), Revision::last_of(i64::MAX)) {
        let record = record?;
        last = record.revision.main;
        index.note(&record.key, Latest::of(&record));
    }
    if last != state.revision {
        return Err(Error::corrupt(format!(
            "the store says revision {} but its last record has {last}",
            state.revision
        )));
    }
    tracing::debug!(
        keys = index.tree.len(),
        revision = last,
        "index rebuilt from records"
    );
    Ok(index)
}
