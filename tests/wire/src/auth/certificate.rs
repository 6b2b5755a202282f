use anyhow::{Result, ensure};
use mainstay_pki::Leaf;
use mainstay_proto::authpb::permission::Type;
use tonic::transport::Channel;

use super::rpc::{self, Ended};
use super::stage;
use crate::options::Options;
use crate::tls::client::{channel, config};
use crate::tls::site::{Site, client_leaf};

/// A caller is the common name of its own certificate, a token goes before it, and the gateway
/// inherits nothing.
pub async fn run(options: &Options) -> Result<()> {
    let etcd = seen(&Site::start_without_lists(&options.etcd()).await?).await?;
    let subject = seen(&Site::start_without_lists(options.subject()).await?).await?;
    for (expected, found) in etcd.iter().zip(&subject) {
        ensure!(expected == found, "etcd {expected:?}, not {found:?}");
    }
    let let_in = subject.iter().filter(|(_, ended)| *ended == Ended::Let);
    ensure!(let_in.count() >= 6, "{subject:?}");
    Ok(())
}

async fn named(site: &Site, name: &str) -> Result<Channel> {
    let leaf = Leaf {
        common_name: name.to_owned(),
        ..client_leaf(40)
    };
    let pair = site
        .clients
        .write(site.dir(), &format!("cn-{name}"), &leaf)?;
    let config = config(&site.trusted(), Some(&pair), &[b"h2"])?;
    channel(site.peers[0].client_port, config).await
}

/// What each caller gets to hear.
async fn seen(site: &Site) -> Result<Vec<(&'static str, Ended)>> {
    let admin = named(site, "root").await?;
    for step in [
        stage::user_add_with("root", "", Some(true)),
        stage::grant_role("root", "root"),
        stage::role_add("alice"),
        stage::permit("alice", Type::Readwrite, "a", "c"),
        stage::user_add("alice", stage::PASSWORD),
        stage::grant_role("alice", "alice"),
        stage::user_add("bob", stage::PASSWORD),
        stage::enable(),
    ] {
        let answer = rpc::call(&admin, None, &step).await?;
        ensure!(answer.ended == Ended::Let, "{step:?}: {:?}", answer.ended);
    }
    let alice = named(site, "alice").await?;
    let stranger = named(site, "stranger").await?;
    let nameless = named(site, "").await?;
    let token = rpc::log_in(&stranger, "bob", stage::PASSWORD).await?;
    let bob = Some(token.as_str());
    let mut seen = Vec::new();
    for (who, channel, token, call) in [
        ("root", &admin, None, stage::user_list()),
        ("alice", &alice, None, rpc::put("a")),
        ("alice", &alice, None, rpc::put("x")),
        ("alice", &alice, None, rpc::watch("a", "b")),
        ("alice", &alice, None, stage::user_get("alice")),
        ("alice", &alice, None, stage::user_list()),
        ("alice with bob's token", &alice, bob, rpc::put("a")),
        (
            "alice with a bad token",
            &alice,
            Some("bad.1"),
            rpc::put("a"),
        ),
        ("root with bob's token", &admin, bob, stage::user_list()),
        ("stranger", &stranger, None, rpc::put("a")),
        ("stranger", &stranger, None, stage::user_list()),
        ("stranger", &stranger, None, stage::status()),
        ("nameless", &nameless, None, rpc::put("a")),
        ("nameless", &nameless, None, stage::user_list()),
        ("root", &admin, None, rpc::put("x")),
    ] {
        seen.push((who, rpc::call(channel, token, &call).await?.ended));
    }
    Ok(seen)
}
