//! Dependencies point one way: server -> api -> raft -> wal; server -> apply -> mvcc, lease, auth;
//! watch -> mvcc (ARCHITECTURE.md, invariants).

use anyhow::{Context, Result};
use mainstay_tidy::manifest::{self, Manifest};

/// What each room of the store may use of the others, and nothing else of the workspace.
const ROOMS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("transport", &[]),
    // Whoever uses the store from outside: it knows the wire contract and nothing of the members.
    ("client", &["proto", "transport"]),
    ("wal", &[]),
    ("mvcc", &["proto"]),
    ("lease", &["mvcc", "proto"]),
    ("auth", &["mvcc", "proto"]),
    ("watch", &["mvcc", "proto"]),
    ("apply", &["mvcc", "lease", "auth", "watch", "proto"]),
    ("snapshot", &["apply", "mvcc", "lease", "auth", "proto"]),
    (
        "raft",
        &[
            "transport",
            "wal",
            "apply",
            "mvcc",
            "lease",
            "auth",
            "watch",
            "proto",
        ],
    ),
    (
        "api",
        &[
            "raft",
            "snapshot",
            "transport",
            "apply",
            "mvcc",
            "lease",
            "auth",
            "watch",
            "proto",
        ],
    ),
    (
        "server",
        &[
            "api",
            "raft",
            "snapshot",
            "transport",
            "wal",
            "apply",
            "mvcc",
            "lease",
            "auth",
            "watch",
            "proto",
        ],
    ),
];

/// What each room of the operator may use of the others, by the names of their folders. Of the store
/// it uses the wire contract, the TLS of a client and the client, so that it is built without RocksDB.
const OPERATOR: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("plan", &["api"]),
    ("member", &[]),
    ("observe", &["plan", "api", "member"]),
    ("act", &["plan", "api", "member"]),
    ("controller", &["observe", "act", "plan", "api", "member"]),
];
const OF_THE_STORE: &[&str] = &["proto", "transport", "client"];

/// What the planner must not have at hand: it decides by what it is shown, and by nothing else.
const OUTSIDE: &[&str] = &["kube", "tokio", "rand", "tonic", "hyper"];

/// Crates of gRPC and HTTP, which state and log must not know.
const TRANSPORT: &[&str] = &["tonic", "hyper", "http", "axum", "tower"];
const WITHOUT_TRANSPORT: &[&str] = &["wal", "mvcc", "lease", "auth", "watch", "apply", "snapshot"];

/// What a state machine must not have at hand: all members decide alike.
const CHANCE: &[&str] = &["rand", "fastrand", "getrandom", "chrono", "time", "uuid"];
const WITHOUT_CHANCE: &[&str] = &["mvcc", "lease", "auth", "apply"];

fn room<'a>(manifests: &'a [Manifest], name: &str) -> Result<&'a Manifest> {
    let folder = format!("store/{name}");
    let found = manifests.iter().find(|manifest| manifest.folder == folder);
    found.with_context(|| format!("{folder} is gone: change the rules of this test with it"))
}

#[test]
fn rooms_use_only_what_is_below_them() -> Result<()> {
    let manifests = manifest::all()?;
    for (name, allowed) in ROOMS {
        for dependency in &room(&manifests, name)?.dependencies {
            let Some(used) = dependency.strip_prefix("mainstay-") else {
                continue;
            };
            assert!(
                allowed.contains(&used),
                "store/{name} must not depend on mainstay-{used}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_room_has_a_rule_and_its_name() -> Result<()> {
    for manifest in manifest::all()? {
        let Some(name) = manifest.folder.strip_prefix("store/") else {
            continue;
        };
        assert!(
            ROOMS.iter().any(|(room, _)| *room == name),
            "store/{name} has no rule here"
        );
        assert_eq!(
            manifest.name,
            format!("mainstay-{name}"),
            "crate names follow the path"
        );
    }
    Ok(())
}

#[test]
fn rooms_of_the_operator_use_only_what_is_below_them() -> Result<()> {
    for manifest in manifest::all()? {
        let Some(name) = manifest.folder.strip_prefix("operator/") else {
            continue;
        };
        let rule = OPERATOR.iter().find(|(room, _)| *room == name);
        let (_, allowed) = rule.with_context(|| format!("operator/{name} has no rule here"))?;
        for dependency in &manifest.dependencies {
            let Some(used) = dependency.strip_prefix("mainstay-") else {
                continue;
            };
            let fits = match used.strip_prefix("operator-") {
                Some(room) => allowed.contains(&room),
                None => OF_THE_STORE.contains(&used),
            };
            assert!(fits, "operator/{name} must not depend on mainstay-{used}");
        }
    }
    Ok(())
}

#[test]
fn the_planner_is_a_function() -> Result<()> {
    let manifests = manifest::all()?;
    let plan = manifests
        .iter()
        .find(|manifest| manifest.folder == "operator/plan");
    let plan = plan.context("operator/plan is gone: change this rule with it")?;
    for crate_name in OUTSIDE {
        assert!(
            !plan.dependencies.contains(*crate_name),
            "operator/plan depends on {crate_name}"
        );
    }
    Ok(())
}

#[test]
fn state_and_log_know_no_transport() -> Result<()> {
    let manifests = manifest::all()?;
    for name in WITHOUT_TRANSPORT {
        let dependencies = &room(&manifests, name)?.dependencies;
        for crate_name in TRANSPORT {
            assert!(
                !dependencies.contains(*crate_name),
                "store/{name} depends on {crate_name}"
            );
        }
    }
    let wal = &room(&manifests, "wal")?.dependencies;
    assert!(
        !wal.contains("openraft"),
        "the log outlives the consensus library: see its seam"
    );
    Ok(())
}

#[test]
fn state_has_no_clock_and_no_dice() -> Result<()> {
    let manifests = manifest::all()?;
    for name in WITHOUT_CHANCE {
        let dependencies = &room(&manifests, name)?.dependencies;
        for crate_name in CHANCE {
            assert!(
                !dependencies.contains(*crate_name),
                "store/{name} depends on {crate_name}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() -> Result<()> {
    for manifest in manifest::all()? {
        assert!(
            manifest.inherits_lints,
            "{} lacks `[lints] workspace = true`",
            manifest.folder
        );
    }
    Ok(())
}
