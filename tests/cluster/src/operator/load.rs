//! Clients of one cluster: they write and read through its client Service, with the certificate that
//! the operator has made for people, for as long as the stories go on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use mainstay_chaos::client::Client;
use mainstay_chaos::collector::Collector;
use mainstay_chaos::connection::Connection;
use mainstay_chaos::load::{self, Plan, SharedLeases};
use mainstay_chaos::recorder::Recorder;
use mainstay_chaos::verdict;
use mainstay_model::{History, Outcome, Request};
use mainstay_transport::ClientTls;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::cluster::{Cluster, NAMESPACE};

const CLIENTS: u32 = 4;
/// Longer than a leader takes to be replaced, on a machine that is busy with everything else.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How a client finds out that the pod behind a Service's address is gone: nobody is left to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How often the certificate is read again, as a program does whose Secret is mounted.
const REFRESH: Duration = Duration::from_secs(5);
/// How long the last events may take.
const SETTLE: Duration = Duration::from_secs(60);

/// The newest certificate and what it trusts.
pub type Shown = Arc<Mutex<ClientTls>>;

pub struct Load {
    runtime: Runtime,
    recorder: Arc<Recorder>,
    clients: Vec<JoinHandle<()>>,
    collector: Collector,
    stop: watch::Sender<bool>,
    stop_collector: watch::Sender<bool>,
    refreshing: Arc<AtomicBool>,
    stories: Vec<Story>,
}

/// A time of the run, on the recorder's clock.
struct Story {
    name: &'static str,
    from: u64,
    to: u64,
}

/// What the clients noticed of one story.
#[derive(Debug)]
pub struct Verdict {
    pub story: &'static str,
    pub requests: usize,
    pub refused: usize,
    pub unknown: usize,
    pub longest_gap: Duration,
}

impl Load {
    /// Starts the clients of a cluster that has never been written to: the checkers know all that
    /// is in it.
    pub fn start(cluster: &Cluster) -> Result<Load> {
        let runtime = Runtime::new().context("no runtime for the clients")?;
        let _inside = runtime.enter();
        let service = format!("{}-client", cluster.name);
        let address = cluster.field("service", &service, "{.spec.clusterIP}")?;
        let address: SocketAddr = format!("{address}:2379").parse()?;
        let host = format!("{service}.{NAMESPACE}.svc");
        let shown = Arc::new(Mutex::new(certificate(cluster)?));
        let connection = || connect(&host, address, &shown);
        let recorder = Arc::new(Recorder::default());
        let (stop, _) = watch::channel(false);
        let (stop_collector, _) = watch::channel(false);
        let collector = Collector::spawn(connection()?, stop_collector.subscribe());
        let plan = Plan {
            clients: CLIENTS,
            pause: 20,
            timeout: TIMEOUT,
            watchers: 0,
            leases: false,
            compaction: false,
            padding: 0,
        };
        let mut clients = Vec::new();
        for id in 0..CLIENTS {
            let client = Client::new(id, recorder.clone(), vec![connection()?], TIMEOUT);
            let shared = SharedLeases::default();
            let running = load::run(client, plan, 7, shared, stop.subscribe());
            clients.push(runtime.spawn(running));
        }
        let refreshing = Arc::new(AtomicBool::new(true));
        refresh(cluster, shown, refreshing.clone());
        Ok(Load {
            runtime,
            recorder,
            clients,
            collector,
            stop,
            stop_collector,
            refreshing,
            stories: Vec::new(),
        })
    }

    /// Runs a story and notes its time.
    pub fn during<T>(
        &mut self,
        name: &'static str,
        story: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let from = self.recorder.now();
        let told = story();
        let to = self.recorder.now();
        self.stories.push(Story { name, from, to });
        told
    }

    /// Waits until a write that begins now has been answered.
    pub fn until_written(&self, limit: Duration) -> Result<Duration> {
        let from = self.recorder.revision();
        let since = std::time::Instant::now();
        // Most requests of the load write, so the newest revision seen moves within a moment.
        xtask::process::wait_until("a write is answered", limit, || {
            Ok(self.recorder.revision() > from)
        })?;
        Ok(since.elapsed())
    }

    /// Stops the clients and judges all that they have seen; what each story was for them.
    pub fn finish(self) -> Result<Vec<Verdict>> {
        self.stop.send_replace(true);
        self.refreshing.store(false, Ordering::Relaxed);
        let through = self.collector.through();
        let (runtime, clients) = (self.runtime, self.clients);
        runtime.block_on(async {
            for client in clients {
                client.await.context("a client panicked")?;
            }
            anyhow::Ok(())
        })?;
        let last = self.recorder.revision();
        xtask::process::wait_until("the last event has been told", SETTLE, || {
            Ok(through.load(Ordering::Relaxed) >= last)
        })?;
        self.stop_collector.send_replace(true);
        let end = self.recorder.now();
        let mut history = self.recorder.take();
        history.end = end;
        history
            .members
            .push(runtime.block_on(self.collector.finish())?);
        for check in verdict::judge(&history) {
            if let Some(first) = check.violations.first() {
                bail!(
                    "{}: {} violations, the first: {first}",
                    check.name,
                    check.violations.len()
                );
            }
        }
        let verdicts = self.stories.iter().map(|story| notice(story, &history));
        Ok(verdicts.collect())
    }
}

/// What the history tells of a story. The gap is between two writes that were answered, whichever
/// clients had asked for them.
fn notice(story: &Story, history: &History) -> Verdict {
    let within = |time: u64| (story.from..=story.to).contains(&time);
    let operations = || history.operations.iter().filter(|op| within(op.ret));
    let count =
        |wanted: fn(&Outcome) -> bool| operations().filter(|op| wanted(&op.outcome)).count();
    let mut answered: Vec<u64> = operations()
        .filter(|op| matches!(op.outcome, Outcome::Ok(_)))
        .filter(|op| !matches!(op.request, Request::Range { .. }))
        .map(|op| op.ret)
        .collect();
    answered.extend([story.from, story.to]);
    answered.sort_unstable();
    let gaps = answered.windows(2).map(|pair| pair[1] - pair[0]);
    Verdict {
        story: story.name,
        requests: operations().count(),
        refused: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
        unknown: count(|outcome| matches!(outcome, Outcome::Unknown { .. })),
        longest_gap: Duration::from_nanos(gaps.max().unwrap_or(0)),
    }
}

pub fn certificate(cluster: &Cluster) -> Result<ClientTls> {
    let name = format!("{}-client-tls", cluster.name);
    let [ca, certificate, key] = cluster.credentials(&name)?;
    Ok(ClientTls::from_pem(&ca, (&certificate, &key), &[b"h2"])?)
}

/// Reads the certificate again every few seconds; connections made from then on use it.
fn refresh(cluster: &Cluster, shown: Shown, refreshing: Arc<AtomicBool>) {
    let cluster = Cluster::within(&cluster.kubectl, &cluster.namespace, cluster.name);
    std::thread::spawn(move || {
        while refreshing.load(Ordering::Relaxed) {
            std::thread::sleep(REFRESH);
            // The API server may be busy; the next look comes soon.
            if let Ok(newer) = certificate(&cluster) {
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = newer;
            }
        }
    });
}

pub fn connect(host: &str, address: SocketAddr, shown: &Shown) -> Result<Connection> {
    // The scheme is that of what is inside the connection, which is made below.
    let endpoint = Endpoint::from_shared(format!("http://{host}:2379"))?
        .connect_timeout(KEEP_ALIVE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let (host, shown) = (host.to_owned(), shown.clone());
    let dial = service_fn(move |_| {
        let tls = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let host = host.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let secure = tls.connect(stream, &host).await;
            secure.map(TokioIo::new).map_err(std::io::Error::other)
        }
    });
    let channel: Channel = endpoint.connect_with_connector_lazy(dial);
    Ok(Connection::over(0, channel))
}
