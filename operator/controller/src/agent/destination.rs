//! A place for snapshots: a folder of a volume.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mainstay_operator_api::backup::Destination as Wanted;

/// What is read from a file at a time.
const PIECE_BYTES: usize = 8 << 20;

pub struct Destination {
    folder: PathBuf,
}

impl Destination {
    pub fn open(json: &str, volume: &Path) -> Result<Destination> {
        let wanted: Wanted = serde_json::from_str(json).context("--destination is unusable")?;
        match (wanted.volume, wanted.s3) {
            (Some(folder), None) => {
                let path = folder.path.unwrap_or_default();
                Ok(Destination {
                    folder: within(volume, &path)?,
                })
            }
            (None, Some(_)) => bail!("this version stores backups on volumes only, not in buckets"),
            _ => bail!("a destination is exactly one of volume and s3"),
        }
    }

    /// Stores a file under a name: it is there whole or not at all, also after a crash.
    pub async fn put(&self, name: &str, from: &Path) -> Result<()> {
        let (to, from) = (within(&self.folder, name)?, from.to_owned());
        tokio::task::spawn_blocking(move || copy(&from, &to)).await?
    }

    /// Brings what is stored under a name into a file.
    pub async fn get(&self, name: &str, to: &Path) -> Result<()> {
        let (from, to) = (within(&self.folder, name)?, to.to_owned());
        tokio::task::spawn_blocking(move || copy(&from, &to)).await?
    }

    /// Deletes what is stored under a name; nothing there is what is wanted.
    pub fn delete(&self, name: &str) -> Result<()> {
        let path = within(&self.folder, name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot delete {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// A path in a resource never leads out of its volume.
fn within(root: &Path, path: &str) -> Result<PathBuf> {
    let relative = Path::new(path);
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(inside) {
        bail!("{path:?} leads out of the volume");
    }
    Ok(root.join(relative))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("the file has no folder")?;
    fs::create_dir_all(folder)?;
    let new = to.with_extension("part");
    let named = || format!("cannot copy {} to {}", from.display(), to.display());
    let write = || -> std::io::Result<()> {
        let (mut source, mut target) = (File::open(from)?, File::create(&new)?);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = source.read(&mut piece)?;
            let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
                break;
            };
            target.write_all(read)?;
        }
        target.sync_all()?;
        fs::rename(&new, to)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_a_volume() {
        let root = Path::new("/backup");
        assert_eq!(within(root, "a/b").unwrap(), Path::new("/backup/a/b"));
        for wrong in ["../etc", "/etc", "a/../../b"] {
            assert!(within(root, wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_stored_in_a_folder_comes_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let json = r#"{"volume": {"claimName": "x", "path": "nightly"}}"#;
        let place = Destination::open(json, dir.path()).unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "content").unwrap();
        place.put("a.db", &from).await.unwrap();
        place.get("a.db", &to).await.unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"content");
        assert!(dir.path().join("nightly/a.db").exists());
        place.delete("a.db").unwrap();
        place.delete("a.db").unwrap();
        assert!(place.get("a.db", &to).await.is_err());
    }
}
