//! The sets of values that the chart is rendered with: each switch alone, all of them, and each value
//! that changes a template.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::helm::Helm;
use crate::{chart, manifest, values};

/// A value that is no switch, and what the rendered objects then hold.
const VALUES: &[(&[&str], &str)] = &[
    (
        &["image.repository=example.com:5000/op"],
        "example.com:5000/op:0.1.0",
    ),
    (&["image.tag=next"], "mainstay-operator:next"),
    (
        &["image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
        "mainstay-operator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ),
    (&["image.pullPolicy=Never"], "\"imagePullPolicy\":\"Never\""),
    (
        &["imagePullSecrets:=[{\"name\":\"registry\"}]"],
        "\"imagePullSecrets\":[{\"name\":\"registry\"}]",
    ),
    (
        &["server.repository=example.com/server"],
        "--server-repository=example.com/server",
    ),
    (&["watchNamespaces={team-a,team-b}"], "--namespace=team-b"),
    (
        &[
            "watchNamespaces={team-a}",
            "rbac.clusterWideReads=false",
            "rbac.aggregate=false",
            "crds.install=false",
        ],
        "--namespace=team-a",
    ),
    (&["replicas=2"], "\"replicas\":2"),
    (&["concurrency=9"], "--concurrency=9"),
    (&["logLevel=debug"], "--log-level=debug"),
    (
        &["clusterDomain=k8s.example"],
        "--cluster-domain=k8s.example",
    ),
    (&["extraArgs={--identity=one}"], "--identity=one"),
    (
        &["extraEnv:=[{\"name\":\"HTTPS_PROXY\",\"value\":\"http://proxy:3128\"}]"],
        "HTTPS_PROXY",
    ),
    (
        &["serviceAccount.name=runner"],
        "\"serviceAccountName\":\"runner\"",
    ),
    (
        &["serviceAccount.create=false", "serviceAccount.name=runner"],
        "\"serviceAccountName\":\"runner\"",
    ),
    (&["serviceAccount.annotations.role=a"], "\"role\":\"a\""),
    (&["resources.limits.memory=256Mi"], "256Mi"),
    (&["podLabels.team=a"], "\"team\":\"a\""),
    (&["podAnnotations.note=b"], "\"note\":\"b\""),
    (
        &["priorityClassName=system-cluster-critical"],
        "system-cluster-critical",
    ),
    (&["nodeSelector.disk=ssd"], "\"disk\":\"ssd\""),
    (
        &[
            "tolerations:=[{\"key\":\"dedicated\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}]",
        ],
        "\"dedicated\"",
    ),
    (
        &[
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms:=[{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"Exists\"}]}]",
        ],
        "nodeSelectorTerms",
    ),
    (
        &[
            "topologySpreadConstraints:=[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"ScheduleAnyway\",\"labelSelector\":{}}]",
        ],
        "topologySpreadConstraints",
    ),
    (
        &[
            "podDisruptionBudget.enabled=true",
            "podDisruptionBudget.maxUnavailable=2",
        ],
        "\"maxUnavailable\":2",
    ),
    (&["service.port=9090"], "svc:9090/readyz"),
    (&["service.annotations.note=c"], "\"note\":\"c\""),
    (
        &[
            "networkPolicy.enabled=true",
            "networkPolicy.metricsFrom:=[{\"podSelector\":{\"matchLabels\":{\"app\":\"prometheus\"}}}]",
        ],
        "\"app\":\"prometheus\"",
    ),
    (
        &[
            "networkPolicy.enabled=true",
            "networkPolicy.apiServerPorts={16443}",
        ],
        "16443",
    ),
    (
        &[
            "networkPolicy.enabled=true",
            "networkPolicy.extraEgress:=[{\"ports\":[{\"port\":9000,\"protocol\":\"TCP\"}]}]",
        ],
        "9000",
    ),
    (
        &[
            "monitoring.serviceMonitor.enabled=true",
            "monitoring.serviceMonitor.interval=1m30s",
        ],
        "1m30s",
    ),
    (
        &[
            "monitoring.serviceMonitor.enabled=true",
            "monitoring.serviceMonitor.labels.release=p",
        ],
        "\"release\":\"p\"",
    ),
    (
        &[
            "monitoring.podMonitor.enabled=true",
            "monitoring.podMonitor.interval=10s",
        ],
        "\"interval\":\"10s\"",
    ),
    (
        &[
            "monitoring.podMonitor.enabled=true",
            "monitoring.podMonitor.labels.release=p",
        ],
        "\"release\":\"p\"",
    ),
    (
        &[
            "monitoring.podMonitor.enabled=true",
            "watchNamespaces={team-a}",
        ],
        "\"matchNames\":[\"team-a\"]",
    ),
    (
        &[
            "monitoring.rules.enabled=true",
            "monitoring.rules.labels.release=p",
        ],
        "\"release\":\"p\"",
    ),
    (
        &[
            "monitoring.rules.enabled=true",
            "monitoring.rules.runbook=https://wiki.example/mainstay",
        ],
        "https://wiki.example/mainstay#mainstaynoleader",
    ),
    (
        &[
            "monitoring.dashboard.enabled=true",
            "monitoring.dashboard.labels.side=car",
        ],
        "\"side\":\"car\"",
    ),
    (
        &[
            "monitoring.dashboard.enabled=true",
            "monitoring.dashboard.annotations.folder=M",
        ],
        "\"folder\":\"M\"",
    ),
];

/// All sets of values: every one renders, and the API server takes it.
pub fn all(helm: &Helm) -> Result<Vec<Vec<String>>> {
    let switches = values::switches(helm)?;
    let one = |(path, default): &(String, bool)| vec![format!("{path}={}", !default)];
    let mut sets: Vec<Vec<String>> = vec![Vec::new()];
    sets.extend(switches.iter().map(one));
    for on in [true, false] {
        sets.push(together(&switches, on));
    }
    let listed = VALUES
        .iter()
        .map(|(values, _)| values.iter().map(ToString::to_string).collect());
    sets.extend(listed);
    Ok(sets)
}

/// Every switch in one position.
fn together(switches: &[(String, bool)], on: bool) -> Vec<String> {
    switches
        .iter()
        .map(|(path, _)| format!("{path}={on}"))
        .collect()
}

/// Each set renders to objects of the right shape, a switch changes something, and a value is found
/// where it belongs.
pub fn check(helm: &Helm) -> Result<()> {
    let plain = helm.template(&[])?;
    for on in [true, false] {
        let set = together(&values::switches(helm)?, on);
        helm.lint(&set.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    for set in all(helm)? {
        let words: Vec<&str> = set.iter().map(String::as_str).collect();
        let objects = helm.template(&words)?;
        chart::shape(&objects)?;
        if !set.is_empty() && objects == plain {
            bail!("{words:?} changes nothing");
        }
    }
    for (values, wanted) in VALUES {
        let objects = helm.template(values)?;
        if !Value::Array(objects).to_string().contains(wanted) {
            bail!("{values:?}: {wanted} is nowhere");
        }
    }
    Ok(())
}

/// Without the Prometheus operator its kinds are left out, and nothing else.
pub fn without_monitoring(helm: &Helm) -> Result<()> {
    let on = [
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.podMonitor.enabled=true",
        "monitoring.rules.enabled=true",
    ];
    if helm.template_without_monitoring(&on)? != helm.template(&[])? {
        bail!("objects are rendered that the API server does not know, or others are missing");
    }
    let with = helm.template(&on)?;
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule"] {
        manifest::the(&with, kind)?;
    }
    Ok(())
}
