//! `agent fetch`: a stored snapshot onto the volume of a member that is to begin with it.
//!
//! It runs before each start of such a member, and does nothing unless the member's intent is to
//! restore and its directory is empty. The file appears whole or not at all, its checksum verified.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use super::{Store, backup, hand_over};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    store: Store,
    /// Under which name it is stored.
    #[arg(long)]
    name: String,
    /// The file.
    #[arg(long)]
    to: PathBuf,
    /// The member's intent.
    #[arg(long)]
    intent: PathBuf,
    /// Where the member's data would be.
    #[arg(long)]
    unless: PathBuf,
    /// Where the reason of a failure is written; the kubelet hands it to the operator.
    #[arg(long, default_value = "/dev/termination-log")]
    outcome: PathBuf,
}

pub async fn run(arguments: &Arguments) -> Result<()> {
    let done = bring(arguments).await;
    if let Err(error) = &done {
        hand_over(&arguments.outcome, &format!("{error:#}"));
    }
    done
}

async fn bring(arguments: &Arguments) -> Result<()> {
    let is_wanted = restores(&arguments.intent)? && !arguments.unless.exists();
    if !is_wanted {
        // One that was restored just before a crash would take its room for ever.
        remove(&arguments.to)?;
        tracing::info!("there is nothing to bring");
        return Ok(());
    }
    let part = arguments.to.with_extension("part");
    let store = arguments.store.open()?;
    store.get(&arguments.name, &part).await?;
    let known = backup::describe(&part).await;
    let known = known.with_context(|| format!("{} is no whole snapshot", arguments.name));
    let known = match known {
        Ok(known) => known,
        Err(error) => {
            remove(&part)?;
            return Err(error);
        }
    };
    std::fs::rename(&part, &arguments.to)?;
    let folder = arguments.to.parent().context("the file has no folder")?;
    std::fs::File::open(folder)?.sync_all()?;
    tracing::info!(name = arguments.name, bytes = known.bytes, "brought");
    Ok(())
}

/// Whether the member is to begin with a snapshot.
fn restores(intent: &Path) -> Result<bool> {
    let named = || format!("the intent {}", intent.display());
    let text = std::fs::read_to_string(intent).with_context(named)?;
    let intent: Value = serde_json::from_str(&text).with_context(named)?;
    Ok(intent.get("mode").and_then(Value::as_str) == Some("restore"))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    struct Room(tempfile::TempDir);

    impl Room {
        /// A volume with a stored snapshot, whole or damaged, and a member with an intent.
        fn new(mode: &str, whole: bool) -> Room {
            let room = Room(tempfile::tempdir().unwrap());
            let mut snapshot = b"content".to_vec();
            snapshot.extend_from_slice(&Sha256::digest(b"content"));
            snapshot[0] ^= u8::from(!whole);
            std::fs::write(room.path("a.db"), snapshot).unwrap();
            let intent = format!(r#"{{"mode": "{mode}", "incarnation": 1}}"#);
            std::fs::write(room.path("intent.json"), intent).unwrap();
            room
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        async fn fetch(&self) -> Result<()> {
            run(&Arguments {
                store: Store {
                    destination: r#"{"volume": {"claimName": "x"}}"#.to_owned(),
                    volume: self.0.path().to_owned(),
                    credentials: self.path("none"),
                },
                name: "a.db".to_owned(),
                to: self.path("restore.db"),
                intent: self.path("intent.json"),
                unless: self.path("member"),
                outcome: self.path("outcome"),
            })
            .await
        }
    }

    #[tokio::test]
    async fn a_snapshot_is_brought_to_an_empty_member_that_wants_it() {
        let room = Room::new("restore", true);
        room.fetch().await.unwrap();
        let brought = std::fs::read(room.path("restore.db")).unwrap();
        assert_eq!(brought, std::fs::read(room.path("a.db")).unwrap());
        // Restored meanwhile: what is left of it goes.
        std::fs::create_dir(room.path("member")).unwrap();
        room.fetch().await.unwrap();
        assert!(!room.path("restore.db").exists());
    }

    #[tokio::test]
    async fn nothing_is_brought_to_a_member_that_joins() {
        let room = Room::new("join", true);
        room.fetch().await.unwrap();
        assert!(!room.path("restore.db").exists());
    }

    #[tokio::test]
    async fn what_is_damaged_or_missing_is_told_and_leaves_nothing() {
        let room = Room::new("restore", false);
        let error = format!("{:#}", room.fetch().await.unwrap_err());
        assert!(error.contains("checksum"), "{error}");
        assert_eq!(
            std::fs::read_to_string(room.path("outcome")).unwrap(),
            error
        );
        assert!(!room.path("restore.db").exists() && !room.path("restore.part").exists());
        std::fs::remove_file(room.path("a.db")).unwrap();
        let error = format!("{:#}", room.fetch().await.unwrap_err());
        assert!(error.contains("a.db"), "{error}");
        // Without an intent nobody knows what is wanted.
        std::fs::remove_file(room.path("intent.json")).unwrap();
        assert!(room.fetch().await.is_err());
    }
}
