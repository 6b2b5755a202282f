//! Configuration and command lines of containerd, kubelet and kube-proxy.

use anyhow::Result;
use mainstay_pki::replace;
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::network::{API, BRIDGE, DNS, POD_RANGE, PODS};
use crate::order::{Order, Program};
use crate::{NAME, tools};

/// The image that holds a pod's namespaces; it is made by `image.rs`.
pub const PAUSE: &str = "mainstay.invalid/pause:1";

pub fn containerd(order: &Order) -> Result<Program> {
    let folder = &order.folder;
    let config = folder.join("etc/containerd.toml");
    replace(&config, &containerd_config(folder))?;
    replace(
        &folder.join("cni/conf/10-bridge.conflist"),
        &network_config(folder).to_string(),
    )?;
    Ok(Program::new("containerd", "containerd".as_ref())
        .flag("--config", &config.display().to_string()))
}

fn containerd_config(folder: &Folder) -> String {
    let socket = folder.containerd_socket();
    let (root, state) = (
        folder.text("containerd/root"),
        folder.text("containerd/state"),
    );
    let (opt, runc) = (
        folder.text("containerd/opt"),
        folder.text("containerd/runc"),
    );
    let (conf, plugins) = (folder.text("cni/conf"), tools::CNI_PLUGINS);
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Lowering a score takes a right that root may lack inside of a container or a small machine.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{conf}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{runc}"
"#,
        socket = socket.display()
    )
}

/// Pods are ports of the node's bridge. A pod that calls its own Service is let back in.
fn network_config(folder: &Folder) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": NAME,
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": folder.join("cni/addresses"),
                "ranges": [[{
                    "subnet": PODS,
                    "gateway": API,
                    "rangeStart": POD_RANGE.0,
                    "rangeEnd": POD_RANGE.1,
                }]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

pub fn kubelet(order: &Order) -> Result<Program> {
    let folder = &order.folder;
    let config = folder.join("etc/kubelet.json");
    replace(&config, &format!("{:#}", kubelet_config(folder)))?;
    Ok(Program::new("kubelet", &order.peer("kubelet"))
        .flag("--config", &config.display().to_string())
        .flag("--kubeconfig", &folder.text("pki/kubelet.kubeconfig"))
        .flag("--root-dir", &folder.text("kubelet"))
        .flag("--cert-dir", &folder.text("pki/generated"))
        .flag("--hostname-override", NAME)
        .flag("--node-ip", API))
}

fn kubelet_config(folder: &Folder) -> Value {
    let pki = |name: &str| folder.join(&format!("pki/{name}"));
    let socket = format!("unix://{}", folder.containerd_socket().display());
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": API,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki("kubelet.crt"),
        "tlsPrivateKeyFile": pki("kubelet.key"),
        "containerRuntimeEndpoint": socket,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{NAME}"),
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        // Pods search the cluster's names only, whatever this machine searches.
        "resolvConf": "",
        "failSwapOn": false,
        "healthzPort": 0,
        "podLogsDir": folder.join("pods"),
        "volumePluginDir": folder.join("kubelet/plugins-volume"),
        "makeIPTablesUtilChains": false,
        // A changed Secret reaches its volume within this time.
        "syncFrequency": "5s",
        // The disk and its images are this machine's business.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
    })
}

pub fn proxy(order: &Order) -> Result<Program> {
    let folder = &order.folder;
    let config = folder.join("etc/proxy.json");
    let content = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NAME,
        "clientConnection": {"kubeconfig": folder.join("pki/proxy.kubeconfig")},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // Both ends of a Service's connection are ports of one bridge, so an answer would go
        // straight back and never meet the translation of its address.
        "iptables": {"masqueradeAll": true, "localhostNodePorts": false},
        // Tables of connections are sized by the whole machine; they are left as they are.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    replace(&config, &format!("{content:#}"))?;
    let flag = config.display().to_string();
    Ok(Program::new("kube-proxy", &order.peer("kube-proxy")).flag("--config", &flag))
}
