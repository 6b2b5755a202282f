//! The CEL rules, evaluated here as the API server will: what they refuse and with which words.

use kube::core::cel::Validator;
use mainstay_operator_api::definition;
use serde_json::{Value, json};

fn schema(kind: &str) -> Value {
    let all = definition::all().unwrap();
    let found = all
        .into_iter()
        .find(|definition| definition["spec"]["names"]["kind"] == kind);
    found.unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take()
}

fn resource(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mainstay.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name, "namespace": "default" },
        "spec": spec,
    })
}

/// The messages with which it is refused, after defaults were filled in.
fn refusals(kind: &str, value: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(kind), value, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| error.message)
            .collect(),
    }
}

fn cluster(spec: Value) -> Value {
    resource("MainstayCluster", "db", spec)
}

fn on_create(spec: Value) -> Vec<String> {
    refusals("MainstayCluster", &cluster(spec), None)
}

fn on_update(old: Value, new: Value) -> Vec<String> {
    refusals("MainstayCluster", &cluster(new), Some(&cluster(old)))
}

fn assert_refused(said: Vec<String>, words: &str) {
    assert!(
        said.iter().any(|message| message.contains(words)),
        "wanted {words:?}, got {said:?}"
    );
}

#[test]
fn a_short_resource_is_taken() {
    assert_eq!(on_create(json!({})), Vec::<String>::new());
    assert_eq!(on_create(json!({ "replicas": 5 })), Vec::<String>::new());
    assert_eq!(
        on_update(json!({}), json!({ "replicas": 1 })),
        Vec::<String>::new()
    );
}

#[test]
fn replicas_have_limits() {
    for replicas in [0, 10] {
        assert_refused(
            on_create(json!({ "replicas": replicas })),
            "between 1 and 9",
        );
    }
}

#[test]
fn names_fit_into_dns() {
    for name in ["a".repeat(41), "1db".to_owned(), "a.b".to_owned()] {
        let value = resource("MainstayCluster", &name, json!({}));
        assert_refused(refusals("MainstayCluster", &value, None), "DNS");
    }
}

#[test]
fn volumes_grow_and_keep_their_class() {
    let size = |size: &str| json!({ "storage": { "size": size } });
    assert_eq!(on_update(size("8Gi"), size("16Gi")), Vec::<String>::new());
    assert_refused(on_update(size("8Gi"), size("7Gi")), "cannot shrink");
    let class = |class: &str| json!({ "storage": { "class": class } });
    assert_refused(on_update(class("fast"), class("slow")), "storage.class");
    assert_refused(on_update(json!({}), class("slow")), "storage.class");
}

#[test]
fn certificates_have_one_source() {
    let issuer = json!({ "name": "ca" });
    let both = json!({ "clientIssuer": issuer, "peerIssuer": issuer });
    let given = json!({ "tls": { "source": "CertManager", "certManager": both } });
    assert_eq!(on_create(given), Vec::<String>::new());
    assert_refused(
        on_create(json!({ "tls": { "source": "CertManager" } })),
        "tls.certManager",
    );
    assert_refused(
        on_create(json!({ "tls": { "certManager": both } })),
        "tls.certManager",
    );
    assert_refused(
        on_create(json!({ "tls": { "source": "Secrets" } })),
        "tls.secrets",
    );
    let hasty = json!({ "tls": { "certificateDays": 10, "renewBeforeDays": 6 } });
    assert_refused(on_create(hasty), "half of");
}

#[test]
fn arguments_of_the_operator_are_its_own() {
    let arguments = |argument: &str| json!({ "server": { "extraArgs": [argument] } });
    assert_eq!(
        on_create(arguments("--warn-unary=1s")),
        Vec::<String>::new()
    );
    for owned in [
        "--name=x",
        "--initial-cluster=a=b",
        "--data-dir",
        "--listen-peer-urls=x",
    ] {
        assert_refused(on_create(arguments(owned)), "operator sets");
    }
    assert_refused(on_create(arguments("name")), "--flag=value");
}

#[test]
fn options_of_the_server_fit_together() {
    let server = |beat: u32, election: u32| json!({ "server": { "heartbeatMillis": beat, "electionMillis": election } });
    assert_eq!(on_create(server(100, 500)), Vec::<String>::new());
    assert_refused(on_create(server(100, 499)), "five times");
    let compaction = |mode: &str, retention: &str| json!({ "compaction": { "mode": mode, "retention": retention } });
    assert_eq!(
        on_create(compaction("Periodic", "30m")),
        Vec::<String>::new()
    );
    assert_eq!(
        on_create(compaction("Revision", "1000")),
        Vec::<String>::new()
    );
    assert_refused(
        on_create(compaction("Revision", "30m")),
        "compaction.retention",
    );
    assert_refused(
        on_create(compaction("Periodic", "30")),
        "compaction.retention",
    );
}

#[test]
fn labels_of_the_operator_are_its_own() {
    let labels = |label: &str| json!({ "podTemplate": { "labels": { label: "x" } } });
    assert_eq!(on_create(labels("team")), Vec::<String>::new());
    assert_refused(on_create(labels("mainstay.dev/role")), "are the operator's");
    assert_refused(
        on_create(labels("app.kubernetes.io/name")),
        "are the operator's",
    );
}

#[test]
fn a_cluster_begins_once() {
    let restored = |name: &str| json!({ "bootstrap": { "restoreFrom": { "backup": name } } });
    assert_eq!(on_create(restored("a")), Vec::<String>::new());
    assert_refused(on_update(json!({}), restored("a")), "bootstrap");
    assert_refused(on_update(restored("a"), restored("b")), "bootstrap");
    assert_refused(on_update(restored("a"), json!({})), "bootstrap");
    let neither = json!({ "bootstrap": { "restoreFrom": {} } });
    assert_refused(on_create(neither), "exactly one of backup and from");
}

#[test]
fn backups_go_to_one_place_and_stay_as_they_are() {
    let volume = json!({ "volume": { "claimName": "backups" } });
    let s3 = json!({ "s3": { "bucket": "backups", "credentialsSecret": "s3" } });
    let backup = |destination: &Value| {
        let spec = json!({ "cluster": "db", "destination": destination });
        resource("MainstayBackup", "b", spec)
    };
    assert_eq!(
        refusals("MainstayBackup", &backup(&volume), None),
        Vec::<String>::new()
    );
    let neither = backup(&json!({}));
    assert_refused(
        refusals("MainstayBackup", &neither, None),
        "exactly one of volume",
    );
    let changed = refusals("MainstayBackup", &backup(&s3), Some(&backup(&volume)));
    assert_refused(changed, "taken once");
}

#[test]
fn a_key_has_one_value_and_a_set_its_place() {
    let set = |more: Value| {
        let mut spec = json!({ "cluster": "db", "prefix": "apps/", "unlisted": "Keep" });
        let (into, from) = (spec.as_object_mut().unwrap(), more.as_object().unwrap());
        into.extend(from.clone());
        resource("MainstayKeySet", "k", spec)
    };
    let said = |more: Value| refusals("MainstayKeySet", &set(more), None);
    let key = |fields: Value| {
        let mut key = json!({ "key": "a" });
        let (into, from) = (key.as_object_mut().unwrap(), fields.as_object().unwrap());
        into.extend(from.clone());
        json!({ "keys": [key] })
    };
    let entry = json!({ "name": "m", "key": "e" });
    for taken in [
        key(json!({ "value": "" })),
        key(json!({ "template": "{{ a }}" })),
        key(json!({ "from": { "configMap": entry } })),
        json!({ "entries": [{ "secret": "s" }], "unlisted": "Delete" }),
        json!({ "variables": [{ "name": "a", "value": "1" }] }),
    ] {
        assert_eq!(said(taken), Vec::<String>::new());
    }
    assert_refused(said(key(json!({}))), "exactly one of value");
    assert_refused(
        said(key(json!({ "value": "", "base64": "" }))),
        "exactly one of value",
    );
    let both = json!({ "configMap": entry, "secret": entry });
    assert_refused(
        said(key(json!({ "from": both }))),
        "exactly one of configMap",
    );
    assert_refused(
        said(json!({ "entries": [{ "under": "x/" }] })),
        "entries are of exactly one",
    );
    assert_refused(
        said(json!({ "variables": [{ "name": "a" }] })),
        "a variable has",
    );
    assert_refused(
        said(json!({ "unlisted": "Delete" })),
        "would empty the prefix",
    );
    let moved = set(json!({ "prefix": "other/" }));
    assert_refused(
        refusals("MainstayKeySet", &moved, Some(&set(json!({})))),
        "cannot be changed",
    );
    let elsewhere = set(json!({ "cluster": "other" }));
    assert_refused(
        refusals("MainstayKeySet", &elsewhere, Some(&set(json!({})))),
        "cannot be changed",
    );
}

fn user(spec: Value) -> Value {
    resource("MainstayUser", "shop", spec)
}

fn role(spec: Value) -> Value {
    resource("MainstayRole", "orders", spec)
}

#[test]
fn users_have_a_name_of_their_own_and_something_to_log_in_by() {
    let refusals = |spec: Value| refusals("MainstayUser", &user(spec), None);
    let password = json!({ "secretName": "shop" });
    for good in [
        json!({ "cluster": "db", "password": password }),
        json!({ "cluster": "db", "certificate": { "secretName": "tls" }, "roles": ["a", "b"] }),
        json!({ "cluster": "db", "userName": "other", "password": password }),
        json!({ "cluster": "db", "password": password, "certificate": { "secretName": "tls" } }),
    ] {
        assert_eq!(refusals(good), Vec::<String>::new());
    }
    assert_refused(
        refusals(json!({ "cluster": "db" })),
        "a password, a certificate or both",
    );
    let one = json!({ "cluster": "db", "password": password, "certificate": password });
    assert_refused(refusals(one), "need a Secret each");
    let root = json!({ "cluster": "db", "userName": "root", "password": password });
    assert_refused(refusals(root), "root belongs to spec.auth");
    let spec = json!({ "cluster": "db", "password": password });
    let root = resource("MainstayUser", "root", spec);
    let said = self::refusals("MainstayUser", &root, None);
    assert_refused(said, "root belongs to spec.auth");
}

#[test]
fn users_and_roles_stay_with_their_cluster_and_name() {
    let spec = |cluster: &str, name: Option<&str>| {
        let mut spec = json!({ "cluster": cluster, "password": { "secretName": "shop" } });
        if let Some(name) = name {
            spec["userName"] = json!(name);
        }
        spec
    };
    let changed = |old: Value, new: Value| refusals("MainstayUser", &user(new), Some(&user(old)));
    let named = spec("db", Some("a"));
    assert_eq!(changed(named.clone(), named.clone()), Vec::<String>::new());
    for other in [
        spec("other", Some("a")),
        spec("db", Some("b")),
        spec("db", None),
    ] {
        assert_refused(changed(named.clone(), other), "cannot be changed");
    }
    let spec = |cluster: &str, name: &str| json!({ "cluster": cluster, "roleName": name });
    let changed = |new: Value| {
        let old = role(spec("db", "a"));
        refusals("MainstayRole", &role(new), Some(&old))
    };
    assert_eq!(changed(spec("db", "a")), Vec::<String>::new());
    assert_refused(changed(spec("db", "b")), "cannot be changed");
    assert_refused(changed(spec("other", "a")), "cannot be changed");
}

#[test]
fn a_permission_is_about_one_range() {
    let refusals = |mut permission: Value| {
        permission["access"] = json!("Read");
        let spec = json!({ "cluster": "db", "permissions": [permission] });
        refusals("MainstayRole", &role(spec), None)
    };
    for good in [
        json!({ "key": "a" }),
        json!({ "prefix": "a/" }),
        json!({ "from": "a", "to": "c" }),
        json!({ "all": true }),
    ] {
        assert_eq!(refusals(good), Vec::<String>::new());
    }
    for bad in [
        json!({}),
        json!({ "all": false }),
        json!({ "key": "a", "prefix": "a" }),
        json!({ "key": "a", "all": true }),
    ] {
        assert_refused(refusals(bad), "exactly one of key, prefix, from and all");
    }
    assert_refused(refusals(json!({ "from": "a" })), "go together");
    for (from, to) in [("b", "a"), ("a", "a")] {
        let empty = json!({ "from": from, "to": to });
        assert_refused(refusals(empty), "to comes after from");
    }
    assert_refused(refusals(json!({ "key": "a", "to": "b" })), "go together");
    let root = role(json!({ "cluster": "db", "roleName": "root" }));
    let said = self::refusals("MainstayRole", &root, None);
    assert_refused(said, "may do everything");
    let root = resource("MainstayRole", "root", json!({ "cluster": "db" }));
    let said = self::refusals("MainstayRole", &root, None);
    assert_refused(said, "may do everything");
}
