//! etcd, Mainstay, etcd: one state goes round, with many keys, leases and users, and is the same at
//! each station; users log in with their passwords at each.

use anyhow::{Context, Result, bail, ensure};
use mainstay_proto::authpb::UserAddOptions;
use mainstay_proto::etcdserverpb as pb;
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::seen::Seen;
use super::tools::Tools;
use super::{Product, fill, restored};
use crate::cluster::Cluster;

const USERS: [(&str, &str); 2] = [("root", "the root's word"), ("alice", "another word")];
const LEASES: i64 = 20;

pub async fn run(tools: &Tools, keys: usize) -> Result<()> {
    let first = Cluster::start(&Product::Etcd.plan(tools, 1)).await?;
    fill::many(&first, keys).await?;
    leases(&first).await?;
    users(&first).await?;
    log_in(&first).await.context("etcd")?;
    let before = Seen::of(&first).await?;
    ensure!(before.count >= keys as i64, "{} keys", before.count);
    let out = first.dir().join("out.db");
    tools.save(&first, &out).await?;
    tools.compare_status(&out, &before).await?;

    let second = restored(tools, Product::Mainstay, 1, &out, &[]).await?;
    before
        .compare(&Seen::of(&second).await?)
        .context("in Mainstay")?;
    log_in(&second).await.context("Mainstay")?;
    let back = second.dir().join("back.db");
    tools.save(&second, &back).await?;
    tools.compare_status(&back, &before).await?;

    let third = restored(tools, Product::Etcd, 1, &back, &[]).await?;
    before
        .compare(&Seen::of(&third).await?)
        .context("back in etcd")?;
    log_in(&third).await.context("etcd again")
}

/// Leases that outlive the test, each with a key.
async fn leases(cluster: &Cluster) -> Result<()> {
    let mut connection = cluster.connect(0).await?;
    for id in 1..=LEASES {
        let grant = pb::LeaseGrantRequest { ttl: 36_000, id };
        connection.lease.lease_grant(grant).await?;
        let put = pb::PutRequest {
            key: format!("leased/{id}").into(),
            value: "v".into(),
            lease: id,
            ..Default::default()
        };
        connection.kv.put(put).await?;
    }
    Ok(())
}

async fn users(cluster: &Cluster) -> Result<()> {
    let mut auth = AuthClient::new(cluster.connect(0).await?.channel);
    for (name, password) in USERS {
        let user = pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            options: Some(UserAddOptions { no_password: false }),
            ..Default::default()
        };
        auth.user_add(user).await?;
        let role = name.to_owned();
        auth.role_add(pb::AuthRoleAddRequest { name: role.clone() })
            .await?;
        let user = role.clone();
        auth.user_grant_role(pb::AuthUserGrantRoleRequest { user, role })
            .await?;
    }
    Ok(())
}

/// Everybody logs in with the right password and nobody with another. Users are switched off
/// again, so that the comparison reads as before.
async fn log_in(cluster: &Cluster) -> Result<()> {
    let channel = cluster.connect(0).await?.channel;
    let mut auth = AuthClient::new(channel.clone());
    auth.auth_enable(pb::AuthEnableRequest {}).await?;
    for (name, password) in USERS {
        token(&channel, name, password).await.context(name)?;
        match token(&channel, name, "no word").await {
            Err(status) if status.code() == Code::InvalidArgument => {}
            other => bail!("{name} with a wrong password: {other:?}"),
        }
    }
    let (name, password) = USERS[0];
    let root = token(&channel, name, password).await?;
    let mut disable = Request::new(pb::AuthDisableRequest {});
    disable.metadata_mut().insert("token", root.parse()?);
    auth.auth_disable(disable).await?;
    Ok(())
}

async fn token(channel: &Channel, name: &str, password: &str) -> Result<String, tonic::Status> {
    let request = pb::AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let answer = AuthClient::new(channel.clone())
        .authenticate(request)
        .await?;
    Ok(answer.into_inner().token)
}
