//! Who leads, what is proposed, and which versions agree.

use std::sync::atomic::Ordering::Relaxed;

use crate::context::{Context, SERVER_VERSION};
use crate::metrics::Text;
use crate::services::maintenance::alarm_name;

pub fn write(context: &Context, text: &mut Text) {
    leadership(context, text);
    proposals(context, text);
    promotions(context, text);
    identity(context, text);
    health(context, text);
}

fn leadership(context: &Context, text: &mut Text) {
    let node = &context.node;
    text.gauge(
        "etcd_server_has_leader",
        "Whether or not a leader exists. 1 is existence, 0 is not.",
    )
    .value(u8::from(node.leader().is_some()));
    text.gauge(
        "etcd_server_is_leader",
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
    )
    .value(u8::from(node.is_leader()));
    text.gauge(
        "etcd_server_is_learner",
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
    )
    .value(u8::from(node.is_learner()));
    text.counter(
        "etcd_server_leader_changes_seen_total",
        "The number of leader changes seen.",
    )
    .value(node.metrics().leader_changes);
    text.gauge("mainstay_raft_term", "Term of this member.")
        .value(node.term());
}

fn proposals(context: &Context, text: &mut Text) {
    let metrics = context.node.metrics();
    // Gauges in etcd too, in spite of their names.
    text.gauge(
        "etcd_server_proposals_committed_total",
        "The total number of consensus proposals committed.",
    )
    .value(metrics.committed_index);
    text.gauge(
        "etcd_server_proposals_applied_total",
        "The total number of consensus proposals applied.",
    )
    .value(metrics.applied_index);
    text.gauge(
        "etcd_server_proposals_pending",
        "The current number of pending proposals to commit.",
    )
    .value(metrics.pending);
    text.counter(
        "etcd_server_proposals_failed_total",
        "The total number of failed proposals seen.",
    )
    .value(metrics.failed);
    text.gauge(
        "mainstay_raft_last_index",
        "Index of the last entry in this member's log.",
    )
    .value(context.node.status().last_index);
}

fn promotions(context: &Context, text: &mut Text) {
    let promotions = &context.observed.promotions;
    text.counter(
        "etcd_server_learner_promote_successes",
        "The total number of successful learner promotions that this member was asked for.",
    )
    .value(promotions.succeeded());
    let failed = promotions.failed();
    if failed.is_empty() {
        return;
    }
    let mut family = text.counter(
        "etcd_server_learner_promote_failures",
        "The total number of failed learner promotions that this member was asked for, by reason.",
    );
    for (reason, count) in failed {
        family.labelled(&format!("Reason=\"{reason}\""), count);
    }
}

fn identity(context: &Context, text: &mut Text) {
    text.gauge(
        "etcd_server_version",
        "Which version is running. 1 for 'server_version' label with current version.",
    )
    .labelled(&format!("server_version=\"{SERVER_VERSION}\""), 1);
    if let Some(version) = context.view.cluster_version() {
        text.gauge(
            "etcd_cluster_version",
            "Which version is running. 1 for 'cluster_version' label with current cluster version",
        )
        .labelled(&format!("cluster_version=\"{}\"", major_minor(&version)), 1);
    }
    text.gauge(
        "etcd_server_id",
        "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
    )
    .labelled(&format!("server_id=\"{:x}\"", context.node.member_id()), 1);
    text.gauge(
        "etcd_server_quota_backend_bytes",
        "Current backend storage quota size in bytes.",
    )
    .value(context.quota_bytes);
    text.gauge(
        "etcd_debugging_auth_revision",
        "The current revision of auth store.",
    )
    .value(context.logins.registry().revision());
    let alarms = context.view.alarms();
    if !alarms.is_empty() {
        let mut family = text.gauge("etcd_debugging_server_alarms", "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label with type of this alarm");
        for alarm in alarms {
            let kind = alarm_name(alarm.alarm);
            family.labelled(
                &format!("alarm_type=\"{kind}\",server_id=\"{:x}\"", alarm.member_id),
                1,
            );
        }
    }
}

fn health(context: &Context, text: &mut Text) {
    let observed = &context.observed;
    text.counter(
        "etcd_server_health_success",
        "The total number of successful health checks",
    )
    .value(observed.health_success.load(Relaxed));
    text.counter(
        "etcd_server_health_failures",
        "The total number of failed health checks",
    )
    .value(observed.health_failures.load(Relaxed));
    let run = observed.checks.run();
    if run.is_empty() {
        return;
    }
    let mut last = text.gauge(
        "etcd_server_healthcheck",
        "The result of each kind of healthcheck.",
    );
    for (check, _, _, result) in &run {
        last.labelled(
            &format!("name=\"{}\",type=\"{}\"", check.name, check.kind),
            result,
        );
    }
    let mut total = text.counter(
        "etcd_server_healthchecks_total",
        "The total number of each kind of healthcheck.",
    );
    for (check, passed, failed, _) in &run {
        for (status, count) in [("success", passed), ("error", failed)] {
            let labels = format!(
                "name=\"{}\",status=\"{status}\",type=\"{}\"",
                check.name, check.kind
            );
            total.labelled(&labels, count);
        }
    }
}

/// `3.7` of `3.7.0`.
fn major_minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(head, _)| head)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cluster_versions_lose_their_patch() {
        assert_eq!(super::major_minor("3.7.0"), "3.7");
    }
}
