//! A StatefulSet of two web servers with volumes, a Secret and two Services, and what must work.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::{provisioner, tools};

/// How long anything may take on a node that is up.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Each server answers with its own name, kept in its volume.
const SERVE: &str = "test -e /data/index.html || echo $HOSTNAME > /data/index.html; \
                     echo serving as $HOSTNAME; exec httpd -f -p 8080 -h /data";

pub struct Workload {
    kubectl: Kubectl,
}

impl Workload {
    pub fn new(kubectl: Kubectl) -> Self {
        Self { kubectl }
    }

    /// Two pods with a claim each become ready.
    pub fn start(&self) -> Result<()> {
        let selector = json!({"app": "web"});
        let port = json!([{"name": "http", "port": 8080}]);
        let service = |name: &str, spec: Value| {
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": "default"}, "spec": spec})
        };
        self.kubectl.apply(&[
            json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "word", "namespace": "default"},
                "stringData": {"word": "old"}}),
            service(
                "web",
                json!({"clusterIP": "None", "selector": selector, "ports": port}),
            ),
            service("any", json!({"selector": selector, "ports": port})),
            stateful_set(),
        ])?;
        let ready = [
            "get",
            "statefulset",
            "web",
            "-o=jsonpath={.status.readyReplicas}",
        ];
        let ready = self
            .kubectl
            .until("both pods are ready", LIMIT, &ready, |text| text == "2");
        ready.map(drop).with_context(|| {
            let pods = self.kubectl.run(&["describe", "pods,pvc"]);
            pods.unwrap_or_else(|error| error.to_string())
        })
    }

    /// A pod finds the other by its name, at its address.
    pub fn headless_names(&self) -> Result<()> {
        let address = self.get("pod", "web-1", "{.status.podIP}")?;
        let name = "web-1.web.default.svc.cluster.local";
        // The name server hears of a ready pod a moment later.
        let ask = ["exec", "web-0", "--", "nslookup", name];
        let known = |answer: &str| answer.contains(&address);
        self.kubectl
            .until("the name is known", LIMIT, &ask, known)?;
        if self
            .exec(
                "web-0",
                &["nslookup", "web-7.web.default.svc.cluster.local"],
            )
            .is_ok()
        {
            bail!("a pod that is not there has an address");
        }
        self.page("web-0", "web-1.web:8080", &["web-1"])
    }

    /// A Service leads to either pod: from a pod, also to itself, and from the machine.
    pub fn cluster_ip(&self) -> Result<()> {
        let address = self.get("service", "any", "{.spec.clusterIP}")?;
        let url = format!("http://{address}:8080/");
        // So do the rules of the Service.
        let ask = [
            "exec", "web-0", "--", "timeout", "5", "wget", "-q", "-O", "-", &url,
        ];
        self.kubectl
            .until("the Service answers", LIMIT, &ask, |page| {
                page.starts_with("web-")
            })?;
        for target in [format!("{address}:8080"), "any:8080".into()] {
            for _ in 0..8 {
                self.page("web-0", &target, &["web-0", "web-1"])?;
            }
        }
        let answer = fetch(&["-O", "-", &url])?;
        if !answer.starts_with("web-") {
            bail!("{url} answers this machine with {answer:?}");
        }
        Ok(())
    }

    pub fn exec_and_logs(&self) -> Result<()> {
        let user = self.exec("web-1", &["id", "-u"])?;
        if user.trim() != "65532" {
            bail!("the pod runs as {user}");
        }
        let lines = self.kubectl.run(&["logs", "web-1"])?;
        if !lines.contains("serving as web-1") {
            bail!("the log of web-1 is {lines:?}");
        }
        if self.exec("web-1", &["false"]).is_ok() {
            bail!("the status of a command in a pod is lost");
        }
        Ok(())
    }

    /// A changed Secret appears in the volume of a pod that runs.
    pub fn secret_updated(&self) -> Result<()> {
        let read = ["exec", "web-0", "--", "cat", "/secret/word"];
        self.kubectl
            .until("the Secret is mounted", LIMIT, &read, |text| text == "old")?;
        let patch = r#"{"stringData":{"word":"new"}}"#;
        self.kubectl
            .run(&["patch", "secret", "word", "-p", patch])?;
        let seen = self
            .kubectl
            .until("the Secret changes", LIMIT, &read, |text| text == "new");
        seen.map(drop)
    }

    /// A larger request reaches the claim's status and its volume; a smaller one is refused.
    pub fn claim_grown(&self) -> Result<()> {
        self.request("2Gi")?;
        let told = [
            "get",
            "pvc",
            "data-web-0",
            "-o=jsonpath={.status.capacity.storage}",
        ];
        self.kubectl
            .until("the claim has grown", LIMIT, &told, |text| text == "2Gi")?;
        let volume = self.get("pvc", "data-web-0", "{.spec.volumeName}")?;
        let stored = self.get("pv", &volume, "{.spec.capacity.storage}")?;
        if stored != "2Gi" {
            bail!("the volume {volume} says {stored}");
        }
        if self.request("1Gi").is_ok() {
            bail!("a claim was made smaller");
        }
        Ok(())
    }

    pub fn volume_outlives_its_pod(&self) -> Result<()> {
        let old = self.get("pod", "web-0", "{.metadata.uid}")?;
        self.exec("web-0", &["sh", "-c", "echo kept > /data/kept"])?;
        self.kubectl
            .run(&["delete", "pod", "web-0", "--grace-period=1"])?;
        let state = "-o=jsonpath={.metadata.uid} {.status.containerStatuses[0].ready}";
        let renewed = |text: &str| !text.starts_with(&old) && text.ends_with("true");
        let get = ["get", "pod", "web-0", state];
        self.kubectl
            .until("the pod is there again", LIMIT, &get, renewed)?;
        let kept = self.exec("web-0", &["cat", "/data/kept"])?;
        if kept != "kept\n" {
            bail!("the new pod reads {kept:?}");
        }
        Ok(())
    }

    /// Deleting the claims removes their volumes and directories, and keeps what is to be retained.
    pub fn volume_goes_with_its_claim(&self, directories: &Path) -> Result<()> {
        let retained = self.get("pvc", "data-web-1", "{.spec.volumeName}")?;
        let patch = r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#;
        self.kubectl.run(&["patch", "pv", &retained, "-p", patch])?;
        self.kubectl.run(&["delete", "statefulset", "web"])?;
        self.kubectl
            .run(&["delete", "pod", "--all", "--grace-period=1"])?;
        self.kubectl
            .run(&["delete", "pvc", "--all", "--timeout=60s"])?;
        let names = ["get", "pv", "-o", "name"];
        let alone = format!("persistentvolume/{retained}\n");
        self.kubectl
            .until("one volume is left", LIMIT, &names, |text| text == alone)?;
        let left: Vec<_> = std::fs::read_dir(directories)?.flatten().collect();
        let left: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
        if left != [retained.as_str()] {
            bail!("the directories left are {left:?}, not {retained}");
        }
        Ok(())
    }

    /// What Kubernetes refuses is refused here too, and says why.
    pub fn bad_manifest_refused(&self) -> Result<()> {
        let mut bad = stateful_set();
        bad["spec"]["replicas"] = json!(-1);
        match self.kubectl.apply(&[bad]) {
            Ok(()) => bail!("a StatefulSet of -1 pods was taken"),
            Err(error) if format!("{error:#}").contains("replicas") => Ok(()),
            Err(error) => Err(error.context("the refusal does not name the field")),
        }
    }

    fn request(&self, size: &str) -> Result<String> {
        let patch = format!(r#"{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#);
        self.kubectl
            .run(&["patch", "pvc", "data-web-0", "-p", &patch])
    }

    fn get(&self, kind: &str, name: &str, path: &str) -> Result<String> {
        self.kubectl
            .run(&["get", kind, name, &format!("-o=jsonpath={path}")])
    }

    fn exec(&self, pod: &str, words: &[&str]) -> Result<String> {
        self.kubectl.run(&[&["exec", pod, "--"], words].concat())
    }

    /// Fetches a page from inside of a pod; it must be the name of one of `servers`.
    fn page(&self, pod: &str, target: &str, servers: &[&str]) -> Result<()> {
        let url = format!("http://{target}/");
        let answer = self.exec(pod, &["timeout", "5", "wget", "-q", "-O", "-", &url])?;
        if !servers.contains(&answer.trim()) {
            bail!("{url} answers {pod} with {answer:?}");
        }
        Ok(())
    }
}

/// A page, fetched from this machine. The command knows no time limit that works (its `-T` ends
/// Debian's build with a crash), hence the other one around it.
pub fn fetch(words: &[&str]) -> Result<String> {
    let mut command = Command::new("busybox");
    tools::output(
        command
            .args(["timeout", "5", "busybox", "wget", "-q"])
            .args(words),
    )
}

/// Its pods keep the strictest rules of Pod Security.
fn stateful_set() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "serviceName": "web",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    // A shell as first process hears no SIGTERM.
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [{
                        "name": "web",
                        "image": "mainstay.invalid/busybox:1",
                        "imagePullPolicy": "Never",
                        "command": ["/bin/sh", "-c", SERVE],
                        "ports": [{"containerPort": 8080}],
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]},
                            "readOnlyRootFilesystem": true,
                        },
                        "readinessProbe": {
                            "httpGet": {"path": "/", "port": 8080},
                            "periodSeconds": 1,
                        },
                        "volumeMounts": [
                            {"name": "data", "mountPath": "/data"},
                            {"name": "word", "mountPath": "/secret"},
                        ],
                    }],
                    "volumes": [{"name": "word", "secret": {"secretName": "word"}}],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": provisioner::CLASS,
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }],
        },
    })
}
