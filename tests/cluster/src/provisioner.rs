//! Persistent volumes for the node: a directory each, made for a claim, grown with it and removed
//! by its reclaim policy. It runs as one of the node's programs.
//!
//! It serves every StorageClass that names [`PROVISIONER`]; the class [`CLASS`] is there from the
//! start. A directory has no size, so growing one changes what Kubernetes says of it and nothing
//! else. Claims for raw block devices stay pending.

mod step;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::order::Program;
use step::Step;

/// The class of the node's volumes, and the default of claims that name none.
pub const CLASS: &str = "mainstay-local";
pub const PROVISIONER: &str = "mainstay.dev/local";
/// After a failure all is looked at again, at the latest when this has passed.
const RETRY: Duration = Duration::from_secs(1);

/// The provisioner as one of the node's programs.
pub(crate) fn program(folder: &Folder) -> Result<Program> {
    let this = std::env::current_exe().context("no path of this program")?;
    Ok(Program::new("provisioner", &this).arguments([
        "provisioner".into(),
        folder.kubeconfig().display().to_string(),
        folder.volumes().display().to_string(),
    ]))
}

pub(crate) fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "allowVolumeExpansion": true,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    })
}

struct Provisioner {
    client: Client,
    folder: PathBuf,
}

/// Serves claims until the process is ended; `folder` holds the directories.
pub fn run(kubeconfig: &Path, folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(kubeconfig, folder))
}

async fn serve(kubeconfig: &Path, folder: &Path) -> Result<()> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let (claims, claim_writer) = reflector::store::<PersistentVolumeClaim>();
    let (volumes, volume_writer) = reflector::store::<PersistentVolume>();
    let claim_events = watcher(Api::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(claim_writer)
        .map(|event| event.map(drop));
    let volume_events = watcher(Api::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(volume_writer)
        .map(|event| event.map(drop));
    let mut events = pin!(stream::select(claim_events, volume_events));
    let provisioner = Provisioner {
        client,
        folder: folder.to_path_buf(),
    };
    let mut failed = false;
    loop {
        let event = if failed {
            tokio::time::timeout(RETRY, events.next()).await.ok()
        } else {
            Some(events.next().await)
        };
        match event {
            Some(None) => return Ok(()),
            Some(Some(Err(error))) => println!("watch: {error}"),
            Some(Some(Ok(()))) | None => {}
        }
        failed = false;
        for step in step::steps(&claims.state(), &volumes.state()) {
            if let Err(error) = provisioner.perform(&step).await {
                println!("{step}: {error:#}");
                failed = true;
            }
        }
    }
}

impl Provisioner {
    async fn perform(&self, step: &Step) -> Result<()> {
        match step {
            Step::Provision(claim) => self.provision(claim).await,
            Step::Grow {
                volume,
                namespace,
                claim,
                size,
            } => self.grow(volume, namespace, claim, size).await,
            Step::Remove(volume) => self.remove(volume).await,
        }
    }

    /// Makes the directory, then the volume, bound to its claim from the start.
    async fn provision(&self, claim: &PersistentVolumeClaim) -> Result<()> {
        let spec = claim.spec.as_ref().context("a claim without spec")?;
        let name = step::volume_name(claim);
        let class_name = spec.storage_class_name.clone().unwrap_or_default();
        let class: StorageClass = Api::all(self.client.clone()).get(&class_name).await?;
        let path = self.folder.join(&name);
        make_directory(&path)?;
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "annotations": {step::PROVISIONED_BY: PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": step::request(claim)},
                "accessModes": spec.access_modes,
                "storageClassName": class_name,
                "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
                "hostPath": {"path": path, "type": "Directory"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": claim.namespace(),
                    "name": claim.name_any(),
                    "uid": claim.uid(),
                },
            },
        }))?;
        let made = Api::all(self.client.clone())
            .create(&PostParams::default(), &volume)
            .await;
        match made {
            // The watch has not told of it yet.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            made => made.map(|_| println!("made {name}")).map_err(Into::into),
        }
    }

    async fn grow(&self, volume: &str, namespace: &str, claim: &str, size: &str) -> Result<()> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let patch = json!({"spec": {"capacity": {"storage": size}}});
        let parameters = PatchParams::default();
        volumes
            .patch(volume, &parameters, &Patch::Merge(&patch))
            .await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({"status": {"capacity": {"storage": size}}});
        claims
            .patch_status(claim, &parameters, &Patch::Merge(&patch))
            .await?;
        println!("grew {volume} to {size}");
        Ok(())
    }

    /// Removes the directory, then the volume; an interrupted removal begins again.
    async fn remove(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        match volumes.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            gone => gone.map(|_| println!("removed {name}")).map_err(Into::into),
        }
    }
}

/// Any user may write in it: the kubelet gives no directory of this machine to a pod's group.
fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)))
        .with_context(|| format!("cannot create {}", path.display()))
}
