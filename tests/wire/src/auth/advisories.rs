use anyhow::{Result, bail, ensure};
use mainstay_pki::{Leaf, Pair};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;
use pb::request_op::Request as Op;
use prost::Message;

use super::rpc::{self, Call, Ended};
use super::stage::{self, Stage, alike, roots, tokens};
use crate::options::Options;
use crate::plain_http;
use crate::tls::site::{Site, client_leaf};

/// What etcd has had to publish an advisory for, one by one.
pub async fn run(options: &Options, name: &str) -> Result<()> {
    match name {
        "CVE-2026-33413" => without_credentials(options).await,
        "CVE-2026-33343" => nested(options).await,
        "CVE-2026-44283" => put_in_txn(options).await,
        "GHSA-xg4h-6gfc-h4m8" => watch_from_key(options).await,
        "CVE-2023-32082" => keys_of_leases(options).await,
        "CVE-2018-16886" => gateway(options).await,
        "CVE-2021-28235" => password_in_requests(options).await,
        "alarm-does-not-remove-auth" => alarms(options).await,
        "revoked-right-ends-watch" => revoked(options).await,
        other => bail!("{other} is no case"),
    }
}

const TENANT: &[(Type, &str, &str)] = &[(Type::Readwrite, "a", "c")];

/// Lists of members, alarms, leases and the like asked for without a token.
async fn without_credentials(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let grant = pb::LeaseGrantRequest { id: 0, ttl: 60 };
    let revoke = pb::LeaseRevokeRequest { id: 1 };
    let ask = pb::LeaseTimeToLiveRequest { id: 1, keys: false };
    let members = pb::MemberListRequest::default();
    let alarm = pb::AlarmRequest::default();
    for call in [
        Call::new("/etcdserverpb.Cluster/MemberList", &members),
        Call::new("/etcdserverpb.Maintenance/Alarm", &alarm),
        Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}),
        Call::new("/etcdserverpb.Lease/LeaseGrant", &grant),
        Call::new("/etcdserverpb.Lease/LeaseRevoke", &revoke),
        Call::new("/etcdserverpb.Lease/LeaseTimeToLive", &ask),
        Call::new(
            "/etcdserverpb.Lease/LeaseLeases",
            &pb::LeaseLeasesRequest {},
        ),
    ] {
        let ended = alike(&stages, [None, None], "without a token", &call).await?;
        ensure!(ended.text().contains("user name is empty"), "{ended:?}");
    }
    Ok(())
}

/// Operations hidden in txns inside of txns.
async fn nested(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let tenant = stage::user_on_both(&stages, "tenant", TENANT).await?;
    let secret = pb::RangeRequest {
        key: "secret".into(),
        ..Default::default()
    };
    for op in [
        Op::RequestRange(secret),
        Op::RequestPut(rpc::put_request("secret")),
        Op::RequestDeleteRange(pb::DeleteRangeRequest {
            key: "secret".into(),
            ..Default::default()
        }),
    ] {
        let mut txn = rpc::txn_of(op);
        for depth in 1..=6 {
            let what = format!("depth {depth}");
            let ended = alike(&stages, tokens(&tenant), &what, &rpc::txn(&txn)).await?;
            ensure!(ended.text().contains("permission denied"), "{ended:?}");
            // In the branch that is not taken, too.
            let inner = rpc::txn_of(Op::RequestTxn(txn));
            txn = pb::TxnRequest {
                failure: inner.success,
                ..Default::default()
            };
        }
    }
    Ok(())
}

/// A put in a txn that reads what it replaces, or hangs on another's lease.
async fn put_in_txn(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let permits = [(Type::Write, "a", "c")];
    let tenant = stage::user_on_both(&stages, "tenant", &permits).await?;
    for stage in &stages {
        let grant = pb::LeaseGrantRequest { id: 5, ttl: 600 };
        let grant = Call::new("/etcdserverpb.Lease/LeaseGrant", &grant);
        stage.as_root(&grant).await?;
        let leased = pb::PutRequest {
            lease: 5,
            ..rpc::put_request("secret")
        };
        stage
            .as_root(&Call::new("/etcdserverpb.KV/Put", &leased))
            .await?;
    }
    let reads = pb::PutRequest {
        prev_kv: true,
        ..rpc::put_request("a")
    };
    let hangs = pb::PutRequest {
        lease: 5,
        ..rpc::put_request("a")
    };
    for put in [reads, hangs] {
        let alone = Call::new("/etcdserverpb.KV/Put", &put);
        let txn = rpc::txn_of(Op::RequestPut(put));
        let deep = rpc::txn_of(Op::RequestTxn(txn.clone()));
        for call in [alone, rpc::txn(&txn), rpc::txn(&deep)] {
            let ended = alike(&stages, tokens(&tenant), "a put", &call).await?;
            ensure!(ended.text().contains("permission denied"), "{ended:?}");
        }
    }
    let plain = rpc::txn(&rpc::txn_of(Op::RequestPut(rpc::put_request("a"))));
    let ended = alike(&stages, tokens(&tenant), "a plain put", &plain).await?;
    ensure!(ended == Ended::Let, "{ended:?}");
    Ok(())
}

/// A right to one key is none to all that follow.
async fn watch_from_key(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let permits = [(Type::Read, "k", "")];
    let tenant = stage::user_on_both(&stages, "tenant", &permits).await?;
    for end in ["\0", "l", "k\0\0"] {
        let ended = alike(&stages, tokens(&tenant), end, &rpc::watch("k", end)).await?;
        let expected = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        ensure!(ended.text() == expected, "{ended:?}");
    }
    for end in ["", "k\0"] {
        let ended = alike(&stages, tokens(&tenant), end, &rpc::watch("k", end)).await?;
        ensure!(ended == Ended::Let, "{end:?}: {ended:?}");
    }
    let all = alike(&stages, tokens(&tenant), "no key", &rpc::watch("", "\0")).await?;
    ensure!(all != Ended::Let, "everything is watched");
    Ok(())
}

/// The keys of a lease are told only to who may read them.
async fn keys_of_leases(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let tenant = stage::user_on_both(&stages, "tenant", TENANT).await?;
    for stage in &stages {
        let grant = pb::LeaseGrantRequest { id: 5, ttl: 600 };
        let grant = Call::new("/etcdserverpb.Lease/LeaseGrant", &grant);
        stage.as_root(&grant).await?;
        for key in ["a", "secret"] {
            let leased = pb::PutRequest {
                lease: 5,
                ..rpc::put_request(key)
            };
            let put = Call::new("/etcdserverpb.KV/Put", &leased);
            stage.as_root(&put).await?;
        }
    }
    let ask = |keys| {
        let ask = pb::LeaseTimeToLiveRequest { id: 5, keys };
        Call::new("/etcdserverpb.Lease/LeaseTimeToLive", &ask)
    };
    let with = alike(&stages, tokens(&tenant), "with keys", &ask(true)).await?;
    ensure!(with.text().contains("permission denied"), "{with:?}");
    let without = alike(&stages, tokens(&tenant), "without keys", &ask(false)).await?;
    ensure!(without == Ended::Let, "{without:?}");
    let all = alike(&stages, roots(&stages), "root", &ask(true)).await?;
    ensure!(all == Ended::Let, "{all:?}");
    Ok(())
}

/// The gateway asks for a token whatever certificate its connection has shown.
async fn gateway(options: &Options) -> Result<()> {
    by_token(options).await?;
    let (mut said, mut silent) = (Vec::new(), Vec::new());
    for binary in [options.etcd(), options.subject.clone()] {
        let site = Site::start_without_lists(&binary).await?;
        let config = crate::tls::client::config(&site.trusted(), Some(&site.client), &[b"h2"])?;
        let channel = crate::tls::client::channel(site.peers[0].client_port, config).await?;
        for step in [
            // The very name of the certificate that the gateway's client shows.
            stage::user_add_with("client-1", "", Some(true)),
            stage::user_add("root", stage::ROOT_PASSWORD),
            stage::grant_role("root", "root"),
            stage::grant_role("client-1", "root"),
            // And that of the certificate by which the gateway asks its own server.
            stage::user_add_with("member", "", Some(true)),
            stage::grant_role("member", "root"),
            stage::enable(),
        ] {
            let answer = rpc::call(&channel, None, &step).await?;
            ensure!(answer.ended == Ended::Let, "{step:?} {:?}", answer.ended);
        }
        let direct = rpc::call(&channel, None, &stage::user_list()).await?;
        ensure!(direct.ended == Ended::Let, "{direct:?}");
        let named = &site.client;
        let list = https(&site, named, "", "/v3/auth/user/list", "{}").await?;
        let put = https(&site, named, "", "/v3/kv/put", r#"{"key":"YQ=="}"#).await?;
        let leaf = Leaf {
            common_name: String::new(),
            ..client_leaf(50)
        };
        let nameless = site.clients.write(site.dir(), "nameless", &leaf)?;
        let accept = "Accept: */*\r\n";
        let nobody = https(&site, &nameless, accept, "/v3/auth/user/list", "{}").await?;
        silent.push(worded(
            https(&site, &nameless, "", "/v3/auth/user/list", "{}").await?,
        ));
        said.push((list, put, worded(nobody)));
    }
    ensure!(said[0] == said[1], "{said:?}");
    ensure!(said[1].0.0.contains(" 400 "), "{said:?}");
    ensure!(said[1].2.1 == "etcdserver: user name is empty", "{said:?}");
    // etcd knows its own gateway by a header that is there only if its client sends `Accept`, and
    // takes the others for the user that its certificate names.
    ensure!(silent[1] == said[1].2, "{silent:?}");
    ensure!(
        silent[0].0.contains(" 200 "),
        "etcd refuses it by now: {silent:?}"
    );
    Ok(())
}

/// An answer with its message alone: how JSON is spaced is free.
fn worded((status, body): (String, String)) -> (String, serde_json::Value) {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    (status, body["message"].clone())
}

/// Without certificates: a log-in by JSON, and its token in the header, with and without `Bearer`.
async fn by_token(options: &Options) -> Result<()> {
    let mut said = Vec::new();
    for stage in &stage::both(options, &[]).await? {
        let door = stage.cluster.door(0);
        let entry = format!(r#"{{"name":"root","password":"{}"}}"#, stage::ROOT_PASSWORD);
        let token = plain_http::send(&door, "POST", "/v3/auth/authenticate", &entry).await?;
        let token: serde_json::Value = serde_json::from_str(&token.body)?;
        let token = token["token"].as_str().unwrap_or_default().to_owned();
        let host = door.host();
        for shown in [
            token.clone(),
            format!("Bearer {token}"),
            "bad.1".to_owned(),
            String::new(),
        ] {
            let mut headers = vec![("Host", host.as_str())];
            if !shown.is_empty() {
                headers.push(("Authorization", shown.as_str()));
            }
            let path = "/v3/auth/user/list";
            let answer = plain_http::with_headers(&door, "POST", path, &headers, "{}").await?;
            let body: serde_json::Value = serde_json::from_str(&answer.body)?;
            said.push((
                answer.status,
                body["users"].clone(),
                body["message"].clone(),
            ));
        }
    }
    let (etcd, subject) = said.split_at(said.len() / 2);
    ensure!(etcd == subject, "{etcd:?}, not {subject:?}");
    let codes: Vec<u16> = subject.iter().map(|answer| answer.0).collect();
    ensure!(codes == [200, 200, 401, 400], "{codes:?}");
    Ok(())
}

/// One request over a connection that has shown a certificate: the status and the body of its
/// answer.
async fn https(
    site: &Site,
    shown: &Pair,
    more: &str,
    path: &str,
    body: &str,
) -> Result<(String, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let config = crate::tls::client::config(&site.trusted(), Some(shown), &[b"http/1.1"])?;
    let mut socket = crate::tls::client::dial(site.peers[0].client_port, config).await?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // A server may close without saying so.
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.lines().next().unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}

/// A password is in no page that shows requests.
async fn password_in_requests(options: &Options) -> Result<()> {
    let flags = ["--log-level=debug", "--metrics=extensive"];
    let stage = Stage::open(&stage::plan(options, false, &flags)).await?;
    let wrong = rpc::authenticate("root", "seen-by-nobody");
    stage.call(None, &wrong).await?;
    let door = stage.cluster.door(0);
    for path in [
        "/debug/requests",
        "/debug/events",
        "/debug/vars",
        "/metrics",
    ] {
        let page = plain_http::call(&door, "GET", path).await?.body;
        for secret in ["seen-by-nobody", stage::ROOT_PASSWORD] {
            ensure!(!page.contains(secret), "{path} shows a password");
        }
    }
    Ok(())
}

/// Under an alarm a tenant may do no more than before.
async fn alarms(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    let tenant = stage::user_on_both(&stages, "tenant", TENANT).await?;
    for stage in &stages {
        let grant = pb::LeaseGrantRequest { id: 5, ttl: 600 };
        let grant = Call::new("/etcdserverpb.Lease/LeaseGrant", &grant);
        stage.as_root(&grant).await?;
        let leased = pb::PutRequest {
            lease: 5,
            ..rpc::put_request("secret")
        };
        let put = Call::new("/etcdserverpb.KV/Put", &leased);
        stage.as_root(&put).await?;
    }
    for alarm in [1, 2] {
        for stage in &stages {
            let status = Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {});
            let status = stage.as_root(&status).await?.body;
            let header = pb::StatusResponse::decode(status)?
                .header
                .unwrap_or_default();
            let raise = pb::AlarmRequest {
                action: 1,
                member_id: header.member_id,
                alarm,
            };
            let raise = Call::new("/etcdserverpb.Maintenance/Alarm", &raise);
            stage.as_root(&raise).await?;
        }
        let revoke = pb::LeaseRevokeRequest { id: 5 };
        let clear = pb::AlarmRequest {
            action: 2,
            member_id: 1,
            alarm,
        };
        for call in [
            stage::disable(),
            stage::user_add("mallory", "x"),
            stage::grant_role("tenant", "root"),
            rpc::delete("secret", ""),
            rpc::range("secret", ""),
            Call::new("/etcdserverpb.Lease/LeaseRevoke", &revoke),
            Call::new("/etcdserverpb.Maintenance/Alarm", &clear),
        ] {
            // Which of the two refusals comes first is etcd's own business.
            for (at, stage) in stages.iter().enumerate() {
                let ended = stage.call(tokens(&tenant)[at], &call).await?.ended;
                ensure!(ended != Ended::Let, "{} under alarm {alarm}", call.path);
                let denied = ended.text().contains("permission denied");
                ensure!(at == 0 || denied, "{}: {ended:?}", call.path);
            }
        }
    }
    Ok(())
}

/// A watch ends with the right to it, and another that is still allowed goes on.
async fn revoked(options: &Options) -> Result<()> {
    let stage = Stage::open(&stage::plan(options, false, &[])).await?;
    let permits = [(Type::Read, "a", "c"), (Type::Read, "k", "")];
    let token = stage.user("tenant", &permits).await?;
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let create = |key: &str, end: &str| pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest {
                key: key.to_owned().into(),
                range_end: end.to_owned().into(),
                ..Default::default()
            },
        )),
    };
    sender.send(create("a", "c")).await?;
    sender.send(create("k", "")).await?;
    let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    request.metadata_mut().insert("token", token.parse()?);
    let mut client = pb::watch_client::WatchClient::new(stage.channel.clone());
    let mut answers = client.watch(request).await?.into_inner();
    for _ in 0..2 {
        let created = answers.message().await?.unwrap_or_default();
        ensure!(created.created && !created.canceled, "{created:?}");
    }
    stage.as_root(&rpc::put("a")).await?;
    let event = answers.message().await?.unwrap_or_default();
    ensure!(event.events.len() == 1, "{event:?}");
    stage.as_root(&stage::forbid("tenant", "a", "c")).await?;
    let ended = answers.message().await?.unwrap_or_default();
    let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    ensure!(
        ended.canceled && ended.watch_id == event.watch_id && ended.cancel_reason == reason,
        "{ended:?}"
    );
    stage.as_root(&rpc::put("a")).await?;
    stage.as_root(&rpc::put("k")).await?;
    let event = answers.message().await?.unwrap_or_default();
    ensure!(event.watch_id == 1 && event.events.len() == 1, "{event:?}");
    Ok(())
}
