//! Our own client on both products: what it promises must hold with etcd as with the server under
//! test, through kills, lost answers and compactions.

pub mod contending;
pub mod controlling;
pub mod examples;
pub mod fleet;
pub mod keys;
pub mod leases;
pub mod losing;
pub mod partitions;
pub mod reflecting;
pub mod rotating;
pub mod users;
pub mod watching;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_client::{Client, Error};

use crate::cluster::{Cluster, Plan};
use crate::network::Network;
use crate::options::Options;
use xtask::tally::Tally;

/// Longest wait for something that must come.
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Three members of one product.
pub struct Site<'o> {
    pub options: &'o Options,
    pub cluster: Cluster,
}

impl Site<'_> {
    /// A client that knows all members.
    pub fn client(&self) -> Result<Client> {
        let endpoints = self.cluster.peers.iter().map(|peer| peer.client_url());
        Ok(Client::builder().endpoints(endpoints).build()?)
    }

    /// The same as a user.
    pub fn user(&self, name: &str, password: &str) -> Result<Client> {
        let endpoints = self.cluster.peers.iter().map(|peer| peer.client_url());
        let builder = Client::builder().endpoints(endpoints);
        Ok(builder.user(name, password).build()?)
    }

    /// A client that knows one of them.
    pub fn client_of(&self, member: usize) -> Result<Client> {
        let peer = self.cluster.peers.get(member).context("no such member")?;
        Ok(Client::builder().endpoint(peer.client_url()).build()?)
    }
}

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    let waited = tokio::time::timeout(WAIT, work).await;
    waited.with_context(|| format!("{what}: not within {WAIT:?}"))
}

/// Writes until it is written: for keys whose value makes a second write of the same harmless.
pub(crate) async fn put_surely(client: &Client, key: &str, value: &str) -> Result<()> {
    loop {
        match client.put(key, value).await {
            Ok(_) => return Ok(()),
            Err(Error::OutcomeUnknown { .. } | Error::Unreachable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    macro_rules! case {
        ($name:literal, $steps:path, $shape:expr) => {
            for (binary, label) in [
                (options.etcd(), "etcd"),
                (options.subject.clone(), "subject"),
            ] {
                let name = format!("client {} on {label}", $name);
                if options.wants(&name) {
                    let since = Instant::now();
                    let plan = $shape(Plan::new(&binary, label, 3));
                    let done = async {
                        let cluster = Cluster::start(&plan).await?;
                        let mut site = Site { options, cluster };
                        let done = $steps(&mut site).await;
                        match site.cluster.casualty() {
                            Some(died) => bail!("{died}\n{done:?}"),
                            None => done,
                        }
                    };
                    match done.await {
                        Ok(()) => tally.pass(&name, since),
                        Err(error) => tally.fail(&name, &format!("  {error:#}")),
                    }
                }
            }
        };
    }
    let plain = |plan: Plan| plan;
    case!("keys", keys::all, plain);
    case!("namespace", keys::namespace, plain);
    case!("pages", keys::pages, plain);
    case!("lost answers", losing::answers, plain);
    case!("dead members", losing::members, plain);
    case!("leases", leases::all, plain);
    case!("leases a moment old", leases::fresh, plain);
    case!("watch", watching::all, plain);
    case!("watch through kills", watching::kills, plain);
    case!("watch of what is compacted", watching::compacted, plain);
    case!("reflector of 100,000 keys", reflecting::many, plain);
    case!("reflector after a compaction", reflecting::compacted, plain);
    case!(
        "certificates exchanged",
        rotating::authority,
        |plan: Plan| plan.tls(true)
    );
    if !Network::is_possible() {
        println!("needs root, so left out: client members cut off");
    } else {
        case!("members cut off", partitions::silent_members, Plan::network);
    }
    case!("locks", contending::locks, plain);
    case!("elections", contending::elections, plain);
    case!("users", users::renewal, plain);
    case!("access", users::access, plain);
    case!("controller", controlling::life, plain);
    case!("controller of two replicas", controlling::replicas, plain);
    case!("fleet", fleet::heals, plain);
    case!("examples", examples::all, plain);
    case!(
        "examples over TLS, as users",
        examples::users,
        |plan: Plan| plan.tls(true)
    );
    Ok(tally.close())
}
