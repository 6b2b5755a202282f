use anyhow::{Result, ensure};
use mainstay_client::Client;
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
    let endpoints: Vec<String> = site
        .cluster
        .peers
        .iter()
        .map(|peer| peer.client_url())
        .collect();
    let user = |name: &str, password: &str| {
        let builder = Client::builder().endpoints(endpoints.clone());
        builder.user(name, password).build()
    };
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
