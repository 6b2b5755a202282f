//! What each member says of itself, asked through `etcdctl endpoint status`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How long `etcdctl` waits for one member.
const PATIENCE: &str = "--command-timeout=2s";

/// One member's answer to `Maintenance.Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub endpoint: String,
    pub member: u64,
    pub leader: u64,
    pub term: u64,
    pub revision: u64,
    pub db_size: u64,
    pub version: String,
}

/// Asks every endpoint. A member that does not answer is missing from the list.
pub fn ask(etcdctl: &Path, endpoints: &[String]) -> Result<Vec<Status>> {
    let output = Command::new(etcdctl)
        .arg("--endpoints")
        .arg(endpoints.join(","))
        .args([PATIENCE, "endpoint", "status", "--write-out", "fields"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", etcdctl.display()))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads the `"Name" : value` lines; each member's block holds its `Endpoint` near the end.
fn parse(text: &str) -> Vec<Status> {
    let mut members: Vec<Status> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(" : ") else {
            continue;
        };
        let value = value.trim_matches('"');
        if name == "\"ClusterID\"" {
            members.push(Status::default());
        }
        let Some(member) = members.last_mut() else {
            continue;
        };
        let number = value.parse().unwrap_or(0);
        match name.trim_matches('"') {
            "MemberID" => member.member = number,
            "Leader" => member.leader = number,
            "RaftTerm" => member.term = number,
            "Revision" => member.revision = number,
            "DBSize" => member.db_size = number,
            "Version" => member.version = value.to_owned(),
            "Endpoint" => member.endpoint = value.to_owned(),
            _ => {}
        }
    }
    members.retain(|member| !member.endpoint.is_empty());
    members
}

/// A table for people, one line a member, with no line for what did not answer but its absence.
pub fn table(endpoints: &[String], members: &[Status]) -> String {
    let mut lines = vec![format!(
        "{:<24} {:<17} {:<9} {:>6} {:>10} {:>10}",
        "endpoint", "member", "role", "term", "revision", "size"
    )];
    for endpoint in endpoints {
        let Some(member) = members.iter().find(|member| &member.endpoint == endpoint) else {
            lines.push(format!("{endpoint:<24} does not answer"));
            continue;
        };
        let role = match member.leader {
            0 => "no leader",
            leader if leader == member.member => "leader",
            _ => "follower",
        };
        let id = format!("{:x}", member.member);
        let size = bytes(member.db_size);
        lines.push(format!(
            "{endpoint:<24} {id:<17} {role:<9} {:>6} {:>10} {size:>10}",
            member.term, member.revision
        ));
    }
    lines.join("\n")
}

/// A size with the unit people read, in powers of 1024.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\"ClusterID\" : 35\n\"MemberID\" : 17\n\"Revision\" : 5\n\
        \"RaftTerm\" : 2\n\"Version\" : \"3.7.1\"\n\"DBSize\" : 20480\n\"Leader\" : 17\n\
        \"Errors\" : []\n\"Endpoint\" : \"127.0.0.1:2379\"\n\n\
        \"ClusterID\" : 35\n\"MemberID\" : 18\n\"Leader\" : 17\n\"Endpoint\" : \"127.0.0.1:22379\"\n";

    #[test]
    fn blocks_become_members() {
        let members = parse(OUTPUT);
        assert_eq!(members.len(), 2);
        assert_eq!((members[0].revision, members[0].db_size), (5, 20480));
        assert_eq!(
            (members[1].member, members[1].endpoint.as_str()),
            (18, "127.0.0.1:22379")
        );
    }

    #[test]
    fn a_silent_member_has_a_line() {
        let endpoints: Vec<String> = ["127.0.0.1:2379", "127.0.0.1:1"]
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = table(&endpoints, &parse(OUTPUT));
        assert!(text.contains("leader"), "{text}");
        assert!(
            text.contains("127.0.0.1:1              does not answer"),
            "{text}"
        );
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(20), "20 B");
        assert_eq!(bytes(20480), "20.0 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
