//! Requests by the version their client says it speaks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::limits::CLIENT_VERSIONS;

/// A short list: versions are few, and what a stranger sends must not grow without bound.
#[derive(Default)]
pub struct ClientVersions(RwLock<Vec<Version>>);

struct Version {
    name: String,
    unary: AtomicU64,
    stream: AtomicU64,
}

/// The name under which versions beyond the limit are counted.
const OTHER: &str = "other";

impl ClientVersions {
    pub fn count(&self, stream: bool, name: &str) {
        if self.count_known(stream, name) {
            return;
        }
        let mut versions = self.0.write();
        let room = versions.len() < CLIENT_VERSIONS;
        let name = if room { name } else { OTHER };
        if versions.iter().all(|version| version.name != name) {
            let (unary, stream) = (AtomicU64::new(0), AtomicU64::new(0));
            versions.push(Version {
                name: name.to_owned(),
                unary,
                stream,
            });
        }
        drop(versions);
        self.count_known(stream, name);
    }

    /// Every version with its unary and its stream requests.
    pub fn all(&self) -> Vec<(String, u64, u64)> {
        let versions = self.0.read();
        versions
            .iter()
            .map(|v| {
                (
                    v.name.clone(),
                    v.unary.load(Relaxed),
                    v.stream.load(Relaxed),
                )
            })
            .collect()
    }

    fn count_known(&self, stream: bool, name: &str) -> bool {
        let versions = self.0.read();
        let Some(version) = versions.iter().find(|version| version.name == name) else {
            return false;
        };
        let counter = if stream {
            &version.stream
        } else {
            &version.unary
        };
        counter.fetch_add(1, Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_share_one_series() {
        let versions = ClientVersions::default();
        for n in 0..CLIENT_VERSIONS + 5 {
            versions.count(false, &format!("v{n}"));
        }
        versions.count(true, "v0");
        let all = versions.all();
        assert_eq!(all.len(), CLIENT_VERSIONS + 1);
        assert_eq!(all[0], ("v0".to_owned(), 1, 1));
        assert_eq!(all[CLIENT_VERSIONS], (OTHER.to_owned(), 5, 0));
    }
}
