use anyhow::{Context, Result};
use etcd_client::{
    Channel, Client, ConnectOptions, LeaderKey, LockOptions, Permission, ProclaimOptions,
    ResignOptions,
};

use super::program::PROGRAM_WAIT;
use super::{Saw, users};
use crate::rust_client;
use crate::tls::client::{channel, config};
use crate::tls::site::Site;

/// The script of the suite `rust-client`, then locks, elections and rights, within the time of a
/// program.
pub async fn run(site: &Site, with_users: bool) -> Saw {
    let done = tokio::time::timeout(PROGRAM_WAIT, play(site, with_users)).await;
    done.context("it does not end")?
}

async fn play(site: &Site, with_users: bool) -> Saw {
    let root = with_users.then_some(users::ROOT);
    let mut client = connect(site, root).await?;
    let mut saw = Vec::new();
    for part in rust_client::PARTS {
        saw.extend(rust_client::play(part, &mut client).await.context(part)?);
    }
    saw.push(lock(&mut client).await.context("lock")?);
    saw.extend(election(&mut client).await.context("election")?);
    if with_users {
        saw.extend(rights(site, &mut client).await.context("rights")?);
    }
    Ok(saw)
}

/// A client of one member, on a connection of ours: the crate's own TLS would add a feature to the
/// server's copy of tonic.
async fn connect(site: &Site, user: Option<(&str, &str)>) -> Result<Client> {
    let port = site.peers.first().map_or(0, |peer| peer.client_port);
    let channel = channel(port, config(&site.trusted(), None, &[b"h2"])?).await?;
    let options = user.map(|(name, password)| ConnectOptions::new().with_user(name, password));
    Ok(Client::from_channel(Channel::Tonic(channel), options).await?)
}

async fn lock(client: &mut Client) -> Result<String> {
    let mut second = client.clone();
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.push(client.lease_grant(60, None).await?.id());
    }
    let [one, two] = leases[..] else {
        anyhow::bail!("two leases are needed")
    };
    let held = client.lock("rust/lock", Some(LockOptions::new().with_lease(one)));
    let held = held.await?;
    let waiting = tokio::spawn(async move {
        let options = LockOptions::new().with_lease(two);
        second.lock("rust/lock", Some(options)).await
    });
    client.unlock(held.key()).await?;
    let key = waiting.await??;
    client.unlock(key.key()).await?;
    for lease in leases {
        client.lease_revoke(lease).await?;
    }
    Ok(format!("second {}", key.key().starts_with(b"rust/lock/")))
}

async fn election(client: &mut Client) -> Saw {
    let lease = client.lease_grant(60, None).await?.id();
    let none = client.leader("rust/election").await.err();
    let mut saw = vec![format!("{}", none.context("no error")?)];
    let won = client.campaign("rust/election", "first", lease).await?;
    let key: LeaderKey = won.leader().context("no key")?.clone();
    let proclaim = ProclaimOptions::new().with_leader(key.clone());
    client.proclaim("again", Some(proclaim.clone())).await?;
    let mut leaders = client.observe("rust/election").await?;
    let told = leaders.message().await?.context("nobody leads")?;
    let value = told.kv().map(|kv| kv.value().to_vec());
    saw.push(format!("{:?}", value.map(String::from_utf8)));
    let resign = ResignOptions::new().with_leader(key);
    client.resign(Some(resign)).await?;
    let late = client.proclaim("late", Some(proclaim)).await.err();
    saw.push(format!("{}", late.context("no error")?));
    client.lease_revoke(lease).await?;
    Ok(saw)
}

/// What the restricted user may not do, and what a role of root's making changes.
async fn rights(site: &Site, root: &mut Client) -> Saw {
    let mut user = connect(site, Some(users::USER)).await?;
    user.put("clients/rust", "v", None).await?;
    let mut saw = vec![format!("{}", user.get("clients/rust", None).await?.count())];
    let wrong = connect(site, Some((users::USER.0, "wrong"))).await.err();
    let nobody = connect(site, None).await?.get("a", None).await.err();
    for error in [
        user.put("elsewhere", "v", None).await.err(),
        user.get("elsewhere", None).await.err(),
        user.user_list().await.err(),
        nobody,
    ] {
        saw.push(format!("{}", error.context("no error")?));
    }
    saw.push(format!("{:#}", wrong.context("no error")?));
    root.role_add("rust").await?;
    let permission = Permission::read("elsewhere").with_prefix();
    root.role_grant_permission("rust", permission).await?;
    root.user_grant_role(users::USER.0, "rust").await?;
    // A signed token is of the rights at its making.
    let mut user = connect(site, Some(users::USER)).await?;
    saw.push(format!(
        "{} {}",
        user.get("elsewhere", None).await?.count(),
        user.put("elsewhere", "v", None).await.is_err()
    ));
    root.role_delete("rust").await?;
    let old = user.get("elsewhere", None).await.err();
    let mut user = connect(site, Some(users::USER)).await?;
    let again = user.get("elsewhere", None).await.err();
    saw.push(format!("{}", old.context("no error")?));
    saw.push(format!("{}", again.context("no error")?));
    saw.push(format!("{:?}", root.user_get(users::USER.0).await?.roles()));
    Ok(saw)
}
