//! Users and roles by resources, on a cluster of one member that asks for users: made, put right when
//! somebody has changed them by etcdctl, given other passwords and certificates, and deleted. Then keys
//! by resources.

mod absence;
mod declared;
mod drift;
mod keys;
mod users;

use serde_json::json;

use super::cluster::Cluster;
use super::stories::password;
use super::times::Times;
use crate::kubectl::Kubectl;
use xtask::tally::Tally;

/// The cluster of these stories.
const NAME: &str = "guarded";

/// Everything about users, roles and what is declared of keys; nothing of it is left afterwards.
pub fn tell(tally: &mut Tally, kubectl: &Kubectl, times: &mut Times) {
    let cluster = Cluster::new(kubectl, NAME);
    let created = tally.case("create one member that asks for users", || {
        cluster.apply(1, &json!({}))?;
        times.note("a cluster: 1/1 ready", cluster.until_ready(1)?);
        // Users may be there before anybody is asked who they are.
        users::before(&cluster)?;
        cluster.kubectl.apply(&[password(&cluster, "root's own")])?;
        cluster.apply(1, &json!({"auth": {"rootSecret": format!("{NAME}-root")}}))?;
        times.note("users are asked for: 1/1 ready", cluster.until_ready(1)?);
        users::after(&cluster)
    });
    if !created {
        return;
    }
    users::tell(tally, &cluster, times);
    keys::tell(tally, &cluster, times);
    tally.case("nothing is left of the cluster with users", || {
        cluster.delete()?;
        let secret = format!("{NAME}-root");
        cluster
            .kubectl
            .run(&["delete", "secret", &secret])
            .map(drop)
    });
}
