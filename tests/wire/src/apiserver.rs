pub mod control_plane;
pub mod kubectl;
pub mod load;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mainstay_proto::etcdserverpb as pb;

use crate::cluster::{Cluster, Plan};
use crate::options::Options;
use crate::target::Target;
use control_plane::ControlPlane;
use xtask::tally::Tally;

/// How long the API server may be unready after the leading member was killed.
const RECOVERY_WAIT: Duration = Duration::from_secs(60);
/// Lists whose way through the cache is counted.
const LISTS: u64 = 20;

/// What else the manifest that kubeadm writes for etcd passes, beside names, URLs and certificates.
const KUBEADM: [&str; 3] = [
    "--feature-gates=InitialCorruptCheck=true",
    "--snapshot-count=10000",
    "--watch-progress-notify-interval=5s",
];

/// kube-apiserver with three members of the server under test as its only datastore: over TLS with
/// client certificates, members started with kubeadm's flags, or without either.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let since = Instant::now();
    let mut plan = Plan::new(options.subject(), "subject", 3).tls(options.tls);
    if options.tls {
        plan = KUBEADM.iter().fold(plan, |plan, flag| plan.flag(*flag));
        plan.metrics = true;
    }
    let mut cluster = Cluster::start(&plan).await?;
    let plane = ControlPlane::start(options, &cluster).await?;
    tally.pass("apiserver becomes ready", since);

    let since = Instant::now();
    report(
        &mut tally,
        "apiserver and kubectl",
        since,
        kubectl::run(&plane).await,
    );
    let since = Instant::now();
    report(
        &mut tally,
        "apiserver lists consistently from its cache",
        since,
        lists(&plane).await,
    );
    let since = Instant::now();
    let name = format!(
        "apiserver creates {} ConfigMaps over a SIGKILL",
        options.objects
    );
    let survived = survive(&mut cluster, &plane, options.objects).await;
    report(&mut tally, &name, since, survived);
    let since = Instant::now();
    let name = "apiserver lists consistently from its cache afterwards";
    report(&mut tally, name, since, lists(&plane).await);
    let since = Instant::now();
    report(
        &mut tally,
        "members hold the same data",
        since,
        equal_members(&mut cluster).await,
    );
    if options.tls {
        let since = Instant::now();
        let name = "kubeadm's probes answer on the metrics port";
        report(&mut tally, name, since, probes(&cluster).await);
    }
    if let Some(told) = cluster.casualty() {
        tally.fail("members still run", &told);
    }
    drop(plane);
    Ok(tally.close())
}

fn report(tally: &mut Tally, name: &str, since: Instant, result: Result<()>) {
    match result {
        Ok(()) => tally.pass(name, since),
        Err(error) => tally.fail(name, &format!("  {error:#}")),
    }
}

/// Liveness, and readiness, which is also how kubeadm looks at the start.
async fn probes(cluster: &Cluster) -> Result<()> {
    for port in &cluster.metrics {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = crate::plain_http::call(*port, "GET", path).await?;
            if answer.status != 200 {
                bail!("{path}: {} {}", answer.status, answer.body);
            }
        }
    }
    Ok(())
}

/// Lists without a resource version must be answered from the watch cache at a revision asked from
/// the store. Were the store too old for that, the API server would quietly list from it instead.
async fn lists(plane: &ControlPlane) -> Result<()> {
    const CACHED: &str = "apiserver_watch_cache_consistent_read_total{fallback=\"false\",\
                          group=\"\",resource=\"configmaps\",success=\"true\"}";
    const FALLBACK: &str = "apiserver_watch_cache_consistent_read_total{fallback=\"true\",\
                            group=\"\",resource=\"configmaps\",success=\"true\"}";
    const FROM_STORE: &str =
        "etcd_requests_total{group=\"\",operation=\"list\",resource=\"configmaps\"}";
    // The cache of this resource starts with the first list.
    plane.get("/api/v1/namespaces/default/configmaps").await?;
    let before = plane.metrics().await?;
    for _ in 0..LISTS {
        plane.get("/api/v1/namespaces/default/configmaps").await?;
    }
    let after = plane.metrics().await?;
    let grown = |name: &str| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    let told = [grown(CACHED), grown(FALLBACK), grown(FROM_STORE)];
    if told[0] < LISTS || told[1] != 0 || told[2] != 0 {
        bail!(
            "of {LISTS} lists: {} from the cache, {} fell back, {} from the store",
            told[0],
            told[1],
            told[2]
        );
    }
    Ok(())
}

/// Creates objects, kills the leading member a third of the way, and looks for every object that
/// was acknowledged.
async fn survive(cluster: &mut Cluster, plane: &ControlPlane, objects: usize) -> Result<()> {
    let target = Target::open(cluster).await?;
    let leader = target
        .ids
        .lock()
        .members
        .first()
        .map(|member| member.1.clone());
    let leader = leader.context("no member")?;
    let at = cluster
        .peers
        .iter()
        .position(|peer| peer.name == leader)
        .context("no leader")?;
    let load = load::Load::start(plane, objects).await?;
    load.until(objects / 3).await?;
    cluster.peers[at].kill().await?;
    let killed = Instant::now();
    load.another()
        .await
        .context("after the kill nothing more was created")?;
    println!(
        "      first create after the kill: {:.1} s",
        killed.elapsed().as_secs_f64()
    );
    let acknowledged = load.finish().await?;
    while plane.ready().await.is_err() {
        if killed.elapsed() > RECOVERY_WAIT {
            bail!("the API server is not ready {RECOVERY_WAIT:?} after the kill");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let found = load::list(plane).await?;
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|(name, value)| found.get(*name) != Some(value))
        .map(|x| x.0)
        .collect();
    if !lost.is_empty() {
        bail!(
            "{} acknowledged objects are lost or altered, first {:?}",
            lost.len(),
            lost.first()
        );
    }
    if acknowledged.len() != objects || found.len() != objects {
        bail!(
            "{} acknowledged and {} listed of {objects}",
            acknowledged.len(),
            found.len()
        );
    }
    kubectl::count(plane, load::NAMESPACE, objects).await?;
    cluster.peers[at].restart()?;
    cluster.ready().await
}

/// The hash of one revision on all three members.
async fn equal_members(cluster: &mut Cluster) -> Result<()> {
    cluster.ready().await?;
    let target = Target::open(cluster).await?;
    let mut revision = 0;
    let mut hashes = Vec::new();
    for member in 0..cluster.peers.len() {
        target.barrier(member).await;
        let request = pb::HashKvRequest { revision };
        let answer = target
            .at(member)
            .maintenance
            .clone()
            .hash_kv(request)
            .await?
            .into_inner();
        revision = answer.hash_revision;
        hashes.push((answer.hash, answer.compact_revision, answer.hash_revision));
    }
    hashes.dedup();
    if hashes.len() != 1 {
        bail!("members differ: {hashes:?}");
    }
    Ok(())
}
