use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Gateways, now, same};
use crate::options::Options;
use crate::plain_http::with_headers;

/// Every unary path, in an order in which each finds what it needs. Errors of the services stand
/// beside the successes.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("kv/put", json!({"key": "YQ==", "value": "b25l"})),
        (
            "kv/put",
            json!({"key": "YQ==", "value": "dHdv", "prev_kv": true}),
        ),
        (
            "kv/put",
            json!({"key": "Yg==", "value": "", "prevKv": true}),
        ),
        ("kv/put", json!({})),
        ("kv/put", json!({"key": "YQ==", "lease": "4711"})),
        (
            "kv/put",
            json!({"key": "YQ==", "value": "eA==", "ignore_value": true}),
        ),
        ("kv/range", json!({"key": "YQ=="})),
        (
            "kv/range",
            json!({"key": "YQ==", "range_end": "eg==", "limit": "1"}),
        ),
        (
            "kv/range",
            json!({"key": "AA==", "rangeEnd": "AA==", "sort_order": "DESCEND"}),
        ),
        (
            "kv/range",
            json!({"key": "AA==", "rangeEnd": "AA", "sortOrder": 1, "sortTarget": "MOD"}),
        ),
        ("kv/range", json!({"key": "YQ==", "sort_order": 7})),
        (
            "kv/range",
            json!({"key": "AA==", "range_end": "AA==", "count_only": true}),
        ),
        (
            "kv/range",
            json!({"key": "AA==", "range_end": "AA==", "keys_only": true}),
        ),
        ("kv/range", json!({"key": "YQ==", "revision": 99})),
        ("kv/range", json!({"key": "YQ==", "revision": "2"})),
        ("kv/range", json!({"key": "bm9uZQ=="})),
        (
            "kv/range",
            json!({"key": "YQ==", "serializable": true, "unknown": {"field": [1]}}),
        ),
        (
            "kv/txn",
            json!({
                "compare": [{"key": "YQ==", "target": "VERSION", "result": "GREATER", "version": "1"}],
                "success": [{"request_put": {"key": "Yw==", "value": "/+8="}},
                            {"requestRange": {"key": "YQ=="}}],
                "failure": [{"request_delete_range": {"key": "YQ=="}}],
            }),
        ),
        (
            "kv/txn",
            json!({
                "compare": [{"key": "YQ==", "target": 3, "result": 0, "value": "bm8="},
                            {"key": "YQ==", "target": "CREATE", "create_revision": 0},
                            {"key": "YQ==", "target": "LEASE", "lease": "0"},
                            {"key": "YQ==", "target": "MOD", "result": "LESS", "modRevision": "1"}],
                "success": [],
                "failure": [{"requestTxn": {"success": [{"requestDeleteRange":
                    {"key": "Yw==", "prev_kv": true}}]}}],
            }),
        ),
        ("kv/txn", json!({"success": [{}]})),
        ("kv/txn", json!({})),
        ("kv/deleterange", json!({"key": "Yg==", "prev_kv": true})),
        ("kv/deleterange", json!({"key": "bm9uZQ=="})),
        ("kv/deleterange", json!({})),
        ("lease/grant", json!({"TTL": "600", "ID": "77"})),
        ("lease/grant", json!({"TTL": 600, "ID": 77})),
        (
            "lease/grant",
            json!({"TTL": "9223372036854775807", "ID": 5}),
        ),
        ("kv/put", json!({"key": "bGVhc2Vk", "lease": 77})),
        ("kv/range", json!({"key": "bGVhc2Vk"})),
        ("lease/timetolive", json!({"ID": "77", "keys": true})),
        ("kv/lease/timetolive", json!({"ID": 78})),
        ("lease/leases", json!({})),
        ("kv/lease/leases", json!({})),
        ("kv/lease/revoke", json!({"ID": 78})),
        ("lease/revoke", json!({"ID": "77"})),
        ("kv/range", json!({"key": "bGVhc2Vk"})),
        ("cluster/member/list", json!({})),
        ("cluster/member/list", json!({"linearizable": true})),
        ("cluster/member/remove", json!({"ID": "12345"})),
        (
            "cluster/member/update",
            json!({"ID": "12345", "peerURLs": ["http://127.0.0.1:1"]}),
        ),
        ("cluster/member/promote", json!({"ID": 12345})),
        ("cluster/member/add", json!({"peerURLs": ["no url"]})),
        ("maintenance/status", json!({})),
        ("maintenance/defragment", json!({})),
        ("maintenance/hash", json!({})),
        ("maintenance/hashkv", json!({})),
        ("maintenance/hashkv", json!({"revision": "3"})),
        ("maintenance/hashkv", json!({"revision": "1000"})),
        (
            "maintenance/transfer-leadership",
            json!({"targetID": "12345"}),
        ),
        ("maintenance/downgrade", json!({"action": "CANCEL"})),
        (
            "maintenance/downgrade",
            json!({"action": 0, "version": "nonsense"}),
        ),
        ("maintenance/alarm", json!({"action": "GET"})),
        (
            "maintenance/alarm",
            json!({"action": "ACTIVATE", "memberID": 1, "alarm": "NOSPACE"}),
        ),
        ("maintenance/alarm", json!({"action": 0, "alarm": "NEWER"})),
        ("kv/put", json!({"key": "YQ=="})),
        (
            "maintenance/alarm",
            json!({"action": "DEACTIVATE", "memberID": "1", "alarm": 1}),
        ),
        ("kv/compaction", json!({"revision": "3", "physical": true})),
        ("kv/compaction", json!({"revision": "3"})),
        ("kv/compaction", json!({"revision": 1000})),
        ("kv/range", json!({"key": "YQ==", "revision": "2"})),
        ("auth/status", json!({})),
        ("auth/enable", json!({})),
        ("auth/disable", json!({})),
        (
            "auth/authenticate",
            json!({"name": "root", "password": "x"}),
        ),
        ("auth/user/add", json!({"name": "ann", "password": "x"})),
        ("auth/user/add", json!({"name": "ann", "password": "x"})),
        ("auth/user/get", json!({"name": "nobody"})),
        ("auth/user/list", json!({})),
        (
            "auth/user/changepw",
            json!({"name": "ann", "password": "y"}),
        ),
        ("auth/role/add", json!({"name": "reader"})),
        (
            "auth/role/grant",
            json!({"name": "reader",
            "perm": {"permType": "READWRITE", "key": "YQ==", "range_end": "Yg=="}}),
        ),
        ("auth/role/get", json!({"role": "reader"})),
        ("auth/role/list", json!({})),
        ("auth/user/grant", json!({"user": "ann", "role": "reader"})),
        ("auth/user/get", json!({"name": "ann"})),
        ("auth/user/revoke", json!({"name": "ann", "role": "reader"})),
        (
            "auth/role/revoke",
            json!({"role": "reader", "key": "YQ==", "range_end": "Yg=="}),
        ),
        ("auth/role/delete", json!({"role": "reader"})),
        ("auth/user/delete", json!({"name": "ann"})),
        ("lease/grant", json!({"TTL": 600, "ID": 9})),
        ("lock/lock", json!({"name": "bG9jaw==", "lease": 9})),
        ("lock/lock", json!({"name": "bG9jaw==", "lease": 10})),
        ("lock/lock", json!({"lease": 9})),
        ("lock/unlock", json!({"key": "bG9jay85"})),
        ("lock/unlock", json!({"key": "bG9jay85"})),
        ("lock/unlock", json!({})),
        ("election/leader", json!({"name": "ZWxlY3Q="})),
        (
            "election/campaign",
            json!({"name": "ZWxlY3Q=", "lease": "9", "value": "b25l"}),
        ),
        ("election/leader", json!({"name": "ZWxlY3Q="})),
        (
            "election/campaign",
            json!({"name": "ZWxlY3Q=", "lease": "9", "value": "dHdv"}),
        ),
        ("election/proclaim", json!({"value": "YQ=="})),
        (
            "election/proclaim",
            json!({"leader": {"key": "eA==", "rev": 2, "lease": 9}}),
        ),
        ("election/proclaim", json!({"leader": {}})),
        ("election/resign", json!({})),
        (
            "election/resign",
            json!({"leader": {"key": "ZWxlY3QvOQ==", "rev": "1"}}),
        ),
        ("election/leader", json!({"name": "ZWxlY3Q="})),
    ]
}

/// Paths that the table above need not hold: streams are compared elsewhere.
const STREAMS: &[&str] = &[
    "watch",
    "lease/keepalive",
    "maintenance/snapshot",
    "election/observe",
];
/// Every path of etcd's gateway, so that the table is seen to be whole.
const PATHS: usize = 51;

pub async fn every_path(options: &Options, missing: &mut BTreeSet<String>) -> Result<Instant> {
    let since = now();
    let mut gateways = Gateways::start(options, &[]).await?;
    let mut paths: BTreeSet<&str> = STREAMS.iter().copied().collect();
    for (path, body) in calls() {
        paths.insert(path);
        gateways.post(&format!("/v3/{path}"), &body).await?;
        if path == "election/campaign" {
            elected(&mut gateways).await?;
        }
    }
    if paths.len() != PATHS {
        bail!("{} paths are compared, there are {PATHS}", paths.len());
    }
    missing.append(&mut gateways.missing);
    Ok(since)
}

/// A leader proclaims and resigns with what it was told when it won.
async fn elected(gateways: &mut Gateways) -> Result<()> {
    let told = gateways
        .post("/v3/election/leader", &json!({"name": "ZWxlY3Q="}))
        .await?;
    let leader = json!({
        "name": "ZWxlY3Q=",
        "key": told["kv"]["key"],
        "rev": told["kv"]["create_revision"],
        "lease": told["kv"]["lease"],
    });
    let proclaim = json!({"leader": leader, "value": "bmV3"});
    gateways.post("/v3/election/proclaim", &proclaim).await?;
    let resign = json!({"leader": leader});
    gateways.post("/v3/election/resign", &resign).await?;
    gateways.post("/v3/election/proclaim", &proclaim).await?;
    Ok(())
}

/// Bodies that are not what the path takes, and odd ones that are.
const BODIES: &[&str] = &[
    "",
    "   ",
    "{}",
    "null",
    "[]",
    "7",
    "\"x\"",
    "{",
    "}",
    "{\"key\":\"YQ==\"",
    "{\"key\":\"YQ==\",}",
    "{\"key\":\"YQ==\"}trailing",
    "{\"key\":\"YQ==\"}{\"key\":",
    "{\"key\":5}",
    "{\"key\":null}",
    "{\"key\":\"Y\"}",
    "{\"key\":\"Y Q=\"}",
    "{\"key\":\"-_8\"}",
    "{\"key\":\"+/8=\"}",
    "{\"key\":\"YQ\"}",
    "{\"key\":{}}",
    "{\"key\":\"YQ==\",\"limit\":\"x\"}",
    "{\"key\":\"YQ==\",\"limit\":1.5}",
    "{\"key\":\"YQ==\",\"limit\":1.0}",
    "{\"key\":\"YQ==\",\"limit\":1e2}",
    "{\"key\":\"YQ==\",\"limit\":\"\"}",
    "{\"key\":\"YQ==\",\"limit\":true}",
    "{\"key\":\"YQ==\",\"limit\":9223372036854775808}",
    "{\"key\":\"YQ==\",\"limit\":\"9223372036854775807\"}",
    "{\"key\":\"YQ==\",\"keys_only\":1}",
    "{\"key\":\"YQ==\",\"keys_only\":\"true\"}",
    "{\"key\":\"YQ==\",\"keysOnly\":true}",
    "{\"key\":\"YQ==\",\"sort_order\":\"SIDEWAYS\"}",
    "{\"key\":\"YQ==\",\"sort_order\":\"ascend\"}",
    "{\"key\":\"YQ==\",\"sort_order\":true}",
    "{\"key\":\"YQ==\",\"sort_order\":99}",
    "{\"key\":\"YQ==\",\"new\":{\"a\":[1,{\"b\":null}]}}",
    "{\"key\":\"\\u0059Q==\"}",
    "\u{feff}{}",
];

pub async fn malformed(options: &Options) -> Result<Instant> {
    let since = now();
    let mut gateways = Gateways::start(options, &[]).await?;
    for body in BODIES {
        gateways.text("/v3/kv/range", body).await?;
    }
    for body in [
        r#"{"success":[{"request_put":{"key":"YQ=="},"request_range":{"key":"YQ=="}}]}"#,
        r#"{"success":{"request_put":{"key":"YQ=="}}}"#,
        r#"{"success":[null]}"#,
        r#"{"success":null,"compare":[]}"#,
    ] {
        gateways.text("/v3/kv/txn", body).await?;
    }
    too_large(&gateways).await?;
    Ok(since)
}

/// A value beyond the limit of a proposal, and one beyond that of a message.
async fn too_large(gateways: &Gateways) -> Result<()> {
    for (bytes, status) in [(1_572_900, 400), (2_097_153, 429)] {
        let mut told = Vec::new();
        for side in &gateways.sides {
            // Four letters of base64 are three bytes of value.
            let value = "AAAA".repeat(bytes / 3 + 1);
            let body = json!({"key": "YQ==", "value": value}).to_string();
            told.push(side.post("/v3/kv/put", &body).await?);
        }
        let [reference, subject] = told.as_slice() else {
            bail!("two sides are needed")
        };
        same(reference, subject).with_context(|| format!("a value of {bytes} bytes"))?;
        if reference.status != status {
            bail!("etcd must refuse a value of {bytes} bytes with {status}");
        }
    }
    Ok(())
}

/// Methods and paths beside the table, with what etcd does with them.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v3/kv/range"),
    ("PUT", "/v3/kv/range"),
    ("DELETE", "/v3/watch"),
    ("HEAD", "/v3/kv/range"),
    ("GET", "/v3/"),
    ("POST", "/v3/"),
    ("GET", "/v3/nothing"),
    ("POST", "/v3/kv/nothing"),
    ("POST", "/v3/kv/range/"),
    ("POST", "/v3/kv/rangestream"),
    ("POST", "/v3/KV/range"),
    ("POST", "/v3beta/kv/range"),
    ("POST", "/v3beta/nothing"),
    ("POST", "/v3alpha/kv/range"),
    ("POST", "/v3"),
    ("POST", "/v2/keys"),
    ("GET", "/nothing"),
    ("OPTIONS", "/v3/kv/range"),
    ("OPTIONS", "/nothing"),
    ("OPTIONS", "/health"),
    ("POST", "/debug/vars"),
];

pub async fn routing(options: &Options) -> Result<Instant> {
    let since = now();
    let gateways = Gateways::start(options, &[]).await?;
    for (method, path) in ROUTES {
        let mut told = Vec::new();
        for side in &gateways.sides {
            let host = side.door.host();
            let answer = with_headers(&side.door, method, path, &[("Host", &host)], "").await?;
            told.push(side.told(path, &answer));
        }
        let [reference, subject] = told.as_slice() else {
            bail!("two sides are needed")
        };
        same(reference, subject).with_context(|| format!("{method} {path}"))?;
    }
    for side in &gateways.sides {
        variables(side).await?;
    }
    Ok(since)
}

/// The variables both servers show.
async fn variables(side: &super::Gateway) -> Result<()> {
    let host = side.door.host();
    let answer = with_headers(&side.door, "GET", "/debug/vars", &[("Host", &host)], "").await?;
    let value: Value = serde_json::from_str(&answer.body).context("/debug/vars")?;
    let raft = &value["raft.status"];
    let good = value["cmdline"]
        .as_array()
        .is_some_and(|words| words.len() > 5)
        && value["file_descriptor_limit"].as_u64() > Some(0)
        && value["memstats"]["Alloc"].as_u64() > Some(0)
        && raft["raftState"] == "StateLeader"
        && raft["id"] == raft["lead"]
        && raft["applied"].as_u64() > Some(0);
    if !good {
        bail!("/debug/vars of {}: {value}", side.cluster.label);
    }
    Ok(())
}
