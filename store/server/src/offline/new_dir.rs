//! A data directory that appears whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mainstay_apply::AppliedState;
use mainstay_raft::{Identity, InitialCluster, Peer, identity};

use super::NewCluster;
use crate::data_dir;
use crate::flags::{cluster, urls};

/// A directory under a name of its own until it is complete. Dropped before, it goes.
pub struct NewDir {
    target: PathBuf,
    building: PathBuf,
    identity: Identity,
    /// What the store of every member of the new cluster says it was made of.
    pub applied: AppliedState,
    finished: bool,
}

impl NewDir {
    /// Checks who the member is to be and that nothing is where its directory is to be.
    pub fn begin(new: &NewCluster) -> Result<NewDir> {
        let flag = "initial-advertise-peer-urls";
        let advertised = urls::split(&new.initial_advertise_peer_urls, flag)?;
        let members = cluster::listed(&new.name, &new.initial_cluster, &advertised)?;
        let initial = InitialCluster {
            members: members
                .into_iter()
                .map(|(name, peer_urls)| Peer {
                    name,
                    peer_urls,
                    joining: false,
                })
                .collect(),
            token: new.initial_cluster_token.clone(),
        };
        let given = new.data_dir.clone();
        let target = given.unwrap_or_else(|| PathBuf::from(format!("{}.etcd", new.name)));
        NewDir::of(target, &initial, &new.name)
    }

    /// The same for a member that is known already.
    pub fn of(target: PathBuf, initial: &InitialCluster, name: &str) -> Result<NewDir> {
        let identity = initial.identity(name)?;
        must_be_free(&target)?;
        let building = beside(&target)?;
        // Our process id is in its name: whoever began it has ended. In a container that is always so.
        match fs::remove_dir_all(&building) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| building.display().to_string());
            }
            _ => {}
        }
        let dir = NewDir {
            building,
            target,
            identity,
            applied: initial.founding_state(),
            finished: false,
        };
        private(&dir.member()).with_context(|| dir.building.display().to_string())?;
        Ok(dir)
    }

    /// What is the member's of it.
    pub fn member(&self) -> PathBuf {
        self.building.join(data_dir::MEMBER)
    }

    /// Where the store is to be made; nothing is there yet.
    pub fn store(&self) -> PathBuf {
        self.member().join(data_dir::STORE)
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Gives the directory its name once everything in it is on the disk.
    pub fn finish(mut self) -> Result<()> {
        identity::save(&self.member(), self.identity, false)?;
        for dir in [self.store(), self.member(), self.building.clone()] {
            sync(&dir)?;
        }
        // Replaces nothing but an empty directory.
        fs::rename(&self.building, &self.target)
            .with_context(|| format!("data-dir {}", self.target.display()))?;
        self.finished = true;
        sync(parent(&self.target))
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_dir_all(&self.building)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("{} was left behind: {error}", self.building.display());
        }
    }
}

/// Another name in the same directory, whether or not the given one ends with a slash.
fn beside(target: &Path) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        bail!("data-dir {target:?} has no name of its own");
    };
    let mut name = name.to_owned();
    name.push(format!(".new-{}", std::process::id()));
    Ok(parent(target).join(name))
}

fn must_be_free(target: &Path) -> Result<()> {
    let is_empty = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if !is_empty {
        bail!("data-dir {target:?} not empty or could not be read");
    }
    Ok(())
}

fn private(dir: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(data_dir::MODE).create(dir)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync(dir: &Path) -> Result<()> {
    let sync = || File::open(dir)?.sync_all();
    sync().with_context(|| dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(data_dir: &Path) -> NewCluster {
        NewCluster {
            data_dir: Some(data_dir.to_owned()),
            name: "default".into(),
            initial_cluster: "default=http://localhost:2380".into(),
            initial_cluster_token: "etcd-cluster".into(),
            initial_advertise_peer_urls: "http://localhost:2380".into(),
        }
    }

    #[test]
    fn a_directory_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.etcd");
        // As a shell completes it.
        let slashed = dir.path().join("a.etcd/");
        let abandoned = NewDir::begin(&new(&slashed)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::create_dir(abandoned.store()).unwrap();
        // One that was killed leaves its part, and the next of its id begins anew.
        let store = abandoned.store();
        std::mem::forget(abandoned);
        let abandoned = NewDir::begin(&new(&slashed)).unwrap();
        assert!(abandoned.store() == store && !store.exists());
        fs::create_dir(abandoned.store()).unwrap();
        drop(abandoned);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::create_dir(&target).unwrap();
        let whole = NewDir::begin(&new(&slashed)).unwrap();
        fs::create_dir(whole.store()).unwrap();
        let identity = whole.identity();
        whole.finish().unwrap();
        let kept = identity::load(&target.join("member")).unwrap();
        assert_eq!(kept.map(|kept| kept.identity), Some(identity));
        let again = NewDir::begin(&new(&target)).map(drop).unwrap_err();
        assert!(again.to_string().contains("not empty"), "{again}");
    }

    #[test]
    fn a_member_must_be_listed_as_it_advertises_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = new(&dir.path().join("x"));
        other.name = "b".into();
        let refused = NewDir::begin(&other).map(drop).unwrap_err();
        assert!(refused.to_string().contains("couldn't find local name"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
