//! A member whose intent is to begin with a snapshot: its empty data directory gets the snapshot's
//! content, as `mainstay snapshot restore` would give it, and it forms its cluster with that.
//!
//! The directory appears whole or not at all, with the intent's incarnation in it; so one that was
//! broken off is begun again, and one that is done is never done again.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use mainstay_snapshot::trailer;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::intent::{self, Intent, Restore};
use crate::offline::new_dir::NewDir;
use crate::offline::restore::{import, open};
use crate::seat;
use crate::settings::Settings;

/// Restores it. The error is a reason to wait: the file that is there cannot be restored.
pub async fn run(settings: &Settings, intent: &Intent) -> Result<(), String> {
    let Some(wanted) = intent.restore.clone() else {
        return Err("the intent names no snapshot".to_owned());
    };
    let path = wanted.snapshot.clone();
    let (settings, intent) = (settings.clone(), intent.clone());
    let restored = spawn_blocking(move || restore(settings, &intent, &wanted)).await;
    let restored = restored.unwrap_or_else(|error| Err(error.into()));
    restored.map_err(|error| {
        let reason = format!("snapshot {} cannot be restored: {error:#}", path.display());
        tracing::error!(reason, "waiting for another file or another intent");
        reason
    })
}

fn restore(mut settings: Settings, intent: &Intent, wanted: &Restore) -> Result<()> {
    must_be_unused(settings.wal_dir.as_deref())?;
    if let Some(members) = &intent.members {
        settings.initial_cluster = members.clone();
    }
    let file = open(&wanted.snapshot)?;
    trailer::verify(&file)?;
    let initial = seat::initial_cluster(&settings, None);
    let dir = NewDir::of(settings.data_dir, &initial, &settings.name)?;
    if let Some(reason) = intent::foreign(intent, dir.identity().cluster) {
        bail!(reason);
    }
    let imported = import(&dir, file, wanted.bump_revision)?;
    intent::save_incarnation(&dir.member(), intent.incarnation)?;
    dir.finish()?;
    tracing::info!(
        keys = imported.keys,
        leases = imported.leases,
        revision = imported.revision,
        "restored from a snapshot"
    );
    Ok(())
}

/// A log of another life must not be replayed over what is restored.
fn must_be_unused(wal_dir: Option<&Path>) -> Result<()> {
    let Some(dir) = wal_dir else { return Ok(()) };
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| dir.display().to_string()),
    };
    if !is_empty {
        bail!("the log's directory {} is not empty", dir.display());
    }
    Ok(())
}

/// Deletes the snapshot of an intent once the directory holds what was in it.
pub fn clear(intent: &Intent) {
    let Some(wanted) = &intent.restore else {
        return;
    };
    match fs::remove_file(&wanted.snapshot) {
        Ok(()) => tracing::info!("the restored snapshot is deleted"),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // It takes room and does no harm.
        Err(error) => tracing::warn!(%error, "the restored snapshot is left behind"),
    }
}

/// What changes with the content of a file.
pub type Trace = Option<(u64, SystemTime)>;

/// That of the snapshot which an intent names.
pub fn trace(intent: Option<&Intent>) -> Trace {
    let wanted = intent?.restore.as_ref()?;
    let meta = fs::metadata(&wanted.snapshot).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

/// Returns once the snapshot of an intent is another file than it was; never without one.
pub async fn mended(intent: Option<&Intent>, before: Trace) {
    if intent.is_none_or(|intent| intent.restore.is_none()) {
        return std::future::pending().await;
    }
    while trace(intent) == before {
        sleep(intent::LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::intent::Mode;

    fn intent(snapshot: PathBuf) -> Intent {
        Intent {
            mode: Mode::Restore,
            cluster: None,
            incarnation: 1,
            members: None,
            restore: Some(Restore {
                snapshot,
                bump_revision: 0,
            }),
        }
    }

    #[test]
    fn a_log_of_another_life_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        must_be_unused(None).unwrap();
        must_be_unused(Some(&dir.path().join("new"))).unwrap();
        must_be_unused(Some(dir.path())).unwrap();
        fs::write(dir.path().join("0.log"), "x").unwrap();
        let error = must_be_unused(Some(dir.path())).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }

    #[test]
    fn the_snapshot_goes_and_its_going_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("restore.db");
        let intent = intent(path.clone());
        assert_eq!(trace(Some(&intent)), None);
        fs::write(&path, "a").unwrap();
        let before = trace(Some(&intent));
        assert!(before.is_some());
        fs::write(&path, "ab").unwrap();
        assert_ne!(trace(Some(&intent)), before);
        clear(&intent);
        assert!(!path.exists());
        clear(&intent);
    }
}
