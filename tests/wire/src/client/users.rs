use anyhow::{Result, ensure};
use mainstay_client::Client;
use mainstay_client::access::{Access, Permission, Refusal};
use mainstay_client::watch::Seen;
use tonic::Code;

use super::{Site, soon};

async fn etcdctl(site: &Site<'_>, arguments: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::new(site.options.peer("etcdctl")?);
    command.args(site.cluster.command_flags()).args(arguments);
    let output = command.output().await?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A user called `some` with rights below `a/`, and nobody else but root.
async fn ask_for_users(site: &Site<'_>) -> Result<()> {
    for steps in [
        &["user", "add", "root:secret"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "some:thing"],
        &["role", "add", "of-a"],
        &[
            "role",
            "grant-permission",
            "of-a",
            "readwrite",
            "a/",
            "--prefix",
        ],
        &["user", "grant-role", "some", "of-a"],
        &["auth", "enable"],
    ] {
        etcdctl(site, steps).await?;
    }
    Ok(())
}

/// A user's token is fetched, and again when members that were restarted know it no longer; rights
/// that are missing are told by calls and watches.
pub async fn renewal(site: &mut Site<'_>) -> Result<()> {
    let user = |name: &str, password: &str| site.user(name, password);
    // Where nobody is asked, a user may come all the same.
    user("root", "secret")?.put("a/0", "0").await?;
    ask_for_users(site).await?;
    let some = user("some", "thing")?;
    let mut watch = some.watch("a/").prefix().await?;
    let lease = some.lease(std::time::Duration::from_secs(5)).await?;
    some.put("a/1", "1").lease(lease.id()).await?;
    let code = |error: mainstay_client::Error| error.code();
    let denied = some.put("b/1", "1").await.err().and_then(code);
    ensure!(denied == Some(Code::PermissionDenied), "{denied:?}");
    let wrong = user("some", "other")?.get("a/1").await.err().and_then(code);
    ensure!(wrong == Some(Code::InvalidArgument), "{wrong:?}");
    let nobody = site.client()?.get("a/1").await.err().and_then(code);
    ensure!(nobody == Some(Code::InvalidArgument), "{nobody:?}");
    let unseen = match some.watch("b/").prefix().await {
        Ok(mut watch) => match soon("a refusal", watch.next()).await? {
            Some(Err(error)) => error.code(),
            other => anyhow::bail!("a watch that is not allowed: {other:?}"),
        },
        Err(error) => error.code(),
    };
    ensure!(unseen == Some(Code::PermissionDenied), "{unseen:?}");

    for peer in &mut site.cluster.peers {
        peer.kill().await?;
    }
    for peer in &mut site.cluster.peers {
        peer.restart()?;
    }
    site.cluster.ready().await?;
    let after = soon("a write with a new token", async {
        loop {
            match some.put("a/2", "2").await {
                Err(error) if error.may_have_happened() => {}
                other => return other,
            }
        }
    });
    let after = after.await??;
    let mut seen = 0;
    while seen < after.revision {
        match soon("events after the restart", watch.next())
            .await?
            .transpose()?
        {
            Some(Seen::Events { revision, .. } | Seen::Progress { revision }) => seen = revision,
            None => anyhow::bail!("the watch has ended"),
        }
    }
    ensure!(lease.is_held() && some.get("a/1").await?.count == 1);
    Ok(())
}

/// An error unless something was refused for this reason.
fn refused<T: std::fmt::Debug>(
    what: &str,
    answer: Result<T, mainstay_client::Error>,
    reason: Refusal,
) -> Result<()> {
    match answer {
        Err(error) if error.refusal() == Some(reason) => Ok(()),
        other => anyhow::bail!("{what}: {other:?} instead of {reason:?}"),
    }
}

/// Users, roles and permissions are made, read, changed and deleted; what cannot be is told apart.
pub async fn access(site: &mut Site<'_>) -> Result<()> {
    let anybody = site.client()?;
    let access = anybody.access();
    let before = access.status().await?;
    ensure!(!before.enabled, "{before:?}");
    roles(&access).await?;
    let after = access.status().await?;
    ensure!(after.revision > before.revision, "{before:?} {after:?}");
    refused("no root", access.enable().await, Refusal::RootUserMissing)?;
    access.add_user("root", "secret").await?;
    let long = "p".repeat(73);
    let added = access.add_user("long", &long).await;
    refused("a long password", added, Refusal::PasswordTooLong)?;
    let changed = access.change_password("root", &long).await;
    refused("a long password", changed, Refusal::PasswordTooLong)?;
    refused("no role", access.enable().await, Refusal::RootRoleMissing)?;
    access.add_role("root").await?;
    access.grant_role("root", "root").await?;
    let off = access.is_password("root", "secret").await;
    refused("a log-in", off, Refusal::AuthNotEnabled)?;
    access.enable().await?;
    let told = etcdctl_told(site, &["--user=root:secret", "role", "get", "orders"]).await?;
    ensure!(told.contains("[orders/, orders0)"), "{told}");
    let root = site.user("root", "secret")?;
    users(site, &root).await?;
    let access = root.access();
    ensure!(access.status().await?.enabled);
    access.disable().await?;
    ensure!(!anybody.access().status().await?.enabled);
    Ok(())
}

async fn etcdctl_told(site: &Site<'_>, arguments: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(site.options.peer("etcdctl")?);
    command.args(site.cluster.command_flags()).args(arguments);
    Ok(String::from_utf8_lossy(&command.output().await?.stdout).into_owned())
}

async fn roles(access: &Access) -> Result<()> {
    access.add_role("orders").await?;
    let twice = access.add_role("orders").await;
    refused("a role twice", twice, Refusal::RoleExists)?;
    refused("no name", access.add_role("").await, Refusal::NameEmpty)?;
    let prefix = Permission::read().prefix("orders/");
    access.grant_permission("orders", prefix.clone()).await?;
    let wider = Permission::read_write().prefix("orders/");
    let mut wanted = vec![
        wider.clone(),
        Permission::write().key("log"),
        Permission::read().range("a", "c"),
        Permission::read().onwards("z"),
    ];
    for permission in &wanted {
        // The first takes the place of what is there.
        access
            .grant_permission("orders", permission.clone())
            .await?;
    }
    let mut found = access.role("orders").await?.unwrap_or_default();
    found.sort();
    wanted.sort();
    ensure!(found == wanted, "{found:?}");
    let empty = access.grant_permission("orders", Permission::read().range("c", "a"));
    refused("no key", empty.await, Refusal::InvalidManagement)?;
    let nowhere = access.grant_permission("nobody", wider.clone()).await;
    refused("no role", nowhere, Refusal::RoleMissing)?;
    let log = Permission::read().key("log");
    access.revoke_permission("orders", &log).await?;
    let twice = access.revoke_permission("orders", &log).await;
    refused("taken twice", twice, Refusal::PermissionNotGranted)?;
    ensure!(access.role("nobody").await?.is_none());
    access.add_role("passing").await?;
    access.delete_role("passing").await?;
    let twice = access.delete_role("passing").await;
    refused("deleted twice", twice, Refusal::RoleMissing)?;
    ensure!(access.roles().await? == ["orders"]);
    access.add_role("every-key").await?;
    access
        .grant_permission("every-key", Permission::read())
        .await?;
    let every = access.role("every-key").await?;
    ensure!(every == Some(vec![Permission::read()]), "{every:?}");
    Ok(())
}

async fn users(site: &Site<'_>, root: &Client) -> Result<()> {
    let access = root.access();
    access.add_user("shop", "first").await?;
    let twice = access.add_user("shop", "first").await;
    refused("a user twice", twice, Refusal::UserExists)?;
    access.add_user_without_password("cert").await?;
    ensure!(access.users().await? == ["cert", "root", "shop"]);
    let missing = access.grant_role("shop", "nothing").await;
    refused("no role", missing, Refusal::RoleMissing)?;
    let nobody = access.grant_role("nobody", "orders").await;
    refused("no user", nobody, Refusal::UserMissing)?;
    access.grant_role("shop", "orders").await?;
    access.grant_role("shop", "orders").await?;
    ensure!(access.user("shop").await?.as_deref() == Some(&["orders".to_owned()][..]));
    ensure!(access.user("nobody").await?.is_none());

    let shop = site.user("shop", "first")?;
    shop.put("orders/1", "one").await?;
    refused("a key", shop.put("b", "1").await, Refusal::PermissionDenied)?;
    let own = shop.access().user("shop").await?;
    ensure!(own.is_some_and(|roles| roles == ["orders"]));
    let more = shop.access().add_user("other", "x").await;
    refused("a user's user", more, Refusal::PermissionDenied)?;

    for (name, password, good) in [
        ("shop", "first", true),
        ("shop", "second", false),
        ("nobody", "first", false),
        ("cert", "first", false),
    ] {
        let is = access.is_password(name, password).await?;
        ensure!(is == good, "{name} by {password}: {is}");
    }
    access.change_password("shop", "second").await?;
    ensure!(access.is_password("shop", "second").await?);
    ensure!(!access.is_password("shop", "first").await?);
    access.change_password("cert", "second").await?;
    ensure!(!access.is_password("cert", "second").await?);
    let nobody = access.change_password("nobody", "x").await;
    refused("no user", nobody, Refusal::UserMissing)?;

    access.revoke_role("shop", "orders").await?;
    let twice = access.revoke_role("shop", "orders").await;
    refused("taken twice", twice, Refusal::RoleNotGranted)?;
    access.delete_user("shop").await?;
    let twice = access.delete_user("shop").await;
    refused("deleted twice", twice, Refusal::UserMissing)?;
    let root = access.delete_user("root").await;
    refused("root deleted", root, Refusal::InvalidManagement)
}
