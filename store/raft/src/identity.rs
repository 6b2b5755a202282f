//! Who this member is: ids that follow from the initial cluster, kept in a file from then on.
//!
//! etcd derives a member's id from its peer URLs and the cluster token, and the cluster's id from
//! the members' ids, by SHA-1; so do we, so that tools that know the rule find the same ids.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mainstay_apply::{AppliedState, LogPosition};
use mainstay_proto::peer;
use prost::Message;
use sha1::{Digest, Sha1};

use crate::types::Peer;

const FILE: &str = "identity";
const FORMAT: &str = "mainstay-identity 1";
/// Beside the identity: the member was removed, and its directory is of no more use.
const REMOVED: &str = "removed";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub member: u64,
    pub cluster: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("identity file {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("identity file {path} is not of a format this version knows")]
    Format { path: PathBuf },
    #[error("member {0} is not in the initial cluster")]
    NotListed(String),
}

/// The members that a new cluster begins with, and the word that tells it from others.
#[derive(Clone, Debug)]
pub struct InitialCluster {
    pub members: Vec<Peer>,
    pub token: String,
}

impl InitialCluster {
    pub fn member_id(&self, peer: &Peer) -> u64 {
        let mut urls = peer.peer_urls.clone();
        urls.sort();
        let mut hash = Sha1::new();
        hash.update(urls.concat());
        hash.update(&self.token);
        first_eight(&hash.finalize())
    }

    /// Ids with members, sorted by id.
    pub fn by_id(&self) -> Vec<(u64, Peer)> {
        let mut all: Vec<_> = self
            .members
            .iter()
            .map(|peer| (self.member_id(peer), peer.clone()))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    /// What the store of every member says it was made of when a cluster begins with data: as many
    /// entries as there are members, as if each had been added by one (etcd's rule for a restored
    /// cluster). All of them must begin with the same data.
    pub fn founding_state(&self) -> AppliedState {
        let members = self.by_id();
        let position = LogPosition {
            term: 1,
            index: members.len() as u64,
        };
        let membership = peer::Membership {
            configs: vec![peer::Voters {
                ids: members.iter().map(|(id, _)| *id).collect(),
            }],
            nodes: members
                .into_iter()
                .map(|(id, member)| peer::Node {
                    id,
                    name: member.name,
                    peer_urls: member.peer_urls,
                    joining: false,
                })
                .collect(),
        };
        AppliedState {
            log: Some(position),
            membership: Some((position, membership.encode_to_vec().into())),
        }
    }

    pub fn identity(&self, name: &str) -> Result<Identity, IdentityError> {
        let own = self
            .members
            .iter()
            .find(|peer| peer.name == name)
            .ok_or_else(|| IdentityError::NotListed(name.to_owned()))?;
        let mut hash = Sha1::new();
        for (id, _) in self.by_id() {
            hash.update(id.to_be_bytes());
        }
        Ok(Identity {
            member: self.member_id(own),
            cluster: first_eight(&hash.finalize()),
        })
    }
}

pub(crate) fn first_eight(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// What `dir` says of the member that has started there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub identity: Identity,
    /// It was added to a running cluster, so it must never form one.
    pub joined: bool,
    /// It was removed from its cluster for good.
    pub removed: bool,
}

/// Reads it, if there is one.
pub fn load(dir: &Path) -> Result<Option<Kept>, IdentityError> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { path, source }),
    };
    let mut lines = text.lines();
    let known = lines.next() == Some(FORMAT);
    let mut id = |label: &str| {
        let value = lines.next()?.strip_prefix(label)?;
        u64::from_str_radix(value, 16).ok()
    };
    match (known, id("member "), id("cluster ")) {
        (true, Some(member), Some(cluster)) => Ok(Some(Kept {
            identity: Identity { member, cluster },
            joined: lines.next() == Some("joined"),
            removed: dir.join(REMOVED).exists(),
        })),
        _ => Err(IdentityError::Format { path }),
    }
}

/// Written whole or not at all: a temporary file, synced, renamed, its directory synced.
pub fn save(dir: &Path, identity: Identity, joined: bool) -> Result<(), IdentityError> {
    let Identity { member, cluster } = identity;
    let joined = if joined { "joined\n" } else { "" };
    let text = format!("{FORMAT}\nmember {member:x}\ncluster {cluster:x}\n{joined}");
    write(dir, FILE, &text)
}

/// Takes back what was noted of a member that has not begun.
pub fn forget(dir: &Path) -> Result<(), IdentityError> {
    let path = dir.join(FILE);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(IdentityError::Io { path, source })
        }
        _ => Ok(()),
    }
}

/// Notes for good that the member of `dir` was removed.
pub fn save_removed(dir: &Path) -> Result<(), IdentityError> {
    write(dir, REMOVED, "this member was removed from its cluster\n")
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let written = || {
        let temporary = dir.join(format!("{name}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    written().map_err(|source| IdentityError::Io {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that etcd 3.7.1 gives a single default member.
    #[test]
    fn ids_equal_etcds() {
        let cluster = InitialCluster {
            members: vec![Peer {
                name: "default".into(),
                peer_urls: vec!["http://localhost:2380".into()],
                joining: false,
            }],
            token: "etcd-cluster".into(),
        };
        let identity = cluster.identity("default").unwrap();
        assert_eq!(identity.member, 0x8e9e_05c5_2164_694d);
        assert_eq!(identity.cluster, 0xcdf8_1819_4e3a_8c32);
    }

    #[test]
    fn an_identity_is_found_again_and_a_foreign_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()).unwrap(), None);
        let identity = Identity {
            member: 7,
            cluster: u64::MAX,
        };
        for joined in [false, true] {
            save(dir.path(), identity, joined).unwrap();
            let kept = Kept {
                identity,
                joined,
                removed: false,
            };
            assert_eq!(load(dir.path()).unwrap(), Some(kept));
        }
        save_removed(dir.path()).unwrap();
        assert!(load(dir.path()).unwrap().unwrap().removed);
        fs::write(dir.path().join(FILE), "mainstay-identity 2\n").unwrap();
        assert!(load(dir.path()).is_err());
    }
}
