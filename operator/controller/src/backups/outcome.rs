//! What a job's pod says of its outcome.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::agent::Outcome;

/// What a restore has found in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub keys: i64,
    pub revision: i64,
}

/// The agent's last words, if it ended well.
pub fn stored(pod: &Pod, agent: &str) -> Option<Outcome> {
    let ended = container(pod, agent)?.state.as_ref()?.terminated.as_ref()?;
    let words = (ended.exit_code == 0).then_some(ended.message.as_ref()?)?;
    serde_json::from_str(words).ok()
}

/// Why a pod failed, in the words of the first container that did.
pub fn failure(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let containers = lists.into_iter().flatten().flatten();
    for known in containers {
        let Some(ended) = known
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
        else {
            continue;
        };
        if ended.exit_code != 0 {
            let words = ended.message.as_deref().or(ended.reason.as_deref());
            let words = words.unwrap_or("it gives no reason").trim();
            return Some(format!(
                "{} ended with {}: {words}",
                known.name, ended.exit_code
            ));
        }
    }
    status.message.clone()
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let mut containers = lists.into_iter().flatten().flatten();
    containers.find(|known| known.name == name)
}

/// The line that `mainstay snapshot restore` prints.
pub fn restored(log: &str) -> Option<Restored> {
    let line = log.lines().find(|line| line.starts_with("restored "))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|known| *known == word)?;
        words.get(at.checked_add(1)?)?.parse().ok()
    };
    Some(Restored {
        keys: after("restored")?,
        revision: after("revision")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_restore_is_read() {
        let log = "x\nrestored 12 keys and 0 leases at revision 34 into /scratch/restored as member 1 of cluster 2\n";
        let expected = Restored {
            keys: 12,
            revision: 34,
        };
        assert_eq!(restored(log), Some(expected));
        assert_eq!(restored("error: x"), None);
    }
}
