//! Names, labels and ports that the objects of a cluster have in common.

use std::collections::BTreeMap;

pub const NAME: &str = "app.kubernetes.io/name";
pub const INSTANCE: &str = "app.kubernetes.io/instance";
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `leader`, `follower` or `learner`, by the member's own word.
pub const ROLE: &str = "mainstay.dev/role";

pub const PRODUCT: &str = "mainstay";
pub const OPERATOR: &str = "mainstay-operator";

pub const CLIENT_PORT: u16 = 2379;
pub const PEER_PORT: u16 = 2380;
/// Plain HTTP for probes, metrics and roles.
pub const METRICS_PORT: u16 = 2381;

/// Those that an object of a cluster has and its pods are chosen by.
pub fn of(cluster: &str) -> BTreeMap<String, String> {
    let pairs = [(NAME, PRODUCT), (INSTANCE, cluster), (MANAGED_BY, OPERATOR)];
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The same as a selector.
pub fn selector(cluster: &str) -> String {
    let pairs = of(cluster);
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}
