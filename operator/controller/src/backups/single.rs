//! One pass over one backup: waits for its cluster, starts the job, and reads what came of it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt};
use mainstay_operator_act::finalizer;
use mainstay_operator_act::render::Subject;
use mainstay_operator_api::backup::{BackupPhase, MainstayBackupStatus};
use mainstay_operator_api::storage::Retention;
use mainstay_operator_api::{MainstayBackup, MainstayCluster};

use super::job::{self, Needs};
use super::{Error, outcome};
use crate::context::Context;
use crate::metrics::Object;
use crate::passes::condition;
use crate::status;

/// On backups whose file goes with them.
const FINALIZER: &str = "mainstay.dev/backup-file";
/// Between two looks at what is waited for.
const WAIT: Duration = Duration::from_secs(10);

pub async fn pass(context: &Context, named: &Object) -> Result<Option<Duration>, Error> {
    let api = context.api::<MainstayBackup>(Some(&named.namespace));
    let found = api.get_opt(&named.name).await;
    let Some(backup) = found.map_err(Error::api("the backup cannot be read"))? else {
        return Ok(None);
    };
    let single = Single {
        context,
        namespace: &named.namespace,
        backup: &backup,
    };
    if backup.metadata.deletion_timestamp.is_some() {
        return single.delete().await;
    }
    let phase = backup.status.as_ref().and_then(|status| status.phase);
    if matches!(phase, Some(BackupPhase::Complete | BackupPhase::Failed)) {
        return Ok(None);
    }
    if backup.spec.when_deleted == Retention::Delete {
        single.finalizer(true).await?;
    }
    let job = single
        .api::<Job>()
        .get_opt(&job::name(&backup, "take"))
        .await;
    match job.map_err(Error::api("the job cannot be read"))? {
        None => single.begin().await,
        Some(job) => single.follow(&job).await,
    }
}

struct Single<'a> {
    context: &'a Context,
    namespace: &'a str,
    backup: &'a MainstayBackup,
}

impl Single<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        self.context.api(Some(self.namespace))
    }

    async fn begin(&self) -> Result<Option<Duration>, Error> {
        let name = &self.backup.spec.cluster;
        let cluster = self.cluster().await?;
        let Some(cluster) = cluster else {
            let message = format!("there is no MainstayCluster {name}: create it");
            return self.wait(message).await;
        };
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let available = conditions
            .into_iter()
            .any(|known| known.type_ == "Available" && known.status == "True");
        if !available {
            let message = format!("MainstayCluster {name} is not available");
            return self.wait(message).await;
        }
        let Some(image) = &self.context.settings.operator_image else {
            let message = "the operator was started without --operator-image".to_owned();
            return self.wait(message).await;
        };
        let job = self.with_needs(&cluster, image, job::take)?;
        create(&self.api(), &job).await?;
        let status = MainstayBackupStatus {
            phase: Some(BackupPhase::Running),
            started_at: Some(Time(Timestamp::now())),
            ..MainstayBackupStatus::default()
        };
        self.tell(status).await?;
        Ok(None)
    }

    async fn follow(&self, job: &Job) -> Result<Option<Duration>, Error> {
        let conditions = job
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let is = |kind: &str| {
            let mut known = conditions.into_iter().flatten();
            known.any(|known| known.type_ == kind && known.status == "True")
        };
        let (complete, failed) = (is("Complete"), is("Failed"));
        if !complete && !failed {
            return Ok(Some(WAIT));
        }
        let selector = format!("job-name={}", job.name_any());
        let api = self.api::<Pod>();
        let pods = api.list(&ListParams::default().labels(&selector)).await;
        let pods = pods.map_err(Error::api("the job's pods cannot be read"))?;
        let mut status = self.backup.status.clone().unwrap_or_default();
        status.finished_at = Some(Time(Timestamp::now()));
        let told = pods
            .iter()
            .find_map(|pod| Some((pod, outcome::stored(pod, job::AGENT)?)));
        match told.filter(|_| complete) {
            Some((pod, stored)) => {
                let params = LogParams {
                    container: Some(job::VERIFY.to_owned()),
                    ..LogParams::default()
                };
                let log = self.api::<Pod>().logs(&pod.name_any(), &params).await;
                let found = outcome::restored(&log.unwrap_or_default());
                status.phase = Some(BackupPhase::Complete);
                status.path = Some(job::file(self.backup));
                status.bytes = Some(stored.bytes);
                status.sha256 = Some(stored.sha256);
                status.revision = found.map(|found| found.revision);
                status.keys = found.map(|found| found.keys);
                status.message = None;
            }
            None => {
                let last = pods.iter().filter_map(outcome::failure).last();
                status.phase = Some(BackupPhase::Failed);
                status.message = Some(last.unwrap_or_else(|| "the job's pods are gone".to_owned()));
            }
        }
        self.tell(status).await?;
        Ok(None)
    }

    /// A file that is to go is deleted by a job before the resource goes.
    async fn delete(&self) -> Result<Option<Duration>, Error> {
        if !self
            .backup
            .finalizers()
            .iter()
            .any(|known| known == FINALIZER)
        {
            return Ok(None);
        }
        // A backup that failed may have stored its file before it did.
        let status = self.backup.status.as_ref();
        let begun = status.is_some_and(|status| status.started_at.is_some());
        let Some(image) = self
            .context
            .settings
            .operator_image
            .as_ref()
            .filter(|_| begun)
        else {
            self.finalizer(false).await?;
            return Ok(None);
        };
        let found = self
            .api::<Job>()
            .get_opt(&job::name(self.backup, "erase"))
            .await;
        let Some(found) = found.map_err(Error::api("the job cannot be read"))? else {
            let needs = Needs {
                backup: self.backup,
                operator_image: image,
                server_image: "",
                credentials: "",
                host: "",
            };
            let job = job::erase(&needs)?;
            return match create(&self.api(), &job).await {
                // Nothing can be made in there any more, and it shall be able to go.
                Err(error) if error.is_ending() => {
                    tracing::warn!(
                        backup = self.backup.name_any(),
                        namespace = self.namespace,
                        "the namespace is being deleted: the file stays in its store"
                    );
                    self.finalizer(false).await?;
                    Ok(None)
                }
                other => other.map(|()| Some(WAIT)),
            };
        };
        let status = found.status.unwrap_or_default();
        if status.succeeded.unwrap_or(0) > 0 {
            self.finalizer(false).await?;
            return Ok(None);
        }
        let failed = status.conditions.unwrap_or_default();
        if failed
            .iter()
            .any(|known| known.type_ == "Failed" && known.status == "True")
        {
            self.erase_again().await?;
        }
        Ok(Some(WAIT))
    }

    /// Says that the file could not be deleted, and takes the job away so that the next pass makes
    /// another.
    async fn erase_again(&self) -> Result<(), Error> {
        tracing::warn!(
            backup = self.backup.name_any(),
            namespace = self.namespace,
            "the file cannot be deleted; it is tried again"
        );
        let mut known = self.backup.status.clone().unwrap_or_default();
        known.message = Some(format!(
            "the file cannot be deleted, and this is tried again; to leave it where it is, take \
             the finalizer {FINALIZER} away"
        ));
        self.tell(known).await?;
        let (api, name) = (self.api::<Job>(), job::name(self.backup, "erase"));
        let deleted = api.delete(&name, &DeleteParams::background()).await;
        deleted.map_err(Error::api("the job cannot be deleted"))?;
        Ok(())
    }

    async fn cluster(&self) -> Result<Option<MainstayCluster>, Error> {
        let api = self.api::<MainstayCluster>();
        let found = api.get_opt(&self.backup.spec.cluster).await;
        found.map_err(Error::api("the cluster cannot be read"))
    }

    fn with_needs(
        &self,
        cluster: &MainstayCluster,
        image: &str,
        make: impl FnOnce(&Needs<'_>) -> Result<Job, serde_json::Error>,
    ) -> Result<Job, Error> {
        let name = cluster.name_any();
        let subject = Subject {
            name: &name,
            namespace: self.namespace,
            uid: "",
            annotations: cluster.annotations(),
            spec: &cluster.spec,
            settings: &self.context.settings,
        };
        let needs = Needs {
            backup: self.backup,
            operator_image: image,
            server_image: &subject.image(),
            credentials: &subject.secrets().operator,
            host: &format!("{name}-client.{}.svc", self.namespace),
        };
        Ok(make(&needs)?)
    }

    async fn wait(&self, message: String) -> Result<Option<Duration>, Error> {
        let status = MainstayBackupStatus {
            phase: Some(BackupPhase::Pending),
            message: Some(message),
            ..MainstayBackupStatus::default()
        };
        self.tell(status).await?;
        Ok(Some(WAIT))
    }

    async fn tell(&self, mut status: MainstayBackupStatus) -> Result<(), Error> {
        status.observed_generation = self.backup.metadata.generation;
        status.conditions = vec![complete(self.backup, &status)];
        if self.backup.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let told = status::apply(&self.api(), self.backup, &status).await;
        told.map_err(Error::api("the status cannot be written"))
    }

    async fn finalizer(&self, wanted: bool) -> Result<(), Error> {
        let set = finalizer::set(&self.api(), self.backup, FINALIZER, wanted).await;
        set.map_err(Error::api("the finalizer cannot be written"))
    }
}

/// One that is there already is the one that was wanted: its name says whose it is.
async fn create(api: &Api<Job>, job: &Job) -> Result<(), Error> {
    match api.create(&PostParams::default(), job).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other
            .map(drop)
            .map_err(Error::api("the job cannot be created")),
    }
}

fn complete(backup: &MainstayBackup, status: &MainstayBackupStatus) -> Condition {
    let (truth, reason) = match status.phase {
        Some(BackupPhase::Complete) => ("True", "Verified"),
        Some(BackupPhase::Failed) => ("False", "Failed"),
        Some(BackupPhase::Running | BackupPhase::Verifying) => ("False", "Running"),
        Some(BackupPhase::Pending) | None => ("False", "Pending"),
    };
    let message = status.message.clone().unwrap_or_default();
    let before = backup.status.iter().flat_map(|status| &status.conditions);
    condition(before, backup, "Complete", (truth, reason), message)
}
