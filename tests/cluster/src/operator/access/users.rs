//! The stories of users and roles, one after the other: the later ones go on with what is there.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::declared::Declared;
use crate::operator::cluster::{Cluster, LIMIT, NAMESPACE, row};
use crate::operator::etcdctl::Etcdctl;
use crate::operator::stories;
use crate::operator::times::Times;
use xtask::process::wait_until;
use xtask::tally::Tally;

const DENIED: &str = "permission denied";
const WRONG: &str = "authentication failed";

pub fn tell(tally: &mut Tally, cluster: &Cluster, times: &mut Times) {
    tally.case("what breaks a rule of users and roles is refused", || {
        refused(cluster)
    });
    tally.case(
        "what a user lacks is told, and mended once it is there",
        || references(cluster),
    );
    let made = tally.case("a role and users, by certificate and by password", || {
        made(cluster, times)
    });
    if !made {
        return;
    }
    tally.case("a role that permits something else", || granted(cluster));
    tally.case("changes by etcdctl are put right", || drift(cluster, times));
    tally.case("another password", || password(cluster, times));
    tally.case("a user's certificate follows the authority", || {
        authority(cluster, times)
    });
    tally.case("two resources that claim one user", || conflict(cluster));
    tally.case("a user with and without a password", || kinds(cluster));
    tally.case("users and roles go or stay as asked for", || {
        deleted(cluster)
    });
}

fn user<'a>(cluster: &'a Cluster, name: &'static str) -> Declared<'a> {
    Declared {
        cluster,
        kind: "MainstayUser",
        name,
    }
}

fn role<'a>(cluster: &'a Cluster, name: &'static str) -> Declared<'a> {
    Declared {
        cluster,
        kind: "MainstayRole",
        name,
    }
}

fn secret(name: &str, password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {"password": password},
    })
}

/// Waits until a Secret has gone with its user.
fn gone(cluster: &Cluster, secret: &str) -> Result<()> {
    let words = ["get", "secret", secret, "--ignore-not-found", "-o=name"];
    let what = format!("{secret} is gone");
    let is_gone = |text: &str| text.trim().is_empty();
    let waited = cluster.kubectl.until(&what, LIMIT, &words, is_gone);
    waited.map(drop)
}

/// What etcdctl logs in by: the name, and the password as the Secret has it now.
fn login(cluster: &Cluster, name: &str) -> Result<String> {
    let mut data = cluster.secret(&format!("{name}-password"))?;
    let password = data.remove("password").context("no password")?;
    Ok(format!("--user={name}:{}", String::from_utf8(password)?))
}

fn shop_spec() -> Value {
    json!({
        "roles": ["orders"],
        "password": {"secretName": "shop-password", "generate": true},
        "certificate": {"secretName": "shop-tls"},
    })
}

fn orders_spec() -> Value {
    json!({"permissions": [
        {"access": "ReadWrite", "prefix": "orders/"},
        {"access": "Read", "key": "catalog"},
    ]})
}

/// A user of a cluster that asks for none: it is made, and says that it means nothing yet.
pub fn before(cluster: &Cluster) -> Result<()> {
    let first = user(cluster, "first");
    first.apply(&json!({
        "password": {"secretName": "first-password", "generate": true},
        "certificate": {"secretName": "first-tls"},
    }))?;
    first.until_told("AuthDisabled", "set its spec.auth")?;
    Etcdctl::open(cluster)?.run(&["user", "get", "first"])?;
    let anybody = Etcdctl::with(cluster, "first-tls")?;
    anybody.put("anything", "by anybody")
}

/// The same once users are asked for.
pub fn after(cluster: &Cluster) -> Result<()> {
    let first = user(cluster, "first");
    first.until_good()?;
    let own = Etcdctl::with(cluster, "first-tls")?;
    own.refused(&["get", "anything"], DENIED)?;
    let login = login(cluster, "first")?;
    own.run(&[&login, "user", "get", "first"])?;
    ensure!(first.drifts()? == 0, "nobody else has changed it");
    first.delete()
}

/// By the API server, with the rule's own words.
fn refused(cluster: &Cluster) -> Result<()> {
    let password = json!({"secretName": "x"});
    let rows = [
        (
            user(cluster, "bad"),
            json!({"userName": "root", "password": password}),
            "root belongs to spec.auth",
        ),
        (
            user(cluster, "bad"),
            json!({"roles": ["a"]}),
            "a password, a certificate or both",
        ),
        (
            user(cluster, "bad"),
            json!({"password": password, "certificate": password}),
            "need a Secret each",
        ),
        (
            role(cluster, "bad"),
            json!({"permissions": [{"access": "Read", "key": "a", "prefix": "a"}]}),
            "exactly one of key, prefix",
        ),
        (
            role(cluster, "bad"),
            json!({"permissions": [{"access": "Read"}]}),
            "exactly one of key, prefix",
        ),
        (
            role(cluster, "bad"),
            json!({"permissions": [{"access": "Read", "from": "b", "to": "a"}]}),
            "to comes after from",
        ),
        (
            role(cluster, "bad"),
            json!({"roleName": "root"}),
            "may do everything",
        ),
    ];
    for (declared, spec, why) in rows {
        match declared.apply(&spec) {
            Err(error) if format!("{error:#}").contains(why) => {}
            Err(error) => return Err(error.context(format!("it should be refused by {why:?}"))),
            Ok(()) => bail!("{spec} was taken"),
        }
    }
    Ok(())
}

/// Cluster, Secret and role are missing, and come one after the other.
fn references(cluster: &Cluster) -> Result<()> {
    let lost = role(cluster, "lost");
    lost.apply(&json!({"cluster": "nowhere"}))?;
    lost.until_told("ClusterMissing", "nowhere")?;
    let early = user(cluster, "early");
    early.apply(&json!({
        "roles": ["late"], "password": {"secretName": "early-password"},
    }))?;
    early.until_told("SecretMissing", "early-password")?;
    let root = Etcdctl::open(cluster)?;
    root.refused(&["user", "get", "early"], "user name not found")?;
    cluster
        .kubectl
        .apply(&[secret("early-password", "it comes")])?;
    early.until_told("RoleMissing", "late")?;
    let late = role(cluster, "late");
    late.apply(&orders_spec())?;
    late.until_good()?;
    early.until_good()?;
    let told = root.run(&["user", "get", "early"])?;
    ensure!(told.contains("late"), "{told}");
    for declared in [lost, early, late] {
        declared.delete()?;
    }
    root.refused(&["user", "get", "early"], "user name not found")?;
    root.refused(&["role", "get", "late"], "role name not found")?;
    // It was not the operator that made it.
    let words = ["delete", "secret", "early-password"];
    cluster.kubectl.run(&words).map(drop)
}

fn made(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let since = Instant::now();
    let (orders_role, shop_user) = (role(cluster, "orders"), user(cluster, "shop"));
    orders_role.apply(&orders_spec())?;
    shop_user.apply(&shop_spec())?;
    let paper = user(cluster, "paper");
    paper.apply(&json!({
        "roles": ["orders"], "password": {"secretName": "paper-password", "generate": true},
    }))?;
    orders_role.until_good()?;
    shop_user.until_good()?;
    paper.until_good()?;
    times.note("a role and two users: declared to ready", since.elapsed());

    let by_certificate = Etcdctl::with(cluster, "shop-tls")?;
    by_certificate.put("orders/1", "by a certificate")?;
    by_certificate.run(&["get", "catalog"])?;
    by_certificate.refused(&["put", "catalog", "x"], DENIED)?;
    by_certificate.refused(&["get", "other"], DENIED)?;
    by_certificate.refused(&["user", "get", "paper"], DENIED)?;
    // Members ask every client for a certificate; whoever logs in besides is the user of the log-in.
    let paper = login(cluster, "paper")?;
    by_certificate.run(&[&paper, "user", "get", "paper"])?;
    by_certificate.run(&[&paper, "put", "orders/2", "by a password"])?;
    by_certificate.refused(&[&paper, "get", "other"], DENIED)?;
    let shop = login(cluster, "shop")?;
    by_certificate.run(&[&shop, "get", "orders/2"])?;
    by_certificate.refused(&["--user=paper:wrong", "get", "orders/2"], WRONG)?;
    let status = shop_user.get()?["status"].clone();
    ensure!(!status["certificateUntil"].is_null(), "{status:#}");
    Ok(())
}

fn granted(cluster: &Cluster) -> Result<()> {
    let orders_role = role(cluster, "orders");
    orders_role.apply(&json!({"permissions": [
        {"access": "Read", "prefix": "orders/"},
        {"access": "Write", "from": "log/", "to": "log0"},
    ]}))?;
    orders_role.until_good()?;
    let shop = Etcdctl::with(cluster, "shop-tls")?;
    shop.expect("orders/1", "by a certificate")?;
    shop.refused(&["put", "orders/1", "x"], DENIED)?;
    shop.refused(&["get", "catalog"], DENIED)?;
    shop.put("log/1", "x")?;
    orders_role.apply(&orders_spec())?;
    orders_role.until_good()?;
    ensure!(orders_role.drifts()? == 0, "nobody else has changed it");
    shop.put("orders/1", "by a certificate")
}

/// A role is taken from a user and one is added, a permission is added to a role, users are deleted,
/// and one is made again with another password.
fn drift(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let root = Etcdctl::open(cluster)?;
    let since = Instant::now();
    for words in [
        &[
            "role",
            "grant-permission",
            "orders",
            "readwrite",
            "secret/",
            "--prefix",
        ][..],
        &["role", "revoke-permission", "orders", "catalog"],
        &["user", "revoke-role", "shop", "orders"],
        &["user", "grant-role", "shop", "root"],
        &["user", "delete", "paper"],
    ] {
        root.run(words)?;
    }
    // The look may come between these two, and has made it again then.
    let by_another = root.run(&["user", "add", "paper:of-another"]);
    let by_another = by_another.map_err(|error| format!("{error:#}"));
    ensure!(
        by_another
            .as_ref()
            .err()
            .is_none_or(|why| why.contains("already exists")),
        "{by_another:?}"
    );
    let shop = Etcdctl::with(cluster, "shop-tls")?;
    let paper = login(cluster, "paper")?;
    wait_until("all of it is put right", LIMIT, || {
        let told = root.run(&["role", "get", "orders"])?;
        Ok(!told.contains("secret/")
            && told.contains("catalog")
            && shop.run(&["user", "get", "paper"]).is_err()
            && shop.run(&["put", "orders/3", "x"]).is_ok()
            && shop.run(&[&paper, "put", "orders/4", "x"]).is_ok())
    })?;
    times.note("changes by etcdctl: made to put right", since.elapsed());
    shop.refused(&["--user=paper:of-another", "get", "orders/4"], WRONG)?;
    for (declared, words) in [
        (role(cluster, "orders"), "permitted again from"),
        (user(cluster, "shop"), "the role root was revoked"),
        (user(cluster, "paper"), " again"),
    ] {
        declared.until("its drift is counted", |seen| {
            let drifts = seen["status"]["drifts"].as_u64();
            row(seen, "Ready")["status"] == "True" && drifts >= Some(1)
        })?;
        let chosen = format!(
            "reason=Drifted,involvedObject.kind={},involvedObject.name={}",
            declared.kind, declared.name
        );
        let events = ["get", "events", "--field-selector", &chosen, "-o=json"];
        let told = |text: &str| text.contains(words);
        cluster
            .kubectl
            .until("an event tells of it", LIMIT, &events, told)?;
    }
    Ok(())
}

/// The Secret has another password: the former is refused, and the user is ready all the time.
fn password(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let paper = user(cluster, "paper");
    let (former, before) = (login(cluster, "paper")?, paper.get()?);
    cluster
        .kubectl
        .apply(&[secret("paper-password", "quite another one")])?;
    let since = Instant::now();
    let now = login(cluster, "paper")?;
    let shop = Etcdctl::with(cluster, "shop-tls")?;
    wait_until("the former password is nobody's", LIMIT, || {
        Ok(shop.refused(&[&former, "get", "orders/1"], WRONG).is_ok())
    })?;
    times.note("another password: in the Secret to taken", since.elapsed());
    shop.run(&[&now, "get", "orders/1"])?;
    let version = &before["status"]["passwordVersion"];
    paper.until("the new version is told", |seen| {
        seen["status"]["passwordVersion"] != *version
    })?;
    let after = paper.get()?;
    let since = |seen: &Value| row(seen, "Ready")["lastTransitionTime"].clone();
    ensure!(
        since(&before) == since(&after) && after["status"]["drifts"] == before["status"]["drifts"],
        "it was to stay ready: {after:#}"
    );
    // One that members do not take leaves the user the one that it has.
    let long = secret("paper-password", &"x".repeat(73));
    cluster.kubectl.apply(&[long])?;
    paper.until_told("PasswordTooLong", "73 bytes")?;
    shop.run(&[&now, "get", "orders/1"])?;
    cluster
        .kubectl
        .apply(&[secret("paper-password", "quite another one")])?;
    paper.until_good()?;
    shop.run(&[&now, "get", "orders/1"]).map(drop)
}

fn authority(cluster: &Cluster, times: &mut Times) -> Result<()> {
    let [_, former, _] = cluster.credentials("shop-tls")?;
    stories::rotate_authorities(cluster, times)?;
    wait_until(
        "the certificate is another, and whom it trusts",
        LIMIT,
        || {
            let [bundle, certificate, _] = cluster.credentials("shop-tls")?;
            let [trusted, ..] = cluster.credentials(&format!("{}-client-tls", cluster.name))?;
            Ok(certificate != former && bundle == trusted)
        },
    )?;
    user(cluster, "shop").until_good()?;
    let shop = Etcdctl::with(cluster, "shop-tls")?;
    shop.put("orders/1", "by another certificate")?;
    shop.refused(&["get", "other"], DENIED)
}

fn conflict(cluster: &Cluster) -> Result<()> {
    let second = user(cluster, "second");
    second.apply(&json!({
        "userName": "shop", "password": {"secretName": "second-password", "generate": true},
    }))?;
    second.until_told("Conflict", "MainstayUser shop is older")?;
    user(cluster, "shop").until_good()?;
    second.delete()?;
    let root = Etcdctl::open(cluster)?;
    let told = root.run(&["user", "get", "shop"])?;
    ensure!(told.contains("orders"), "{told}");
    // Where the older one goes, the next one takes the user over.
    let heir = user(cluster, "heir");
    let spec = json!({"userName": "paper", "certificate": {"secretName": "heir-tls"}});
    heir.apply(&spec)?;
    heir.until_told("Conflict", "MainstayUser paper is older")?;
    user(cluster, "paper").delete()?;
    heir.until_good()?;
    gone(cluster, "paper-password")?;
    let told = root.run(&["user", "get", "paper"])?;
    ensure!(!told.contains("orders"), "{told}");
    Ok(())
}

/// No password opens a user that has a certificate alone, until it is given one, and then again.
fn kinds(cluster: &Cluster) -> Result<()> {
    let heir = user(cluster, "heir");
    let shop = Etcdctl::with(cluster, "shop-tls")?;
    let own = Etcdctl::with(cluster, "heir-tls")?;
    own.run(&["user", "get", "paper"])?;
    shop.refused(&["--user=paper:x", "user", "get", "paper"], WRONG)?;
    cluster
        .kubectl
        .apply(&[secret("paper-password", "a first")])?;
    let mut spec = json!({
        "userName": "paper", "certificate": {"secretName": "heir-tls"}, "roles": ["orders"],
    });
    let without = spec.clone();
    spec["password"] = json!({"secretName": "paper-password"});
    heir.apply(&spec)?;
    heir.until_good()?;
    let login = login(cluster, "paper")?;
    shop.run(&[&login, "put", "orders/1", "by a first password"])?;
    own.put("orders/1", "by a certificate")?;
    heir.apply(&without)?;
    heir.until_good()?;
    shop.refused(&[&login, "get", "orders/1"], WRONG)?;
    own.put("orders/1", "by a certificate")?;
    ensure!(heir.drifts()? == 0, "nobody else has changed it");
    // A Secret of somebody else is not written.
    heir.apply(&json!({
        "userName": "paper", "certificate": {"secretName": "paper-password"},
    }))?;
    heir.until_told("SecretForeign", "paper-password")?;
    heir.delete()?;
    cluster
        .kubectl
        .run(&["delete", "secret", "paper-password"])
        .map(drop)
}

fn deleted(cluster: &Cluster) -> Result<()> {
    let root = Etcdctl::open(cluster)?;
    root.refused(&["user", "get", "paper"], "user name not found")?;
    gone(cluster, "heir-tls")?;
    let kubectl = &cluster.kubectl;
    let shop = user(cluster, "shop");
    let mut spec = shop_spec();
    spec["whenDeleted"] = json!("Retain");
    shop.apply(&spec)?;
    shop.until_good()?;
    shop.delete()?;
    // It stays with what opens it.
    let by_certificate = Etcdctl::with(cluster, "shop-tls")?;
    by_certificate.put("orders/1", "without a resource")?;
    let login = login(cluster, "shop")?;
    by_certificate.run(&[&login, "get", "orders/1"])?;
    role(cluster, "orders").delete()?;
    root.refused(&["role", "get", "orders"], "role name not found")?;
    by_certificate.refused(&["get", "orders/1"], DENIED)?;
    kubectl
        .run(&["delete", "secret", "shop-tls", "shop-password"])
        .map(drop)
}
