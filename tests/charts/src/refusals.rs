//! Resources and changes that the API server refuses, each with the words that help.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubernetes::Kubernetes;
use crate::samples::{self, PLACE, cluster};

/// The spec of a cluster as JSON, and words of the refusal.
const CLUSTERS: &[(&str, &str)] = &[
    (
        r#"{"replicas":0}"#,
        "replicas must be between 1 and 9; to stop a cluster and keep its data, set hibernated",
    ),
    (r#"{"replicas":10}"#, "replicas must be between 1 and 9"),
    (r#"{"version":"not a tag"}"#, "spec.version"),
    (r#"{"size":"8Gi"}"#, "unknown field \"size\""),
    (r#"{"storage":{"size":"lots"}}"#, "spec.storage.size"),
    (r#"{"storage":{"size":"-1Gi"}}"#, "spec.storage.size"),
    (
        r#"{"storage":{"whenDeleted":"Archive"}}"#,
        "spec.storage.whenDeleted",
    ),
    (r#"{"quota":"2 GB"}"#, "spec.quota"),
    (r#"{"image":{"digest":"sha256:abc"}}"#, "spec.image.digest"),
    (
        r#"{"image":{"pullPolicy":"Sometimes"}}"#,
        "spec.image.pullPolicy",
    ),
    (
        r#"{"tls":{"source":"CertManager"}}"#,
        "tls.certManager is given exactly when tls.source is CertManager",
    ),
    (
        r#"{"tls":{"source":"Secrets"}}"#,
        "tls.secrets is given exactly when tls.source is Secrets",
    ),
    (
        r#"{"tls":{"secrets":{"server":"a","peer":"b","operator":"c"}}}"#,
        "tls.secrets is given exactly when tls.source is Secrets",
    ),
    (
        r#"{"tls":{"certificateDays":10,"renewBeforeDays":6}}"#,
        "tls.renewBeforeDays must be at most half of tls.certificateDays",
    ),
    (
        r#"{"server":{"extraArgs":["--name=x"]}}"#,
        "extraArgs must not hold a flag that the operator sets",
    ),
    (
        r#"{"server":{"extraArgs":["--initial-cluster=x"]}}"#,
        "extraArgs must not hold a flag that the operator sets",
    ),
    (
        r#"{"server":{"extraArgs":["--data-dir=/x"]}}"#,
        "extraArgs must not hold a flag that the operator sets",
    ),
    (
        r#"{"server":{"extraArgs":["--peer-auto-tls"]}}"#,
        "extraArgs must not hold a flag that the operator sets",
    ),
    (
        r#"{"server":{"extraArgs":["name"]}}"#,
        "extraArgs are written as --flag=value",
    ),
    (
        r#"{"server":{"heartbeatMillis":100,"electionMillis":499}}"#,
        "server.electionMillis must be at least five times server.heartbeatMillis",
    ),
    (
        r#"{"compaction":{"mode":"Revision","retention":"30m"}}"#,
        "compaction.retention is a number of revisions in mode Revision",
    ),
    (
        r#"{"compaction":{"mode":"Periodic","retention":"30"}}"#,
        "a time such as 30m in mode Periodic",
    ),
    (
        r#"{"services":{"client":{"type":"ExternalName"}}}"#,
        "spec.services.client.type",
    ),
    (
        r#"{"podTemplate":{"labels":{"mainstay.dev/role":"leader"}}}"#,
        "labels under mainstay.dev/ and app.kubernetes.io/ are the operator's",
    ),
    (
        r#"{"podTemplate":{"annotations":{"mainstay.dev/refresh":"1"}}}"#,
        "annotations under mainstay.dev/ are the operator's",
    ),
    (
        r#"{"bootstrap":{"restoreFrom":{}}}"#,
        "restoreFrom takes exactly one of backup and from",
    ),
    (
        r#"{"recovery":{"replaceAfterSeconds":5}}"#,
        "spec.recovery.replaceAfterSeconds",
    ),
];

/// The spec before, a merge patch, and words of the refusal.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        r#"{"storage":{"size":"8Gi"}}"#,
        r#"{"storage":{"size":"7Gi"}}"#,
        "storage.size cannot shrink",
    ),
    (
        r#"{"storage":{"size":"8Gi"}}"#,
        r#"{"storage":{"size":"8G"}}"#,
        "storage.size cannot shrink",
    ),
    (
        r#"{}"#,
        r#"{"storage":{"class":"slow"}}"#,
        "storage.class cannot be changed: the volumes exist",
    ),
    (
        r#"{"storage":{"class":"fast"}}"#,
        r#"{"storage":{"class":"slow"}}"#,
        "storage.class cannot be changed: the volumes exist",
    ),
    (
        r#"{}"#,
        r#"{"bootstrap":{"restoreFrom":{"backup":"a"}}}"#,
        "bootstrap tells what a new cluster begins with and cannot be changed later",
    ),
    (
        r#"{"bootstrap":{"restoreFrom":{"backup":"a"}}}"#,
        r#"{"bootstrap":null}"#,
        "bootstrap tells what a new cluster begins with and cannot be changed later",
    ),
    (r#"{}"#, r#"{"replicas":0}"#, "set hibernated"),
];

fn refused(server: &Kubernetes, object: &Value, words: &str) -> Result<()> {
    let refusal = server.refusal(PLACE, object)?;
    if !refusal.contains(words) {
        bail!("{object}\nwanted: {words}\ngot: {refusal}");
    }
    Ok(())
}

pub fn on_create(server: &Kubernetes) -> Result<()> {
    samples::place(server)?;
    for (spec, words) in CLUSTERS {
        refused(server, &cluster("bad", serde_json::from_str(spec)?), words)?;
    }
    for name in ["a".repeat(41), "1db".to_owned(), "a.b".to_owned()] {
        refused(
            server,
            &cluster(&name, json!({})),
            "becomes part of DNS names",
        )?;
    }
    let volume = json!({"volume": {"claimName": "backups"}});
    let bucket = json!({"s3": {"bucket": "backups", "credentialsSecret": "s3"}});
    let both = json!({"volume": volume["volume"], "s3": bucket["s3"]});
    for destination in [json!({}), both] {
        let spec = json!({"cluster": "db", "destination": destination});
        let words = "a destination is exactly one of volume and s3";
        refused(server, &object("MainstayBackup", spec), words)?;
    }
    let spec = json!({"cluster": "db", "destination": volume, "schedule": "at noon"});
    refused(
        server,
        &object("MainstayBackupSchedule", spec),
        "spec.schedule",
    )?;
    let spec = json!({"cluster": "db", "destination": volume, "schedule": "@daily", "keep": 0});
    refused(server, &object("MainstayBackupSchedule", spec), "spec.keep")?;
    let spec =
        json!({"cluster": "db", "destination": {"s3": {"bucket": "b", "credentialsSecret": "s"}}});
    refused(server, &object("MainstayBackup", spec), "bucket")
}

pub fn on_update(server: &Kubernetes) -> Result<()> {
    samples::place(server)?;
    for (before, patch, words) in CHANGES {
        server.apply(PLACE, &[cluster("changed", serde_json::from_str(before)?)])?;
        let patch = format!("{{\"spec\":{patch}}}");
        change(server, "mainstaycluster", &patch, words)?;
        server.run(&["delete", "mainstaycluster", "changed", "-n", PLACE])?;
    }
    let spec = json!({"cluster": "db", "destination": {"volume": {"claimName": "a"}}});
    server.apply(PLACE, &[object("MainstayBackup", spec.clone())])?;
    let patch = r#"{"spec":{"cluster":"other"}}"#;
    change(
        server,
        "mainstaybackup",
        patch,
        "a backup is taken once: its spec cannot be changed",
    )?;
    let mut scheduled = spec;
    scheduled["schedule"] = json!("@daily");
    server.apply(PLACE, &[object("MainstayBackupSchedule", scheduled)])?;
    let words = "cluster cannot be changed: make another schedule";
    change(server, "mainstaybackupschedule", patch, words)?;
    // What may change does: a rule that refuses everything would pass all of the above.
    let grown = cluster("grown", json!({"storage": {"size": "8Gi"}}));
    server.apply(PLACE, &[grown])?;
    let spec =
        json!({"storage": {"size": "16Gi"}, "replicas": 5, "hibernated": true, "version": "0.2.0"});
    server
        .apply(PLACE, &[cluster("grown", spec)])
        .context("a change that is allowed")?;
    server.run(&[
        "delete",
        "mainstayclusters,mainstaybackups,mainstaybackupschedules",
        "--all",
        "-n",
        PLACE,
    ])?;
    Ok(())
}

fn change(server: &Kubernetes, kind: &str, patch: &str, words: &str) -> Result<()> {
    let line = [
        "patch",
        kind,
        "changed",
        "-n",
        PLACE,
        "--type=merge",
        "-p",
        patch,
    ];
    let answer = server.ask(&line, "")?;
    if answer.succeeded || !answer.complaint.contains(words) {
        bail!("{kind} {patch}\nwanted: {words}\ngot: {}", answer.complaint);
    }
    Ok(())
}

fn object(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mainstay.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "changed"},
        "spec": spec,
    })
}
