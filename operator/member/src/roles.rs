//! Who a member is and which part it plays, as it says itself on the port for probes: once, or as it
//! changes.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{Stream, StreamExt};
use serde::Deserialize;

use crate::error::Error;
use crate::plain;

const PATH: &str = "/member";
/// A line comes every ten seconds if nothing changes.
const SILENCE: Duration = Duration::from_secs(25);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Leader,
    Follower,
    Learner,
    /// It knows no leader.
    None,
}

/// What one line says. Ids are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Part {
    #[serde(deserialize_with = "hexadecimal")]
    pub id: u64,
    /// Empty until the member has published itself.
    #[serde(default)]
    pub name: String,
    #[serde(rename = "clusterID", deserialize_with = "hexadecimal")]
    pub cluster_id: u64,
    pub role: Role,
    pub term: u64,
    /// Of a member that is here and takes no part: how far the log on its disk reaches.
    #[serde(default)]
    pub log: Option<Log>,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Log {
    pub term: u64,
    pub index: u64,
}

fn hexadecimal<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}

impl Role {
    /// The value of the label by which Services choose.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Role::Leader => Some("leader"),
            Role::Follower => Some("follower"),
            Role::Learner => Some("learner"),
            Role::None => None,
        }
    }
}

/// The part that the member plays now. A process that waits for its intent has none and refuses.
pub async fn ask(socket: SocketAddr) -> Result<Part, Error> {
    let (status, body) = plain::get(socket, PATH).await?;
    let text = String::from_utf8_lossy(&body);
    match status.is_success() {
        true => parse(socket, &text),
        false => Err(Error::Status {
            host: socket.to_string(),
            path: PATH.to_owned(),
            status: status.as_u16(),
            text: text.trim().to_owned(),
        }),
    }
}

/// The part it plays now, and each one after, until the member goes away.
pub async fn watch(
    socket: SocketAddr,
) -> Result<impl Stream<Item = Result<Part, Error>> + use<>, Error> {
    let path = format!("{PATH}?watch=true");
    let lines = plain::lines(socket, &path, SILENCE).await?;
    Ok(lines.map(move |line| parse(socket, &line?)))
}

fn parse(socket: SocketAddr, text: &str) -> Result<Part, Error> {
    serde_json::from_str(text).map_err(|error| Error::Malformed {
        host: socket.to_string(),
        path: PATH.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_leads() {
        let socket = SocketAddr::from(([127, 0, 0, 1], 2381));
        let line = r#"{"id":"8e9e05c52164694d","name":"a-0","clusterID":"cdf818194e3a8c32","role":"leader","term":3,"leader":"8e9e05c52164694d"}"#;
        let part = parse(socket, line).unwrap();
        assert_eq!((part.role, part.term), (Role::Leader, 3));
        assert_eq!(part.id, 0x8e9e_05c5_2164_694d);
        assert_eq!(part.log, None);
        let rest = line.replace("\"term\":3", r#""term":3,"log":{"term":3,"index":7}"#);
        let log = parse(socket, &rest).unwrap().log;
        assert_eq!(log, Some(Log { term: 3, index: 7 }));
        let none = line.replace("leader\",\"term", "none\",\"term");
        assert_eq!(parse(socket, &none).unwrap().role.label(), None);
        for wrong in [
            "",
            "{}",
            r#"{"id":"zz","clusterID":"1","role":"leader","term":1}"#,
        ] {
            assert!(matches!(parse(socket, wrong), Err(Error::Malformed { .. })));
        }
    }
}
