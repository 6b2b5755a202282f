use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mainstay_client::controller::{Action, Controller, Post};
use mainstay_client::resource::{Json, Object, Resource, Resources};
use mainstay_client::{Client, Error};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Site, put_surely, soon};

const FINALIZER: &str = "copies";

/// So many copies of a word are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wanted {
    word: String,
    copies: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    copies: usize,
}

impl Resource for Wanted {
    const KIND: &'static str = "test/wanted";
    type Status = Made;
    type Format = Json;
}

/// One copy; its name begins with its owner's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Copy(String);

impl Resource for Copy {
    const KIND: &'static str = "test/copies";
    type Status = ();
    type Format = Json;
}

struct Workshop {
    client: Client,
    wanted: Resources<Wanted>,
    copies: Resources<Copy>,
}

/// Makes the copies that are missing, takes away the others.
async fn reconcile(object: Arc<Object<Wanted>>, context: Arc<Workshop>) -> Result<Action, Error> {
    let prefix = format!("{}/{}.", Copy::KIND, object.name);
    let there = context.client.get(&prefix).prefix().await?;
    let there: BTreeSet<String> = there
        .kvs
        .iter()
        .filter_map(|kv| {
            Some(
                String::from_utf8_lossy(&kv.key)
                    .split_once("es/")?
                    .1
                    .to_owned(),
            )
        })
        .collect();
    let count = match object.is_being_deleted() {
        true => 0,
        false => object.spec.copies,
    };
    let wanted: BTreeSet<String> = (0..count)
        .map(|at| format!("{}.{at}", object.name))
        .collect();
    if !object.is_being_deleted() {
        context.wanted.hold(&object, FINALIZER).await?;
    }
    for name in &wanted {
        // A copy that says another word is put right as well.
        let copy = context.copies.get(name).await?;
        if copy.is_none_or(|copy| copy.spec.0 != object.spec.word) {
            context
                .copies
                .put(name, &Copy(object.spec.word.clone()))
                .await?;
        }
    }
    for name in there.difference(&wanted) {
        context.copies.delete(name).await?;
    }
    match object.is_being_deleted() {
        true => context.wanted.release(&object, FINALIZER).await?,
        false => context.wanted.tell(&object, Made { copies: count }).await?,
    }
    Ok(Action::AwaitChange)
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

fn start(client: &Client, post: Option<Post>) -> Running {
    let context = Arc::new(Workshop {
        client: client.clone(),
        wanted: client.resources(),
        copies: client.resources(),
    });
    let (stop, stopped) = oneshot::channel();
    let owner = |copy: &Object<Copy>| Some(copy.name.split_once('.')?.0.to_owned());
    let controller = Controller::new(context.wanted.clone()).owns(&context.copies, owner);
    let controller = controller.until(async {
        let _ = stopped.await;
    });
    let controller = match post {
        Some(post) => controller.leading(post),
        None => controller,
    };
    let ended = tokio::spawn(async move {
        let again = |_, _: &Error, _| Action::BackOff;
        controller.run(reconcile, again, context).await
    });
    Running { stop, ended }
}

/// Waits until so many copies say the word, and nothing else is there.
async fn converged(client: &Client, name: &str, word: &str, count: usize) -> Result<()> {
    let looked = async {
        loop {
            let prefix = format!("{}/{name}.", Copy::KIND);
            let found = client.get(prefix).prefix().await?;
            let right = found
                .kvs
                .iter()
                .filter(|kv| kv.value == format!("{word:?}"));
            if found.kvs.len() == count && right.count() == count {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(&format!("{count} copies of {word}"), looked).await?
}

/// What is wanted comes, whatever etcdctl does to either side; and goes with its owner.
pub async fn life(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    let wanted: Resources<Wanted> = client.resources();
    let running = start(&client, None);
    let spec = Wanted {
        word: "yes".into(),
        copies: 3,
    };
    wanted.create("a", &spec).await?;
    ensure!(matches!(
        wanted.create("a", &spec).await,
        Err(Error::Conflict { .. })
    ));
    converged(&client, "a", "yes", 3).await?;
    // Drift, both ways.
    client.delete("test/copies/a.1").await?;
    client.put("test/copies/a.9", "\"no\"").await?;
    client.put("test/copies/a.2", "\"no\"").await?;
    converged(&client, "a", "yes", 3).await?;
    client
        .put("test/wanted/a", r#"{"word":"more","copies":5}"#)
        .await?;
    converged(&client, "a", "more", 5).await?;
    let told = async {
        loop {
            let object = wanted.get("a").await?.context("it is there")?;
            if object.is_observed() {
                return anyhow::Ok(object);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let object = soon("the status", told).await??;
    ensure!(object.status == Some(Made { copies: 5 }));
    let mut stale = object.clone();
    stale.generation -= 1;
    ensure!(matches!(
        wanted.replace(&stale, &spec).await,
        Err(Error::Conflict { .. })
    ));

    // What cannot be read harms no other; and a controller that was away finds what was deleted.
    client.put("test/wanted/bad", "not JSON").await?;
    wanted.put("b", &spec).await?;
    converged(&client, "b", "yes", 3).await?;
    running.stop.send(()).ok().context("it runs")?;
    soon("the stop", running.ended).await???;
    client.delete("test/wanted/a").await?;
    client.delete("test/wanted/bad").await?;
    ensure!(
        wanted
            .get("a")
            .await?
            .is_some_and(|object| object.is_being_deleted())
    );
    let running = start(&client, None);
    converged(&client, "a", "more", 0).await?;
    wanted.delete("b").await?;
    converged(&client, "b", "yes", 0).await?;
    let empty = async {
        while client.get("test/").prefix().await?.count > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    soon("nothing left behind", empty).await??;
    running.stop.send(()).ok().context("it runs")?;
    soon("the stop", running.ended).await??.map_err(Into::into)
}

/// One of two replicas reconciles; the other follows when it stops, dies, or loses its lease.
pub async fn replicas(site: &mut Site<'_>) -> Result<()> {
    let client = site.client()?;
    // Outlives the choice of a new leader of the store, also on a machine that is busy.
    let ttl = Duration::from_secs(10);
    let post = |name: &str| Post::new(&client, "test/post", name, ttl);
    let leads = async |name: &str| {
        let looked = async {
            loop {
                let leader = client.election("test/post").leader().await?;
                if leader.is_some_and(|leader| leader.value == name) {
                    return Ok::<_, Error>(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(&format!("{name} to lead"), looked).await
    };
    let first = start(&client, Some(post("first")));
    leads("first").await??;
    let second = start(&client, Some(post("second")));
    put_surely(&client, "test/wanted/a", r#"{"word":"one","copies":2}"#).await?;
    converged(&client, "a", "one", 2).await?;
    // It dies without a word.
    first.ended.abort();
    leads("second").await??;
    put_surely(&client, "test/wanted/a", r#"{"word":"two","copies":2}"#).await?;
    converged(&client, "a", "two", 2).await?;
    let third = start(&client, Some(post("third")));
    for member in 0..3 {
        site.cluster.peers[member].kill().await?;
        site.cluster.peers[member].restart()?;
        site.cluster.ready().await?;
    }
    put_surely(&client, "test/wanted/a", r#"{"word":"three","copies":2}"#).await?;
    converged(&client, "a", "three", 2).await?;
    second.stop.send(()).ok().context("it runs")?;
    soon("the stop", second.ended).await???;
    leads("third").await??;
    put_surely(&client, "test/wanted/a", r#"{"word":"four","copies":2}"#).await?;
    converged(&client, "a", "four", 2).await?;
    // Whoever loses its lease stops at once.
    let leader = client
        .election("test/post")
        .leader()
        .await?
        .context("third leads")?;
    let mut etcdctl = tokio::process::Command::new(site.options.peer("etcdctl")?);
    etcdctl.args(site.cluster.command_flags());
    etcdctl.args(["lease", "revoke", &format!("{:x}", leader.lease)]);
    ensure!(etcdctl.output().await?.status.success());
    let lost = soon("the end of who lost it", third.ended).await??;
    ensure!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    Ok(())
}
