//! A real API server on loopback with etcd behind it and nothing else: no controller, no node.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use xtask::cluster::{Cluster, Plan};
use xtask::{places, process};

use crate::tools::{self, Answer};

const READY_WAIT: Duration = Duration::from_secs(120);
const TOKEN: &str = "charts-suite";
/// Apart from the ports of the other suites, which may run at the same time.
const PORTS: std::ops::Range<u16> = 25_000..25_900;

/// A running API server. Dropping it ends it, and etcd after it.
#[derive(Debug)]
pub struct Kubernetes {
    kubeconfig: PathBuf,
    port: u16,
    kubectl: PathBuf,
    server: Child,
    _datastore: Cluster,
    folder: TempDir,
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Kubernetes {
    pub fn start() -> Result<Kubernetes> {
        let folder = tempfile::Builder::new()
            .prefix("mainstay-charts-")
            .tempdir()?;
        let mut datastore = Cluster::start(&Plan {
            program: places::peers()?.join("etcd"),
            folder: folder.path().join("etcd"),
            ports: vec![(free_port()?, free_port()?)],
            token: "charts".into(),
            secure: false,
            flags: Vec::new(),
        })?;
        datastore.wait_until_serving(READY_WAIT)?;
        let key = folder.path().join("sa.key");
        tools::output(
            Command::new("openssl")
                .args(["genrsa", "-out"])
                .arg(&key)
                .arg("2048"),
        )?;
        let tokens = format!("{TOKEN},admin,admin,\"system:masters\"\n");
        std::fs::write(folder.path().join("tokens.csv"), tokens)?;
        let port = free_port()?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(port, TOKEN, "default"))?;
        let endpoint = datastore
            .endpoints()
            .pop()
            .context("etcd has no endpoint")?;
        let server = api_server(&folder, port, &endpoint)?;
        let mut kubernetes = Kubernetes {
            kubeconfig,
            port,
            kubectl: places::peers()?.join("kubectl"),
            server,
            _datastore: datastore,
            folder,
        };
        kubernetes.wait()?;
        Ok(kubernetes)
    }

    fn wait(&mut self) -> Result<()> {
        let (kubectl, kubeconfig) = (self.kubectl.clone(), self.kubeconfig.clone());
        let (server, log) = (&mut self.server, self.folder.path().join("apiserver.log"));
        let ready = process::wait_until("the API server is ready", READY_WAIT, || {
            if let Some(status) = server.try_wait()? {
                bail!("the API server ended with {status}");
            }
            let mut command = Command::new(&kubectl);
            command
                .env("KUBECONFIG", &kubeconfig)
                .args(["get", "--raw", "/readyz"]);
            Ok(tools::ask(&mut command, "")?.succeeded)
        });
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        ready.map(drop).with_context(|| tail.join("\n"))
    }

    /// Output of a kubectl command that must succeed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let answer = self.ask(words, "")?;
        if !answer.succeeded {
            bail!("kubectl {}: {}", words.join(" "), answer.complaint);
        }
        Ok(answer.output)
    }

    /// A kubectl command with an input, whatever becomes of it.
    pub fn ask(&self, words: &[&str], input: &str) -> Result<Answer> {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig).args(words);
        tools::ask(&mut command, input)
    }

    /// Asks the API server whether it would take these objects; the warnings it gives are errors.
    /// Objects that name no namespace are tried in the one given.
    pub fn validate(&self, namespace: Option<&str>, objects: &[Value]) -> Result<()> {
        let mut words = vec!["apply", "--server-side", "--dry-run=server"];
        words.extend(["--validate=strict", "-f", "-"]);
        if let Some(namespace) = namespace {
            words.extend(["--namespace", namespace]);
        }
        self.take(&words, objects)
    }

    pub fn apply(&self, namespace: &str, objects: &[Value]) -> Result<()> {
        let words = [
            "apply",
            "--server-side",
            "--namespace",
            namespace,
            "-f",
            "-",
        ];
        self.take(&words, objects)
    }

    fn take(&self, words: &[&str], objects: &[Value]) -> Result<()> {
        let answer = self.ask(words, &list(objects))?;
        if !answer.succeeded || answer.complaint.contains("Warning:") {
            bail!("{}", answer.complaint);
        }
        Ok(())
    }

    /// Why the API server does not take an object.
    pub fn refusal(&self, namespace: &str, object: &Value) -> Result<String> {
        let words = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--namespace",
            namespace,
            "-f",
            "-",
        ];
        let answer = self.ask(&words, &list(std::slice::from_ref(object)))?;
        if answer.succeeded {
            bail!("the API server takes {object}");
        }
        Ok(answer.complaint)
    }

    /// A kubeconfig for somebody else, whose own namespace is the one given.
    pub fn kubeconfig_of(&self, token: &str, namespace: &str) -> String {
        kubeconfig_for(self.port, token, namespace)
    }

    /// helm against this server.
    pub fn helm(&self, helm: &crate::helm::Helm, words: &[&str]) -> Result<String> {
        let mut command = helm.command();
        command.env("KUBECONFIG", &self.kubeconfig);
        // Its cache of what the server knows belongs to this run.
        command.env("HOME", self.folder.path());
        tools::output(command.args(words))
    }
}

/// JSON is YAML too.
fn list(objects: &[Value]) -> String {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn api_server(folder: &TempDir, port: u16, endpoint: &str) -> Result<Child> {
    let within = |name: &str| folder.path().join(name).display().to_string();
    let log = File::create(folder.path().join("apiserver.log"))?;
    let flags = [
        format!("--etcd-servers=http://{endpoint}"),
        format!("--cert-dir={}", within("certs")),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        format!("--token-auth-file={}", within("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default".into(),
        format!("--service-account-signing-key-file={}", within("sa.key")),
        format!("--service-account-key-file={}", within("sa.key")),
        // There are no controllers that would make service accounts and endpoints.
        "--disable-admission-plugins=ServiceAccount".into(),
        "--endpoint-reconciler-type=none".into(),
    ];
    Command::new(places::peers()?.join("kube-apiserver"))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot run kube-apiserver")
}

fn kubeconfig_for(port: u16, token: &str, namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: charts\n\
         clusters: [{{name: charts, cluster: {{server: \"https://127.0.0.1:{port}\", \
         insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: charts, user: {{token: {token}}}}}]\n\
         contexts: [{{name: charts, context: {{cluster: charts, user: charts, namespace: {namespace}}}}}]\n"
    )
}

/// A port that nobody listens on. Each process begins elsewhere, so that two do not meet.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(count))?;
    for _ in 0..count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (first + step % count) % count;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {PORTS:?}")
}
