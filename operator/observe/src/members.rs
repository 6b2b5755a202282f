//! What the members say: their list as a quorum has confirmed it, and each one's own state.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures::future::join_all;
use mainstay_operator_member::loaded::{self, Metrics};
use mainstay_operator_member::pb::{MemberListResponse, StatusResponse};
use mainstay_operator_member::roles::{self, Part};
use mainstay_operator_member::{Address, Credentials, Error, Member, plain};

/// A pod that may hold a member.
#[derive(Clone, Debug)]
pub struct Asked {
    pub ordinal: u32,
    /// The pod's address, with the client port.
    pub client: SocketAddr,
    /// With the port for probes.
    pub probes: SocketAddr,
    /// The name in its certificate.
    pub host: String,
}

/// What one pod answered; each part may have failed on its own.
#[derive(Debug)]
pub struct Answer {
    pub member: Result<Member, String>,
    pub status: Result<StatusResponse, String>,
    pub part: Result<Part, String>,
    /// Of an answer: nothing if it is ready, else why not.
    pub unready: Result<Option<String>, String>,
    pub metrics: Result<Metrics, String>,
}

/// Asks all pods at once.
pub async fn ask(pods: &[Asked], credentials: Option<&Credentials>) -> BTreeMap<u32, Answer> {
    let answers = pods.iter().map(|pod| async move {
        let (rpc, part, unready, metrics) = tokio::join!(
            rpc(pod, credentials),
            roles::ask(pod.probes),
            readiness(pod.probes),
            loaded::ask(pod.probes),
        );
        let (member, status) = rpc;
        let answer = Answer {
            member,
            status,
            part: part.map_err(text),
            unready,
            metrics: metrics.map_err(text),
        };
        (pod.ordinal, answer)
    });
    join_all(answers).await.into_iter().collect()
}

async fn rpc(
    pod: &Asked,
    credentials: Option<&Credentials>,
) -> (Result<Member, String>, Result<StatusResponse, String>) {
    let Some(credentials) = credentials else {
        let reason = "there is no certificate to show to members";
        return (Err(reason.to_owned()), Err(reason.to_owned()));
    };
    let address = Address {
        socket: pod.client,
        host: pod.host.clone(),
    };
    match Member::connect(&address, credentials).await {
        Ok(member) => {
            let status = member.status().await.map_err(text);
            (Ok(member), status)
        }
        Err(error) => (Err(error.to_string()), Err(error.to_string())),
    }
}

async fn readiness(probes: SocketAddr) -> Result<Option<String>, String> {
    let (status, body) = plain::get(probes, "/readyz").await.map_err(text)?;
    let reason = String::from_utf8_lossy(&body).trim().to_owned();
    Ok((!status.is_success()).then_some(reason))
}

/// The list of members, and whether a quorum has confirmed it. The error says why nobody could.
pub async fn list(answers: &BTreeMap<u32, Answer>) -> Result<(MemberListResponse, bool), String> {
    let mut reason = "no member answers".to_owned();
    let connected: Vec<&Member> = answers
        .values()
        .filter(|answer| answer.status.is_ok())
        .filter_map(|answer| answer.member.as_ref().ok())
        .collect();
    // All at once: one that has no quorum on its side takes its whole time to say so.
    let confirmed = join_all(connected.iter().map(|member| member.members(true))).await;
    for outcome in confirmed {
        match outcome {
            Ok(list) => return Ok((list, true)),
            Err(error) => reason = error.to_string(),
        }
    }
    for member in connected {
        match member.members(false).await {
            Ok(list) => return Ok((list, false)),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The alarms that a member knows of, by its status: `memberID:1 alarm:NOSPACE`. Asking for them
/// takes a quorum, this does not.
pub fn alarms(status: &StatusResponse) -> Vec<(u64, String)> {
    let texts = status.errors.iter();
    texts.filter_map(|text| alarm(text)).collect()
}

fn alarm(text: &str) -> Option<(u64, String)> {
    let value = |name: &str| {
        text.split_whitespace()
            .find_map(|word| word.strip_prefix(name))
    };
    let member = value("memberID:")?.parse().ok()?;
    Some((member, value("alarm:")?.to_owned()))
}

fn text(error: Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_from_the_errors_of_a_status() {
        let status = StatusResponse {
            errors: vec![
                "etcdserver: no leader".to_owned(),
                "memberID:10276657743932975437 alarm:NOSPACE ".to_owned(),
            ],
            ..StatusResponse::default()
        };
        let expected = (10_276_657_743_932_975_437, "NOSPACE".to_owned());
        assert_eq!(alarms(&status), [expected]);
    }
}
