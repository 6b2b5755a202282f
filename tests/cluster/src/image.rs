//! Images FROM scratch, written as archives of the OCI image layout without any daemon.
//!
//! One layer, owned by root, with no time in it: the same files make the same image. The layer is
//! built in memory, so an image should stay below some hundred MB.
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{tools, worker};

/// The user of our images: nobody's, and the same number as in other images without a shell.
const USER: &str = "65532:65532";
const ACCOUNTS: &str = "root:x:0:0:root:/:/sbin/nologin\n\
                        nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\nnonroot:x:65532:\n";

/// The architecture in the words of the OCI.
const ARCHITECTURE: &str = "amd64";

#[derive(Clone, Debug)]
enum Entry {
    Folder(u32),
    /// Mode and content.
    Text(u32, &'static str),
    Program(PathBuf),
    Link(String),
}

/// What an image holds and starts.
#[derive(Clone, Debug)]
pub struct Image {
    /// Registry, repository and tag.
    pub name: String,
    entries: Vec<(String, Entry)>,
    entrypoint: Vec<String>,
    user: &'static str,
}

/// One program of ours at `/usr/local/bin`, as `deploy/` lays it out: `NAME:VERSION`.
pub fn program(name: &str, version: &str, binary: &Path) -> Image {
    let path = format!("usr/local/bin/{name}");
    Image {
        // A name without a registry means this one to the kubelet.
        name: format!("docker.io/library/{name}:{version}"),
        entrypoint: vec![format!("/{path}")],
        entries: vec![
            ("etc/".into(), Entry::Folder(0o755)),
            ("etc/group".into(), Entry::Text(0o644, GROUPS)),
            ("etc/passwd".into(), Entry::Text(0o644, ACCOUNTS)),
            ("tmp/".into(), Entry::Folder(0o1777)),
            (path, Entry::Program(binary.to_path_buf())),
        ],
        user: USER,
    }
}

/// The process that holds a pod's namespaces.
pub fn pause(binary: &Path) -> Image {
    Image {
        name: worker::PAUSE.into(),
        entries: vec![("pause".into(), Entry::Program(binary.to_path_buf()))],
        entrypoint: vec!["/pause".into()],
        user: USER,
    }
}

/// Debian's static busybox with a link for each of its commands, for looking around in a cluster.
pub fn busybox() -> Result<Image> {
    let binary = PathBuf::from("/usr/bin/busybox");
    let commands = tools::output(std::process::Command::new(&binary).arg("--list"))?;
    let link = |name: &str| (format!("bin/{name}"), Entry::Link("busybox".into()));
    let mut entries = vec![
        ("bin/".into(), Entry::Folder(0o755)),
        ("bin/busybox".into(), Entry::Program(binary)),
        ("etc/".into(), Entry::Folder(0o755)),
        ("etc/group".into(), Entry::Text(0o644, GROUPS)),
        ("etc/passwd".into(), Entry::Text(0o644, ACCOUNTS)),
        ("tmp/".into(), Entry::Folder(0o1777)),
    ];
    entries.extend(commands.lines().filter(|name| *name != "busybox").map(link));
    Ok(Image {
        name: "mainstay.invalid/busybox:1".into(),
        entries,
        entrypoint: vec!["/bin/sh".into()],
        user: USER,
    })
}

impl Image {
    /// Writes the archive; it appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let layer = self.layer()?;
        let config = self.config(&digest(&layer)).to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        entry["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        let new = path.with_extension("new");
        let file = File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
        let mut archive = Builder::new(file);
        add(
            &mut archive,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
        )?;
        add(
            &mut archive,
            "index.json",
            index.to_string().as_bytes(),
            0o644,
        )?;
        for blob in [config, manifest, layer] {
            add(
                &mut archive,
                &format!("blobs/sha256/{}", digest(&blob)),
                &blob,
                0o644,
            )?;
        }
        archive.into_inner()?.sync_all()?;
        fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            match entry {
                Entry::Folder(mode) => {
                    let mut header = header(EntryType::Directory, 0, *mode);
                    layer.append_data(&mut header, path, std::io::empty())?;
                }
                Entry::Text(mode, text) => add(&mut layer, path, text.as_bytes(), *mode)?,
                Entry::Program(binary) => {
                    let bytes = fs::read(binary)
                        .with_context(|| format!("cannot read {}", binary.display()))?;
                    add(&mut layer, path, &bytes, 0o755)?;
                }
                Entry::Link(target) => {
                    layer.append_link(&mut header(EntryType::Symlink, 0, 0o777), path, target)?;
                }
            }
        }
        Ok(layer.into_inner()?)
    }

    fn config(&self, layer: &str) -> Value {
        json!({
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {
                "User": self.user,
                "Env": ["PATH=/usr/local/bin:/bin"],
                "Entrypoint": self.entrypoint,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        })
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": kind,
        "digest": format!("sha256:{}", digest(bytes)),
        "size": bytes.len(),
    })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn add<W: std::io::Write>(
    archive: &mut Builder<W>,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<()> {
    let mut header = header(EntryType::Regular, bytes.len() as u64, mode);
    archive
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("cannot add {path}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_digest_of_an_archive_leads_to_its_blob() {
        let dir = std::env::temp_dir().join(format!("image-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("binary"), "program").unwrap();
        program("mainstay", "1.2.3", &dir.join("binary"))
            .write(&dir.join("a.tar"))
            .unwrap();
        let found = files(&fs::read(dir.join("a.tar")).unwrap());
        let index: Value = serde_json::from_slice(&found["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            "docker.io/library/mainstay:1.2.3"
        );
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"]
                .as_str()
                .unwrap()
                .replace("sha256:", "");
            let bytes = &found[&format!("blobs/sha256/{digest}")];
            assert_eq!(descriptor["size"], bytes.len());
            assert_eq!(super::digest(bytes), digest);
            bytes.clone()
        };
        let manifest: Value = serde_json::from_slice(&blob(entry)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(files(&layer)["usr/local/bin/mainstay"], b"program");
        fs::remove_dir_all(&dir).unwrap();
    }
}
