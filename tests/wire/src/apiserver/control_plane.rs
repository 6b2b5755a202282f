use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cluster::Cluster;
use crate::options::Options;
use crate::plain_http::{Answer, call};
use crate::ports::free_port;

const READY_WAIT: Duration = Duration::from_secs(120);
const TOKEN: &str = "wire-suite";

/// A running kube-apiserver, and `kubectl proxy` in front of it, which does TLS and the token.
#[derive(Debug)]
pub struct ControlPlane {
    pub kubectl: PathBuf,
    pub kubeconfig: PathBuf,
    /// Port of the proxy: plain HTTP on loopback.
    pub port: u16,
    dir: TempDir,
    _server: Child,
    _proxy: Child,
}

impl ControlPlane {
    /// Starts both and waits until the API server is ready.
    pub async fn start(options: &Options, cluster: &Cluster) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("mainstay-apiserver-")
            .tempdir()?;
        let (secure, port) = (free_port()?, free_port()?);
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(secure))?;
        let tokens = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        std::fs::write(dir.path().join("tokens.csv"), tokens)?;
        let key = dir.path().join("sa.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key)
            .arg("2048")
            .stderr(Stdio::null())
            .status();
        if !made.await.context("openssl is needed for a key")?.success() {
            bail!("openssl made no key");
        }
        let server = Self::server(options, cluster, &dir, secure)?;
        let kubectl = options.peer("kubectl")?;
        let log = File::create(dir.path().join("proxy.log"))?;
        let proxy = Command::new(&kubectl)
            .arg("proxy")
            .arg(format!("--port={port}"))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let plane = Self {
            kubectl,
            kubeconfig,
            port,
            dir,
            _server: server,
            _proxy: proxy,
        };
        plane.wait().await?;
        Ok(plane)
    }

    fn server(options: &Options, cluster: &Cluster, dir: &TempDir, port: u16) -> Result<Child> {
        let within = |name: &str| dir.path().join(name).display().to_string();
        let log = File::create(dir.path().join("apiserver.log"))?;
        let mut command = Command::new(options.peer("kube-apiserver")?);
        if let Some(secure) = &cluster.secure {
            command
                .arg(format!("--etcd-cafile={}", secure.ca.display()))
                .arg(format!("--etcd-certfile={}", secure.client.cert.display()))
                .arg(format!("--etcd-keyfile={}", secure.client.key.display()));
        }
        let child = command
            .arg(format!("--etcd-servers={}", cluster.endpoints()))
            .arg(format!("--cert-dir={}", within("certs")))
            .arg(format!("--secure-port={port}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg("--service-cluster-ip-range=10.96.0.0/16")
            .arg(format!("--token-auth-file={}", within("tokens.csv")))
            .arg("--authorization-mode=RBAC")
            .arg("--service-account-issuer=https://kubernetes.default")
            .arg(format!(
                "--service-account-signing-key-file={}",
                within("sa.key")
            ))
            .arg(format!("--service-account-key-file={}", within("sa.key")))
            // There are no controllers that would make service accounts and endpoints.
            .args([
                "--disable-admission-plugins=ServiceAccount",
                "--endpoint-reconciler-type=none",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        child.context("start kube-apiserver")
    }

    async fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WAIT;
        while let Err(error) = self.ready().await {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.path().join("apiserver.log"));
                let log = log.unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                bail!(
                    "not ready after {READY_WAIT:?}: {error}\n{}",
                    tail.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub async fn ready(&self) -> Result<()> {
        let answer = call(self.port, "GET", "/readyz").await?;
        if answer.status != 200 {
            bail!("/readyz: {} {}", answer.status, answer.body);
        }
        Ok(())
    }

    /// A GET that must succeed.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let answer = call(self.port, "GET", path).await?;
        if answer.status != 200 {
            bail!("{path}: {} {}", answer.status, answer.body);
        }
        Ok(answer)
    }

    /// The API server's own counters.
    pub async fn metrics(&self) -> Result<BTreeMap<String, u64>> {
        let answer = self.get("/metrics").await?;
        let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
        let counters = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse::<f64>().ok()? as u64))
        });
        Ok(counters.collect())
    }
}

fn kubeconfig_for(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: wire\n\
         clusters: [{{name: wire, cluster: {{server: \"https://127.0.0.1:{port}\", \
         insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: wire, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: wire, context: {{cluster: wire, user: wire}}}}]\n"
    )
}
