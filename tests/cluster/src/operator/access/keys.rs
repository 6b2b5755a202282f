//! The stories of declared keys, on a cluster of three members without users; and as a user of the
//! cluster that has some.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::absence;
use super::declared::Declared;
use super::drift;
use crate::kubectl::Kubectl;
use crate::operator::cluster::{Cluster, LIMIT, NAMESPACE, row};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::times::Times;
use xtask::process::wait_until;
use xtask::tally::Tally;

/// Everything about declared keys; `guarded` is a cluster that has users.
pub fn tell(tally: &mut Tally, guarded: &Cluster, times: &mut Times) {
    tally.case("what breaks a rule of key sets is refused", || {
        refused(guarded)
    });
    tally.case("a set can do what its user may, and no more", || {
        scoped(guarded)
    });
    let kubectl = &guarded.kubectl;
    let cluster = Cluster::new(kubectl, "kept");
    let created = tally.case("create three members for keys", || {
        cluster.apply(3, &json!({}))?;
        cluster.until_ready(3).map(drop)
    });
    if !created {
        return;
    }
    let made = tally.case(
        "keys from values, ConfigMaps, Secrets and templates",
        || made(&cluster, times),
    );
    if made {
        tally.case("keys follow their sources and their set", || {
            followed(&cluster, times)
        });
        tally.case("a prefix that is all the set's", || whole(&cluster));
        tally.case("a set that is suspended", || suspended(&cluster));
    }
    tally.case("changes of keys are put right", || {
        drift::measured(&cluster, times)
    });
    tally.case("a key that is fought for rests", || {
        drift::contested(&cluster, times)
    });
    tally.case("two sets that declare one key", || conflict(&cluster));
    tally.case(
        "a set that has its whole prefix leaves an older one's keys alone",
        || neighbours(&cluster),
    );
    tally.case(
        "what a set lacks is told, and mended once it is there",
        || references(&cluster),
    );
    tally.case("changes while the operator is away are put right", || {
        absence::away(&cluster, times)
    });
    tally.case(
        "changes while the store's leader is killed are put right",
        || absence::leader(&cluster, times),
    );
    tally.case("keys go or stay as asked for", || deleted(&cluster));
    tally.case("a set whose cluster is gone can go", || orphaned(&cluster));
}

pub fn set<'a>(cluster: &'a Cluster, name: &'static str) -> Declared<'a> {
    Declared {
        cluster,
        kind: "MainstayKeySet",
        name,
    }
}

fn object(kind: &str, name: &str, field: &str, data: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE},
    });
    object[field] = data;
    object
}

/// Waits until a key has this value; `None` if it is to be gone.
pub fn until_key(etcdctl: &Etcdctl, key: &str, value: Option<&str>) -> Result<()> {
    let what = format!("{key} is {value:?}");
    let wanted = value
        .map(|value| format!("{key}\n{value}\n"))
        .unwrap_or_default();
    let mut last = String::new();
    let waited = wait_until(&what, LIMIT, || {
        last = etcdctl
            .run(&["get", key])
            .unwrap_or_else(|error| format!("{error:#}"));
        Ok(last == wanted)
    });
    waited
        .map(drop)
        .with_context(|| format!("at the end it was {last:?}"))
}

/// By the API server, with the rule's own words.
fn refused(cluster: &Cluster) -> Result<()> {
    let of = |more: Value| {
        let mut spec = json!({"prefix": "bad/"});
        if let (Some(into), Some(from)) = (spec.as_object_mut(), more.as_object()) {
            into.extend(from.clone());
        }
        spec
    };
    let twice = json!({"keys": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]});
    let rows = [
        (json!({"keys": []}), "missing required field"),
        (json!({"prefix": ""}), "at least 1 char"),
        (of(json!({"keys": [{"key": "a"}]})), "exactly one of value"),
        (
            of(json!({"keys": [{"key": "a", "value": "1", "template": "x"}]})),
            "exactly one of value",
        ),
        (
            of(json!({"keys": [{"key": "a", "base64": "?"}]})),
            "should match",
        ),
        (of(twice), "duplicate"),
        (
            of(json!({"entries": [{"configMap": "m", "secret": "s"}]})),
            "entries are of exactly one",
        ),
        (
            of(json!({"variables": [{"name": "9", "value": ""}]})),
            "should match",
        ),
        (of(json!({"unlisted": "Delete"})), "would empty the prefix"),
    ];
    let bad = set(cluster, "bad");
    for (spec, why) in rows {
        match bad.apply(&spec) {
            Err(error) if format!("{error:#}").contains(why) => {}
            Err(error) => return Err(error.context(format!("it should be refused by {why:?}"))),
            Ok(()) => bail!("{spec} was taken"),
        }
    }
    bad.apply(&of(json!({"suspended": true})))?;
    let moved = bad.apply(&json!({"prefix": "elsewhere/", "suspended": true}));
    let said = moved
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    ensure!(
        said.contains("cannot be changed"),
        "another prefix: {said:?}"
    );
    bad.delete()
}

/// One prefix is permitted, the other is not; the rest of the store stays as it is.
fn scoped(cluster: &Cluster) -> Result<()> {
    let root = Etcdctl::open(cluster)?;
    root.put("tenant/b/x", "of another")?;
    let role = Declared {
        cluster,
        kind: "MainstayRole",
        name: "tenant",
    };
    let user = Declared {
        cluster,
        kind: "MainstayUser",
        name: "tenant",
    };
    let permissions = |prefixes: &[&str]| {
        let rows = prefixes
            .iter()
            .map(|prefix| json!({"access": "ReadWrite", "prefix": prefix}));
        json!({"permissions": rows.collect::<Vec<_>>()})
    };
    let keys = json!([{"key": "x", "value": "declared"}]);
    let scoped = set(cluster, "scoped");
    let spec = json!({"prefix": "tenant/a/", "user": "tenant", "keys": keys});
    scoped.apply(&spec)?;
    scoped.until_told("UserMissing", "tenant")?;
    role.apply(&permissions(&["tenant/a/"]))?;
    user.apply(&json!({"roles": ["tenant"], "certificate": {"secretName": "tenant-tls"}}))?;
    scoped.until_good()?;
    root.expect("tenant/a/x", "declared")?;
    let beyond = set(cluster, "beyond");
    let other =
        json!({"prefix": "tenant/b/", "user": "tenant", "keys": keys, "unlisted": "Delete"});
    beyond.apply(&other)?;
    beyond.until_told("PermissionDenied", "tenant/b/")?;
    root.expect("tenant/b/x", "of another")?;
    let nobody = set(cluster, "nobody");
    nobody.apply(&json!({"prefix": "tenant/a/", "keys": [{"key": "y", "value": "1"}]}))?;
    nobody.until_told("UserRequired", "spec.user")?;
    nobody.delete()?;
    partly(cluster, &root, &role)?;
    role.apply(&permissions(&["tenant/a/", "tenant/b/"]))?;
    beyond.until_good()?;
    root.expect("tenant/b/x", "declared")?;
    root.put("tenant/b/stray", "1")?;
    until_key(&root, "tenant/b/stray", None)?;
    beyond.delete()?;
    until_key(&root, "tenant/b/x", None)?;
    // Without its user a set cannot delete its keys; it goes after a while, and says so.
    user.delete()?;
    let words = ["delete", "mks", "scoped", "--timeout=180s"];
    cluster.kubectl.run(&words)?;
    root.expect("tenant/a/x", "declared")?;
    let events = cluster
        .kubectl
        .run(&["get", "events", "--field-selector=reason=KeysLeft"])?;
    ensure!(events.contains("1 keys stay"), "{events}");
    role.delete()
}

/// Of three keys one may be written: it is kept, and the others are named until they may be.
fn partly(cluster: &Cluster, root: &Etcdctl, role: &Declared<'_>) -> Result<()> {
    let keys = ["w", "x", "y"].map(|key| json!({"key": key, "value": "declared"}));
    let spec = json!({"prefix": "tenant/c/", "user": "tenant", "keys": keys});
    let permissions = |more: Value| {
        json!({"permissions": [{"access": "ReadWrite", "prefix": "tenant/a/"}, more,
            {"access": "Read", "prefix": "tenant/c/"}]})
    };
    role.apply(&permissions(
        json!({"access": "ReadWrite", "key": "tenant/c/x"}),
    ))?;
    role.until_good()?;
    let partly = set(cluster, "partly");
    partly.apply(&spec)?;
    partly.until_told("PermissionDenied", "w; y: ")?;
    root.expect("tenant/c/x", "declared")?;
    root.put("tenant/c/x", "by another")?;
    until_key(root, "tenant/c/x", Some("declared"))?;
    // What is refused is managed only while it is tried.
    partly.until("the drift is counted, and the key is the set's", |seen| {
        let status = &seen["status"];
        status["drifts"] == 1 && status["inSync"] == 1 && status["managed"] == json!(["x"])
    })?;
    role.apply(&permissions(
        json!({"access": "ReadWrite", "prefix": "tenant/c/"}),
    ))?;
    partly.until_good()?;
    root.expect("tenant/c/y", "declared")?;
    ensure!(partly.drifts()? == 1, "what was refused is no drift");
    partly.delete()
}

fn web() -> Value {
    json!({
        "prefix": "apps/web/",
        "keys": [
            {"key": "inline", "value": "plain"},
            {"key": "bytes", "base64": "bWFpbnN0YXk="},
            {"key": "one", "from": {"configMap": {"name": "web", "key": "color"}}},
            {"key": "password", "from": {"secret": {"name": "web", "key": "password"}}},
            {"key": "url", "template": "{{ host }}:{{ port | default('1') }}/{{ color | upper }}"},
        ],
        "entries": [{"configMap": "web", "under": "flags/"}],
        "variables": [
            {"name": "host", "value": "h.example"},
            {"name": "port", "value": "2379"},
            {"name": "color", "from": {"configMap": {"name": "web", "key": "color"}}},
        ],
    })
}

fn colors(kubectl: &Kubectl, data: Value) -> Result<()> {
    kubectl.apply(&[object("ConfigMap", "web", "data", data)])
}

fn made(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    etcdctl.put("apps/web/foreign", "stays")?;
    etcdctl.put("apps/other", "stays")?;
    let secret = object("Secret", "web", "stringData", json!({"password": "s3cret"}));
    cluster.kubectl.apply(&[secret])?;
    colors(&cluster.kubectl, json!({"color": "red", "shape": "round"}))?;
    let web = set(cluster, "web");
    web.apply(&self::web())?;
    times.note("a key set: declared to in sync", web.until_good()?);
    for (key, value) in [
        ("inline", "plain"),
        ("bytes", "mainstay"),
        ("one", "red"),
        ("password", "s3cret"),
        ("url", "h.example:2379/RED"),
        ("flags/color", "red"),
        ("flags/shape", "round"),
        ("foreign", "stays"),
    ] {
        etcdctl.expect(&format!("apps/web/{key}"), value)?;
    }
    etcdctl.expect("apps/other", "stays")?;
    let status = web.get()?["status"].clone();
    ensure!(
        status["keys"] == 7 && status["inSync"] == 7 && status["drifts"].as_u64().unwrap_or(0) == 0,
        "{status:#}"
    );
    ensure!(!status.to_string().contains("s3cret"), "{status:#}");
    Ok(())
}

fn followed(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let since = Instant::now();
    colors(&cluster.kubectl, json!({"color": "blue", "size": "small"}))?;
    until_key(&etcdctl, "apps/web/one", Some("blue"))?;
    times.note("a ConfigMap changed: to the key changed", since.elapsed());
    until_key(&etcdctl, "apps/web/url", Some("h.example:2379/BLUE"))?;
    until_key(&etcdctl, "apps/web/flags/size", Some("small"))?;
    until_key(&etcdctl, "apps/web/flags/shape", None)?;
    let mut spec = web();
    let keys = spec["keys"].as_array_mut().context("the set has no keys")?;
    keys.retain(|key| key["key"] != "inline");
    let web = set(cluster, "web");
    web.apply(&spec)?;
    until_key(&etcdctl, "apps/web/inline", None)?;
    web.until_good()?;
    let status = web.get()?["status"].clone();
    ensure!(
        status["keys"] == 6 && status["drifts"].as_u64().unwrap_or(0) == 0,
        "{status:#}"
    );
    let managed = status["managed"].to_string();
    ensure!(
        !managed.contains("inline") && !managed.contains("shape"),
        "{managed}"
    );
    etcdctl.expect("apps/web/foreign", "stays")
}

/// What nobody has declared goes; of the set that keeps it, it stays.
fn whole(cluster: &Cluster) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    etcdctl.put("whole/before", "1")?;
    let whole = set(cluster, "whole");
    whole.apply(
        &json!({"prefix": "whole/", "unlisted": "Delete", "keys": [{"key": "a", "value": "1"}]}),
    )?;
    whole.until_good()?;
    until_key(&etcdctl, "whole/before", None)?;
    etcdctl.put("whole/after", "1")?;
    until_key(&etcdctl, "whole/after", None)?;
    etcdctl.expect("whole/a", "1")?;
    whole.until("the stray key is counted", |seen| {
        seen["status"]["drifts"] == 1
    })?;
    whole.delete()?;
    until_key(&etcdctl, "whole/a", None)
}

fn suspended(cluster: &Cluster) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let web = set(cluster, "web");
    let mut spec = self::web();
    spec["suspended"] = json!(true);
    web.apply(&spec)?;
    web.until_told("Suspended", "suspended")?;
    etcdctl.put("apps/web/inline", "by leave")?;
    spec["suspended"] = json!(false);
    web.apply(&spec)?;
    web.until_good()?;
    etcdctl.expect("apps/web/inline", "plain")
}

/// The older one has the key; the younger takes it over when the older goes.
fn conflict(cluster: &Cluster) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let spec = |value: &str, keys: &[&str]| {
        let keys = keys.iter().map(|key| json!({"key": key, "value": value}));
        json!({"prefix": "shared/", "keys": keys.collect::<Vec<_>>()})
    };
    let (first, second) = (set(cluster, "first"), set(cluster, "second"));
    first.apply(&spec("of the first", &["a"]))?;
    first.until_good()?;
    second.apply(&spec("of the second", &["a", "b"]))?;
    second.until_told("Conflict", "a belongs to first")?;
    etcdctl.expect("shared/a", "of the first")?;
    etcdctl.expect("shared/b", "of the second")?;
    etcdctl.put("shared/a", "of nobody")?;
    until_key(&etcdctl, "shared/a", Some("of the first"))?;
    let held = second.get()?["status"]["conflicts"].clone();
    ensure!(held == json!([{"key": "a", "heldBy": "first"}]), "{held}");
    first.delete()?;
    second.until_good()?;
    etcdctl.expect("shared/a", "of the second")?;
    second.delete()?;
    until_key(&etcdctl, "shared/a", None)
}

/// The older one's keys come of entries, so that nobody knows them before they are written.
fn neighbours(cluster: &Cluster) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let entries = |count: usize| {
        let entries = (0..count).map(|at| (format!("entry-{at}"), json!("1")));
        let data = Value::Object(entries.collect());
        let map = object("ConfigMap", "near", "data", data);
        cluster.kubectl.apply(&[map])
    };
    entries(1)?;
    let (elder, younger) = (set(cluster, "elder"), set(cluster, "younger"));
    elder.apply(&json!({"prefix": "near/", "entries": [{"configMap": "near"}]}))?;
    elder.until_good()?;
    let own = json!([{"key": "own", "value": "1"}]);
    younger.apply(&json!({"prefix": "near/", "unlisted": "Delete", "keys": own}))?;
    younger.until_good()?;
    for count in 2..=12 {
        entries(count)?;
        let last = format!("near/entry-{}", count - 1);
        until_key(&etcdctl, &last, Some("1"))?;
    }
    elder.until_good()?;
    younger.until_good()?;
    let drifts = (elder.drifts()?, younger.drifts()?);
    ensure!(
        drifts == (0, 0),
        "keys were deleted and put back: {drifts:?}"
    );
    younger.delete()?;
    etcdctl.expect("near/entry-0", "1")?;
    elder.delete()?;
    let words = ["delete", "configmap", "near"];
    cluster.kubectl.run(&words).map(drop)
}

/// Cluster, ConfigMap, entry and template; each is told, and the set goes on once it is mended.
fn references(cluster: &Cluster) -> Result<()> {
    let lost = set(cluster, "lost");
    lost.apply(
        &json!({"cluster": "nowhere", "prefix": "x/", "keys": [{"key": "a", "value": "1"}]}),
    )?;
    lost.until_told("ClusterMissing", "nowhere")?;
    lost.delete()?;
    let etcdctl = Etcdctl::open(cluster)?;
    let late = set(cluster, "late");
    let spec = |template: &str| {
        json!({"prefix": "late/", "keys": [
            {"key": "known", "value": "1"},
            {"key": "later", "from": {"configMap": {"name": "late", "key": "entry"}}},
            {"key": "made", "template": template},
        ]})
    };
    late.apply(&spec("{{ nobody }}"))?;
    late.until_told("SourceMissing", "ConfigMap late is missing")?;
    etcdctl.expect("late/known", "1")?;
    let map = |data: Value| {
        cluster
            .kubectl
            .apply(&[object("ConfigMap", "late", "data", data)])
    };
    map(json!({"other": "x"}))?;
    late.until_told("SourceMissing", "no entry entry")?;
    map(json!({"entry": "it came"}))?;
    late.until_told("TemplateFailed", "nobody")?;
    etcdctl.expect("late/later", "it came")?;
    late.apply(&spec("{{ 1 + 1 }}"))?;
    late.until_good()?;
    etcdctl.expect("late/made", "2")?;
    // A source that goes takes nothing with it.
    cluster.kubectl.run(&["delete", "configmap", "late"])?;
    late.until_told("SourceMissing", "late")?;
    etcdctl.expect("late/later", "it came")?;
    late.delete()?;
    until_key(&etcdctl, "late/later", None)
}

fn deleted(cluster: &Cluster) -> Result<()> {
    let etcdctl = Etcdctl::open(cluster)?;
    let web = set(cluster, "web");
    web.delete()?;
    let left = etcdctl.run(&["get", "--prefix", "--keys-only", "apps/"])?;
    let left: Vec<&str> = left.split_whitespace().collect();
    ensure!(left == ["apps/other", "apps/web/foreign"], "{left:?}");
    let stays = set(cluster, "stays");
    stays.apply(&json!({
        "prefix": "stays/", "whenDeleted": "Retain", "keys": [{"key": "a", "value": "1"}],
    }))?;
    stays.until_good()?;
    stays.delete()?;
    etcdctl.expect("stays/a", "1")?;
    cluster
        .kubectl
        .run(&["delete", "configmap,secret", "web"])
        .map(drop)
}

fn orphaned(cluster: &Cluster) -> Result<()> {
    let last = set(cluster, "last");
    last.apply(&json!({"prefix": "last/", "keys": [{"key": "a", "value": "1"}]}))?;
    last.until_good()?;
    cluster.delete()?;
    last.until_told("ClusterMissing", "kept")?;
    let before = row(&last.get()?, "Ready").clone();
    ensure!(before["status"] == "False", "{before}");
    last.delete()
}
