//! A place for snapshots: a folder of a volume, or a bucket.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt;
use mainstay_operator_api::backup::Destination as Wanted;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::s3;

/// What is read from a file at a time, and sent in one piece to a bucket; S3 takes no smaller parts.
const PIECE_BYTES: usize = 8 << 20;
/// Parts of a file that are under way to a bucket.
const PIECES_UNDER_WAY: usize = 4;

pub enum Destination {
    Folder(PathBuf),
    Bucket {
        store: Arc<dyn ObjectStore>,
        prefix: String,
    },
}

impl Destination {
    pub fn open(json: &str, volume: &Path, credentials: &Path) -> Result<Destination> {
        let wanted: Wanted = serde_json::from_str(json).context("--destination is unusable")?;
        match (wanted.volume, wanted.s3) {
            (Some(folder), None) => {
                let path = folder.path.unwrap_or_default();
                Ok(Destination::Folder(within(volume, &path)?))
            }
            (None, Some(bucket)) => Ok(Destination::Bucket {
                prefix: bucket.prefix.clone().unwrap_or_default(),
                store: s3::open(&bucket, credentials)?,
            }),
            _ => bail!("a destination is exactly one of volume and s3"),
        }
    }

    /// Stores a file under a name. In a folder it is there whole or not at all, also after a crash.
    pub async fn put(&self, name: &str, from: &Path) -> Result<()> {
        match self {
            Destination::Folder(folder) => {
                let (to, from) = (within(folder, name)?, from.to_owned());
                tokio::task::spawn_blocking(move || copy(&from, &to)).await?
            }
            Destination::Bucket { store, prefix } => {
                let key = key(prefix, name)?;
                let upload = store.put_multipart(&key).await;
                let upload = upload.with_context(|| format!("cannot begin to store {key}"))?;
                let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
                let sent = match send(&mut upload, from).await {
                    Ok(()) => upload.finish().await.map(drop).map_err(Into::into),
                    Err(error) => {
                        // Parts of a file that was never finished would be paid for.
                        if let Err(error) = upload.abort().await {
                            tracing::warn!(%error, "parts of {key} are left in the bucket");
                        }
                        Err(error)
                    }
                };
                sent.with_context(|| format!("cannot store {key}"))
            }
        }
    }

    /// Brings what is stored under a name into a file.
    pub async fn get(&self, name: &str, to: &Path) -> Result<()> {
        match self {
            Destination::Folder(folder) => {
                let (from, to) = (within(folder, name)?, to.to_owned());
                tokio::task::spawn_blocking(move || copy(&from, &to)).await?
            }
            Destination::Bucket { store, prefix } => {
                let key = key(prefix, name)?;
                let found = store.get(&key).await;
                let found = found.with_context(|| format!("cannot read {key}"))?;
                let mut pieces = found.into_stream();
                let mut file = tokio::fs::File::create(to).await?;
                while let Some(piece) = pieces.next().await {
                    let piece = piece.with_context(|| format!("cannot read {key}"))?;
                    file.write_all(&piece).await?;
                }
                Ok(file.sync_all().await?)
            }
        }
    }

    /// Deletes what is stored under a name; nothing there is what is wanted.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match self {
            Destination::Folder(folder) => match fs::remove_file(within(folder, name)?) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Destination::Bucket { store, prefix } => {
                let key = key(prefix, name)?;
                match store.delete(&key).await {
                    Err(object_store::Error::NotFound { .. }) => Ok(()),
                    other => other.with_context(|| format!("cannot delete {key}")),
                }
            }
        }
    }
}

async fn send(upload: &mut WriteMultipart, from: &Path) -> Result<()> {
    let mut file = tokio::fs::File::open(from).await?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = file.read(&mut piece).await?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        upload.wait_for_capacity(PIECES_UNDER_WAY).await?;
        upload.write(read);
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

fn key(prefix: &str, name: &str) -> Result<Key> {
    let text = match prefix.trim_matches('/') {
        "" => name.to_owned(),
        prefix => format!("{prefix}/{name}"),
    };
    Key::parse(&text).with_context(|| format!("{text:?} is no key of a bucket"))
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

    #[test]
    fn keys_begin_with_the_prefix() {
        for (prefix, name, expected) in [
            ("", "a.db", "a.db"),
            ("nightly", "a.db", "nightly/a.db"),
            ("/prod/nightly/", "a.db", "prod/nightly/a.db"),
            ("prod", "old/a.db", "prod/old/a.db"),
        ] {
            assert_eq!(key(prefix, name).unwrap().as_ref(), expected);
        }
        for (prefix, name) in [("a//b", "c"), ("", "../a"), ("..", "a")] {
            assert!(key(prefix, name).is_err(), "{prefix} {name}");
        }
    }

    #[tokio::test]
    async fn what_is_stored_in_a_bucket_comes_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let place = Destination::Bucket {
            store: Arc::new(object_store::memory::InMemory::new()),
            prefix: "nightly".to_owned(),
        };
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        // Two whole pieces and a bit.
        let content: Vec<u8> = (0..2 * PIECE_BYTES + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        fs::write(&from, &content).unwrap();
        place.put("a.db", &from).await.unwrap();
        place.get("a.db", &to).await.unwrap();
        assert!(fs::read(&to).unwrap() == content);
        place.delete("a.db").await.unwrap();
        place.delete("a.db").await.unwrap();
        let gone = place.get("a.db", &to).await.unwrap_err();
        assert!(format!("{gone:#}").contains("nightly/a.db"), "{gone:#}");
    }

    #[tokio::test]
    async fn what_is_stored_in_a_folder_comes_back_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let json = r#"{"volume": {"claimName": "x", "path": "nightly"}}"#;
        let place = Destination::open(json, dir.path(), Path::new("/none")).unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "content").unwrap();
        place.put("a.db", &from).await.unwrap();
        place.get("a.db", &to).await.unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"content");
        assert!(dir.path().join("nightly/a.db").exists());
        place.delete("a.db").await.unwrap();
        place.delete("a.db").await.unwrap();
        assert!(place.get("a.db", &to).await.is_err());
    }
}
