//! Users and passwords, with etcdctl.

use anyhow::Result;
use serde_json::{Value, json};

use crate::operator::cluster::Cluster;
use crate::operator::etcdctl::Etcdctl;

/// The Secret that a spec names for the password of root.
pub fn password(cluster: &Cluster, text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("{}-root", cluster.name), "namespace": cluster.namespace},
        "stringData": {"password": text},
    })
}

/// Root is known by a password and by a certificate of that name; whoever shows neither is refused.
/// `nobody` is the Secret of a certificate that stands for no user, `root` of root's.
pub fn enforced(cluster: &Cluster, nobody: &str, root: &str, password: &str) -> Result<()> {
    let etcdctl = Etcdctl::with(cluster, nobody)?;
    let user = format!("--user=root:{password}");
    etcdctl.run(&[&user, "put", "guarded", "by a password"])?;
    etcdctl.refused(&["get", "guarded"], "permission denied")?;
    etcdctl.refused(
        &["--user=root:wrong", "get", "guarded"],
        "authentication failed",
    )?;
    let etcdctl = Etcdctl::with(cluster, root)?;
    etcdctl.expect("guarded", "by a password")?;
    etcdctl.run(&["auth", "status"]).and_then(|told| {
        anyhow::ensure!(told.contains("true"), "authentication is off: {told}");
        Ok(())
    })
}

/// Another password in the Secret is root's from then on, and the former is nobody's.
pub fn changed(cluster: &Cluster, nobody: &str, former: &str) -> Result<()> {
    const LATER: &str = "quite another one";
    cluster.kubectl.apply(&[password(cluster, LATER)])?;
    let etcdctl = Etcdctl::with(cluster, nobody)?;
    let former = format!("--user=root:{former}");
    let limit = crate::operator::cluster::LIMIT;
    // By the one that is still right at first: members answer only so many wrong ones a minute.
    xtask::process::wait_until("the former password is nobody's", limit, || {
        let refused = etcdctl.refused(&[&former, "get", "guarded"], "authentication failed");
        Ok(refused.is_ok())
    })?;
    let user = format!("--user=root:{LATER}");
    etcdctl.run(&[&user, "get", "guarded"]).map(drop)
}
