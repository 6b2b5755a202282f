//! Which member this process is: what its directory says, what its initial cluster makes it, or what
//! a running cluster that has added it says.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use mainstay_raft::{Dialler, Identity, InitialCluster, JoinError, Peer, identity, join};

use crate::data_dir::DataDir;
use crate::discovery;
use crate::flags::cluster::{self, Members};
use crate::settings::{Discovery, Settings};

/// Beside the identity: the initial cluster, where it was discovered and not given. A start that was
/// broken off goes on with the same one.
const DISCOVERED: &str = "discovered";

/// A member's place in its cluster.
pub enum Seat {
    Taken(Taken),
    /// It was removed from its cluster, and its data is of no more use.
    Removed(Identity),
}

#[derive(Clone, Debug)]
pub struct Taken {
    pub identity: Identity,
    /// It was added to a running cluster.
    pub joined: bool,
    /// Of use only while the log is empty.
    pub initial: InitialCluster,
}

#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// The cluster that runs does not know this member, or not as it comes.
    #[error(transparent)]
    Refused(#[from] JoinError),
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// The identity kept in the directory, or a new one. With `--initial-cluster-state=existing` it is
/// asked of the other members.
pub async fn take(
    settings: &Settings,
    dir: &DataDir,
    dialler: &Dialler,
) -> Result<Seat, SeatError> {
    let kept = identity::load(&dir.member).context("identity")?;
    if let Some(kept) = kept {
        if kept.removed {
            return Ok(Seat::Removed(kept.identity));
        }
        let members = discovered(dir)?;
        return Ok(Seat::Taken(Taken {
            identity: kept.identity,
            joined: kept.joined,
            initial: initial_cluster(settings, members),
        }));
    }
    let members = match &settings.discovery {
        Some(discovery) => {
            let found = discovery::members(discovery, settings, &dialler.resolver).await?;
            keep_discovered(dir, &found)?;
            Some(found)
        }
        None => None,
    };
    let initial = initial_cluster(settings, members);
    let joined = settings.join;
    let identity = match joined {
        true => join(&initial, &settings.name, dialler).await?,
        false => initial
            .identity(&settings.name)
            .context("initial cluster")?,
    };
    identity::save(&dir.member, identity, joined).context("identity")?;
    Ok(Seat::Taken(Taken {
        identity,
        joined,
        initial,
    }))
}

/// The members found, or given by flags.
pub fn initial_cluster(settings: &Settings, found: Option<Members>) -> InitialCluster {
    let members = found.unwrap_or_else(|| settings.initial_cluster.clone());
    let members = members.into_iter().map(|(name, peer_urls)| Peer {
        name,
        peer_urls,
        joining: false,
    });
    let token = match &settings.discovery {
        Some(Discovery::Registry(registry)) => &registry.token,
        _ => &settings.initial_cluster_token,
    };
    InitialCluster {
        members: members.collect(),
        token: token.clone(),
    }
}

fn keep_discovered(dir: &DataDir, members: &Members) -> Result<()> {
    let entries: Vec<String> = members
        .iter()
        .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
        .collect();
    fs::write(dir.member.join(DISCOVERED), entries.join(",")).context("discovered members")
}

fn discovered(dir: &DataDir) -> Result<Option<Members>> {
    match fs::read_to_string(dir.member.join(DISCOVERED)) {
        Ok(text) => cluster::parse(&text)
            .map(Some)
            .map_err(|reason| anyhow::anyhow!("discovered members: {reason}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("discovered members"),
    }
}
