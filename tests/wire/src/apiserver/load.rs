use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::control_plane::ControlPlane;
use crate::plain_http::{call, send};

pub const NAMESPACE: &str = "load";
/// Creates under way at a time.
const WORKERS: usize = 16;
/// How long one object may take, retries over a change of leader included.
const CREATE_WAIT: Duration = Duration::from_secs(90);
const RETRY: Duration = Duration::from_millis(100);
/// Objects of one page of a list.
const PAGE: usize = 500;

/// ConfigMaps that are being created in parallel, each until the API server acknowledges it.
#[derive(Debug)]
pub struct Load {
    /// Name and value of each acknowledged object.
    acknowledged: Arc<Mutex<BTreeMap<String, String>>>,
    workers: Mutex<JoinSet<Result<()>>>,
}

impl Load {
    pub async fn start(plane: &ControlPlane, objects: usize) -> Result<Self> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE}});
        let made = send(
            plane.port,
            "POST",
            "/api/v1/namespaces",
            &namespace.to_string(),
        )
        .await?;
        if made.status != 201 {
            bail!("namespace: {} {}", made.status, made.body);
        }
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let (acknowledged, next, port) = (acknowledged.clone(), next.clone(), plane.port);
            workers.spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= objects {
                        return Ok(());
                    }
                    let (name, value) = (format!("object-{at:06}"), format!("value-{at}"));
                    create(port, &name, &value).await?;
                    acknowledged.lock().insert(name, value);
                }
            });
        }
        Ok(Self {
            acknowledged,
            workers: Mutex::new(workers),
        })
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().len()
    }

    /// Waits until so many objects are acknowledged.
    pub async fn until(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.count() < count {
            if Instant::now() > deadline {
                bail!("{} of {count} objects created", self.count());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits for one more than can have been on their way already.
    pub async fn another(&self) -> Result<()> {
        self.until(self.count() + WORKERS + 1).await
    }

    /// Waits for all workers; every acknowledged name with its value.
    pub async fn finish(self) -> Result<BTreeMap<String, String>> {
        let mut workers = self.workers.into_inner();
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(self.acknowledged.lock().clone())
    }
}

/// Creates one object. A failure while the store changes its leader leaves the outcome open, so
/// that a later "already exists" may be this attempt's own success.
async fn create(port: u16, name: &str, value: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name}, "data": {"x": value}});
    let deadline = Instant::now() + CREATE_WAIT;
    let mut in_doubt = false;
    loop {
        let told = match send(port, "POST", &path, &object.to_string()).await {
            Ok(answer) if answer.status == 201 => return Ok(()),
            Ok(answer) if answer.status == 409 && in_doubt => return Ok(()),
            Ok(answer) if answer.status < 500 && answer.status != 429 => {
                bail!("{name}: {} {}", answer.status, answer.body)
            }
            Ok(answer) => format!("{} {}", answer.status, answer.body),
            Err(error) => format!("{error:#}"),
        };
        in_doubt = true;
        if Instant::now() > deadline {
            bail!("{name} not created within {CREATE_WAIT:?}: {told}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Name and value of every object, read from the store by pages.
pub async fn list(plane: &ControlPlane) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut rest = String::new();
    loop {
        let path =
            format!("/api/v1/namespaces/{NAMESPACE}/configmaps?limit={PAGE}&continue={rest}");
        let answer = call(plane.port, "GET", &path).await?;
        if answer.status != 200 {
            bail!("{path}: {} {}", answer.status, answer.body);
        }
        let page: Value = serde_json::from_str(&answer.body)?;
        for item in page["items"].as_array().context("a list without items")? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            found.insert(text(&item["metadata"]["name"]), text(&item["data"]["x"]));
        }
        match page["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut rest),
            _ => return Ok(found),
        }
    }
}
