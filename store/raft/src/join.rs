//! Joining a cluster that runs: a member without data asks the others who they are and finds itself
//! among them by its peer URLs.
//!
//! The rules are etcd's: the cluster's members and those given by `--initial-cluster` must be the
//! same, told by their URLs. One is added: a member that has been up before and comes back without
//! its data is refused, as it may have forgotten votes and entries that a quorum relied on.

use std::time::Duration;

use mainstay_proto::peer;
use tokio::time::timeout;

use crate::identity::{Identity, InitialCluster};
use crate::peer::dial::{Dialler, inquire};
use crate::types::Peer;

/// One question to one member.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs ({0})"
    )]
    Unreachable(String),
    #[error("error validating peerURLs {members}: {reason}")]
    Mismatch { members: String, reason: String },
    #[error(
        "member {member:x} has already been bootstrapped, but its data directory is empty; \
         remove it from the cluster and add it again"
    )]
    AlreadyBootstrapped { member: u64 },
    #[error("member {0} is not in the initial cluster")]
    NotListed(String),
}

/// Asks the other members of `initial` in turn and returns who `name` is in their cluster.
pub async fn join(
    initial: &InitialCluster,
    name: &str,
    dialler: &Dialler,
) -> Result<Identity, JoinError> {
    let own = initial.members.iter().find(|peer| peer.name == name);
    let own = own.ok_or_else(|| JoinError::NotListed(name.to_owned()))?;
    let mut urls: Vec<&String> = initial
        .members
        .iter()
        .filter(|peer| peer.name != name)
        .flat_map(|peer| &peer.peer_urls)
        .collect();
    urls.sort();
    let mut last = "no other member is given".to_owned();
    for url in urls {
        match timeout(ASK_TIMEOUT, inquire(dialler, url)).await {
            Ok(Ok(found)) => return identify(initial, own, &found),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("{url} did not answer in time"),
        }
    }
    Err(JoinError::Unreachable(last))
}

fn identify(
    initial: &InitialCluster,
    own: &Peer,
    found: &peer::MembersResponse,
) -> Result<Identity, JoinError> {
    let mismatch = |reason: String| JoinError::Mismatch {
        members: described(found),
        reason,
    };
    if found.members.len() != initial.members.len() {
        return Err(mismatch("member count is unequal".to_owned()));
    }
    for member in &found.members {
        let same = |peer: &Peer| sorted(&peer.peer_urls) == sorted(&member.peer_urls);
        if !initial.members.iter().any(same) {
            let urls = member.peer_urls.join(" ");
            return Err(mismatch(format!(
                "PeerURLs: no match found for existing member ({:x}, [{urls}])",
                member.id
            )));
        }
    }
    let own_urls = sorted(&own.peer_urls);
    let row = found
        .members
        .iter()
        .find(|row| sorted(&row.peer_urls) == own_urls);
    let row = row.ok_or_else(|| mismatch("this member is not among them".to_owned()))?;
    if row.votes || !row.name.is_empty() {
        return Err(JoinError::AlreadyBootstrapped { member: row.id });
    }
    Ok(Identity {
        member: row.id,
        cluster: found.cluster,
    })
}

fn sorted(urls: &[String]) -> Vec<&str> {
    let mut urls: Vec<&str> = urls.iter().map(|url| url.trim_end_matches('/')).collect();
    urls.sort_unstable();
    urls
}

fn described(found: &peer::MembersResponse) -> String {
    let members = found.members.iter().map(|row| {
        let urls = row.peer_urls.join(" ");
        format!("&{{{:x} [{urls}]}}", row.id)
    });
    let members: Vec<String> = members.collect();
    format!(
        "{{ClusterID:{:x} Members:[{}]}}",
        found.cluster,
        members.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_of(name: &str) -> Peer {
        Peer {
            name: name.into(),
            peer_urls: vec![format!("http://{name}:2380")],
            joining: false,
        }
    }

    fn row(name: &str, id: u64, started: bool) -> peer::MemberRow {
        peer::MemberRow {
            id,
            name: if started { name.into() } else { String::new() },
            peer_urls: vec![format!("http://{name}:2380")],
            learner: false,
            votes: started,
        }
    }

    fn found(members: Vec<peer::MemberRow>) -> peer::MembersResponse {
        peer::MembersResponse {
            cluster: 77,
            members,
        }
    }

    fn who(members: Vec<peer::MemberRow>) -> Result<Identity, String> {
        let initial = InitialCluster {
            members: vec![peer_of("a"), peer_of("b")],
            token: String::new(),
        };
        let own = peer_of("b");
        identify(&initial, &own, &found(members)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_member_finds_itself_by_its_urls() {
        let identity = who(vec![row("a", 1, true), row("b", 2, false)]).unwrap();
        assert_eq!((identity.member, identity.cluster), (2, 77));
    }

    #[test]
    fn another_list_or_lost_data_is_refused() {
        let unequal = who(vec![row("a", 1, true)]).unwrap_err();
        assert!(unequal.ends_with("member count is unequal"), "{unequal}");
        let other = who(vec![row("a", 1, true), row("c", 3, false)]).unwrap_err();
        let expected = "no match found for existing member (3, [http://c:2380])";
        assert!(other.ends_with(expected), "{other}");
        let wiped = who(vec![row("a", 1, true), row("b", 2, true)]).unwrap_err();
        assert!(wiped.contains("has already been bootstrapped"), "{wiped}");
    }
}
