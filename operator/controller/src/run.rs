//! Wiring: the API server, the Lease, the probes, the controllers, and an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use mainstay_operator_act::render::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::lease::{Contender, Leadership};
use crate::metrics::Metrics;
use crate::options::{self, Run};
use crate::probes::{self, State};
use crate::roles::Roles;
use crate::{access, backups, clusters, keysets};

/// Work that is under way when the process is to end may take this long.
const GRACE: Duration = Duration::from_secs(25);

/// Resolves with the name of the first signal that asks the process to end.
type Signal = Shared<BoxFuture<'static, &'static str>>;

/// Runs until a signal, or until the Lease is lost. An error ends the process with code 1.
pub async fn run(options: Run) -> Result<()> {
    let config = config(&options).await?;
    let namespace = options.lease_namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the API server's address or CA is unusable")?;
    let identity = options.identity.clone().unwrap_or_else(host_name);
    let (contender, mut leadership) = Contender::new(
        client.clone(),
        &namespace,
        &options.lease_name,
        identity.clone(),
    );
    let state = Arc::new(State {
        metrics: Arc::new(Metrics::default()),
        ready: AtomicBool::new(false),
        leadership: leadership.clone(),
    });
    probes::serve(options.listen, state.clone())
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let version = client.apiserver_version().await;
    let version = version.context("the API server does not answer")?;
    state.ready.store(true, Ordering::Relaxed);
    tracing::info!(
        kubernetes = version.git_version,
        identity,
        "waiting for the lease"
    );

    let (stop, stopping) = watch::channel(false);
    let lease = tokio::spawn(contender.run(until(stopping.clone())));
    let signal: Signal = signalled().boxed().shared();
    let ended = tokio::select! {
        () = leadership.won() => None,
        name = signal.clone() => Some(name),
    };
    let outcome = match ended {
        Some(name) => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        None => lead(&options, client, &state, &leadership, identity, signal).await,
    };
    stop.send_replace(true);
    // Whoever waits for the Lease need not wait for it to run out.
    let _ = lease.await;
    outcome
}

/// Works for as long as the Lease is held and no signal comes.
async fn lead(
    options: &Run,
    client: Client,
    state: &State,
    leadership: &Leadership,
    identity: String,
    signal: Signal,
) -> Result<()> {
    tracing::info!("this process holds the lease and works");
    let context = Arc::new(Context::new(
        client,
        settings(options),
        leadership.clone(),
        state.metrics.clone(),
        identity,
    ));
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let roles = Roles::new(context.client.clone());
    for scope in scopes(options) {
        let concurrency = options.concurrency;
        tasks.spawn(clusters::run(
            context.clone(),
            scope.clone(),
            concurrency,
            until(stopping.clone()),
        ));
        tasks.spawn(backups::run(
            context.clone(),
            scope.clone(),
            concurrency,
            until(stopping.clone()).shared(),
        ));
        tasks.spawn(keysets::run(
            context.clone(),
            scope.clone(),
            concurrency,
            until(stopping.clone()),
        ));
        tasks.spawn(access::run(
            context.clone(),
            scope.clone(),
            concurrency,
            until(stopping.clone()).shared(),
        ));
        let (roles, pods) = (roles.clone(), context.api(scope.as_deref()));
        let stopping = stopping.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = roles.run(pods) => {}
                () = until(stopping) => {}
            }
        });
    }
    let mut held = leadership.clone();
    let outcome = tokio::select! {
        name = signal => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        () = held.lost() => Err(anyhow::anyhow!("the lease was lost")),
        _ = tasks.join_next() => Err(anyhow::anyhow!("a controller ended by itself")),
    };
    stop.send_replace(true);
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!("work under way did not end in time and is left to the next process");
    }
    outcome
}

async fn config(options: &Run) -> Result<Config> {
    let Some(path) = &options.kubeconfig else {
        let config = Config::infer().await;
        return config.context("neither a service account nor a kubeconfig is there");
    };
    let file =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    config.with_context(|| format!("cannot use {}", path.display()))
}

fn settings(options: &Run) -> Settings {
    let discovered = || {
        let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
        options::domain(&text)
    };
    let domain = options.cluster_domain.clone().or_else(discovered);
    Settings {
        repository: options.server_repository.clone(),
        domain: domain.unwrap_or_else(|| Settings::default().domain),
        operator_image: options.operator_image.clone(),
    }
}

/// Each namespace to look after, or `None` once for all of them.
fn scopes(options: &Run) -> Vec<Option<String>> {
    match options.namespaces.is_empty() {
        true => vec![None],
        false => options.namespaces.iter().cloned().map(Some).collect(),
    }
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn signalled() -> &'static str {
    let (Ok(mut term), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; only SIGKILL ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => format!("mainstay-operator-{}", std::process::id()),
        name => name.to_owned(),
    }
}
