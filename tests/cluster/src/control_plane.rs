//! The command lines of datastore, API server, controller manager, scheduler and name server.

use anyhow::Result;

use crate::network::{API, API_PORT, DNS, SERVICES};
use crate::order::{Order, Program};

/// Ports below belong to the node's own namespace, so the usual ones are free.
const DATASTORE: &str = "https://127.0.0.1:2379";
const DATASTORE_PEERS: &str = "https://127.0.0.1:2380";

/// etcd or Mainstay, by the same flags.
pub fn datastore(order: &Order) -> Program {
    let folder = &order.folder;
    let pair = mainstay_pki::Pair {
        cert: folder.join("pki/datastore.crt"),
        key: folder.join("pki/datastore.key"),
    };
    Program::new("datastore", &order.datastore)
        .flag("--name", "datastore")
        .flag("--data-dir", &folder.text("datastore"))
        .flag("--listen-client-urls", DATASTORE)
        .flag("--advertise-client-urls", DATASTORE)
        .flag("--listen-peer-urls", DATASTORE_PEERS)
        .flag("--initial-advertise-peer-urls", DATASTORE_PEERS)
        .flag("--initial-cluster", &format!("datastore={DATASTORE_PEERS}"))
        .arguments(mainstay_pki::member_flags(
            &folder.join("pki/ca.crt"),
            &pair,
        ))
}

pub fn api_server(order: &Order) -> Program {
    let folder = &order.folder;
    let pki = |name: &str| folder.text(&format!("pki/{name}"));
    Program::new("kube-apiserver", &order.peer("kube-apiserver"))
        .flag("--etcd-servers", DATASTORE)
        .flag("--etcd-cafile", &pki("ca.crt"))
        .flag("--etcd-certfile", &pki("datastore.crt"))
        .flag("--etcd-keyfile", &pki("datastore.key"))
        .flag("--bind-address", API)
        .flag("--advertise-address", API)
        .flag("--secure-port", API_PORT)
        .flag("--cert-dir", &folder.text("pki/generated"))
        .flag("--tls-cert-file", &pki("server.crt"))
        .flag("--tls-private-key-file", &pki("server.key"))
        .flag("--client-ca-file", &pki("ca.crt"))
        .flag("--kubelet-certificate-authority", &pki("ca.crt"))
        .flag("--kubelet-client-certificate", &pki("kubelet-client.crt"))
        .flag("--kubelet-client-key", &pki("kubelet-client.key"))
        // No name server knows the node, so exec and logs go to its address.
        .flag("--kubelet-preferred-address-types", "InternalIP")
        .flag("--service-cluster-ip-range", SERVICES)
        .flag(
            "--service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        )
        .flag("--service-account-key-file", &pki("service-accounts.crt"))
        .flag(
            "--service-account-signing-key-file",
            &pki("service-accounts.key"),
        )
        .flag("--authorization-mode", "Node,RBAC")
        .flag("--enable-admission-plugins", "NodeRestriction")
        .flag("--allow-privileged", "true")
}

pub fn controller_manager(order: &Order) -> Program {
    let folder = &order.folder;
    let pki = |name: &str| folder.text(&format!("pki/{name}"));
    Program::new(
        "kube-controller-manager",
        &order.peer("kube-controller-manager"),
    )
    .flag("--kubeconfig", &pki("controller-manager.kubeconfig"))
    .flag(
        "--service-account-private-key-file",
        &pki("service-accounts.key"),
    )
    .flag("--root-ca-file", &pki("ca.crt"))
    .flag("--use-service-account-credentials", "true")
    .flag("--bind-address", "127.0.0.1")
    .flag("--cert-dir", &folder.text("pki/generated"))
    .flag(
        "--authentication-kubeconfig",
        &pki("controller-manager.kubeconfig"),
    )
    .flag(
        "--authorization-kubeconfig",
        &pki("controller-manager.kubeconfig"),
    )
    // Its own limit makes it take three seconds longer to begin.
    .flag("--kube-api-qps", "200")
    .flag("--kube-api-burst", "400")
    // The only one of its kind, so it begins at once.
    .flag("--leader-elect", "false")
}

pub fn scheduler(order: &Order) -> Program {
    let folder = &order.folder;
    let kubeconfig = folder.text("pki/scheduler.kubeconfig");
    Program::new("kube-scheduler", &order.peer("kube-scheduler"))
        .flag("--kubeconfig", &kubeconfig)
        .flag("--authentication-kubeconfig", &kubeconfig)
        .flag("--authorization-kubeconfig", &kubeconfig)
        .flag("--bind-address", "127.0.0.1")
        .flag("--cert-dir", &folder.text("pki/generated"))
        .flag("--leader-elect", "false")
        // Its cache of claims and its queue hear of a bound claim in either order, so a pod may be
        // looked at too early and then lie for five minutes:
        // https://github.com/kubernetes/kubernetes/issues/93552
        .flag("--pod-max-in-unschedulable-pods-duration", "5s")
}

/// CoreDNS for the cluster's names alone; all others do not exist.
pub fn name_server(order: &Order) -> Result<Program> {
    let folder = &order.folder;
    let kubeconfig = folder.kubeconfig();
    // Two zones, since `template` would answer before `kubernetes` in one.
    let corefile = format!(
        "cluster.local in-addr.arpa {{\n    bind {DNS}\n    errors\n    \
         kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {}\n        \
         pods insecure\n        ttl 5\n    }}\n}}\n\
         . {{\n    bind {DNS}\n    template ANY ANY {{\n        rcode NXDOMAIN\n    }}\n}}\n",
        kubeconfig.display()
    );
    let path = folder.join("etc/Corefile");
    mainstay_pki::replace(&path, &corefile)?;
    Ok(Program::new("coredns", &order.peer("coredns")).flag("-conf", &path.display().to_string()))
}
