//! One pass over one schedule: makes the backup that is due, and retires those that are too many.

mod calendar;
mod retention;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use mainstay_operator_api::backup::{
    BackupPhase, MainstayBackupScheduleStatus, MainstayBackupSpec,
};
use mainstay_operator_api::storage::Retention;
use mainstay_operator_api::{MainstayBackup, MainstayBackupSchedule};

use super::{Error, SCHEDULE};
use crate::context::Context;
use crate::metrics::Object;
use crate::passes::condition;
use crate::status;
use calendar::{Calendar, Turn, turn};
use retention::{excess, is_over, phase};

/// Between two looks at a backup that is late; its end is also told by a watch.
const WAIT: Duration = Duration::from_secs(30);

pub async fn pass(context: &Context, named: &Object) -> Result<Option<Duration>, Error> {
    let api = context.api::<MainstayBackupSchedule>(Some(&named.namespace));
    let found = api.get_opt(&named.name).await;
    let Some(schedule) = found.map_err(Error::api("the schedule cannot be read"))? else {
        return Ok(None);
    };
    if schedule.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let backups = context.api::<MainstayBackup>(Some(&named.namespace));
    let made = made(&backups, &named.name).await?;
    let now = Timestamp::now();
    let mut status = report(&schedule, &made);
    let calendar = match Calendar::parse(&schedule.spec.schedule) {
        Ok(calendar) => calendar,
        Err(reason) => {
            status.message = Some(format!("spec.schedule cannot be read: {reason}"));
            tell(&api, &schedule, status).await?;
            return Ok(None);
        }
    };
    let mut after = None;
    if !schedule.spec.suspended {
        let since = status.last_at.as_ref().map(|time| time.0);
        let since = since.or_else(|| schedule.creation_timestamp().map(|time| time.0));
        let under_way = made.iter().find(|backup| !is_over(backup));
        let since = since.unwrap_or(now);
        match turn(&calendar, since, now, under_way.is_some()) {
            Turn::Rest(next) => status.next_at = next.map(Time),
            Turn::Begin(due) => {
                begin(&backups, &schedule, due).await?;
                status.last_at = Some(Time(now));
                status.next_at = calendar.after(now).map(Time);
            }
            Turn::Late(due) => {
                status.message = under_way.map(|backup| late(backup, due));
                after = Some(WAIT);
            }
        }
        let next = status.next_at.as_ref().map(|next| until(next.0));
        after = after.or(next);
    }
    for name in excess(&made, schedule.spec.keep) {
        retire(&backups, &name).await?;
    }
    tell(&api, &schedule, status).await?;
    Ok(after)
}

/// What the schedule has made and nobody is deleting, the newest first.
async fn made(api: &Api<MainstayBackup>, name: &str) -> Result<Vec<MainstayBackup>, Error> {
    let selector = format!("{SCHEDULE}={name}");
    let made = api.list(&ListParams::default().labels(&selector)).await;
    let mut made = made
        .map_err(Error::api("the backups cannot be read"))?
        .items;
    made.retain(|backup| backup.metadata.deletion_timestamp.is_none());
    made.sort_by_key(|backup| std::cmp::Reverse(backup.creation_timestamp().map(|time| time.0)));
    Ok(made)
}

fn until(next: Timestamp) -> Duration {
    let left = next.duration_since(Timestamp::now());
    let left = Duration::try_from(left).unwrap_or_default();
    left.max(Duration::from_secs(1))
}

fn late(backup: &MainstayBackup, due: Timestamp) -> String {
    let name = backup.name_any();
    let status = backup.status.clone().unwrap_or_default();
    let reason = status.message.unwrap_or_default();
    let reason = match reason.is_empty() {
        true => "it is still under way".to_owned(),
        false => reason,
    };
    format!("the backup that is due since {due} waits for {name}: {reason}")
}

/// Named after the moment it is due, so that it is made once.
async fn begin(
    api: &Api<MainstayBackup>,
    schedule: &MainstayBackupSchedule,
    due: Timestamp,
) -> Result<(), Error> {
    let name = format!("{}-{}", schedule.name_any(), due.strftime("%Y%m%d%H%M"));
    let backup = MainstayBackup {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: schedule.namespace(),
            labels: Some([(SCHEDULE.to_owned(), schedule.name_any())].into()),
            ..ObjectMeta::default()
        },
        spec: MainstayBackupSpec {
            cluster: schedule.spec.cluster.clone(),
            destination: schedule.spec.destination.clone(),
            when_deleted: Retention::Delete,
        },
        status: None,
    };
    match api.create(&PostParams::default(), &backup).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other
            .map(drop)
            .map_err(Error::api("the backup cannot be created")),
    }
}

async fn retire(api: &Api<MainstayBackup>, name: &str) -> Result<(), Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other
            .map(drop)
            .map_err(Error::api("an old backup cannot be deleted")),
    }
}

/// What the backups say of their schedule.
fn report(
    schedule: &MainstayBackupSchedule,
    made: &[MainstayBackup],
) -> MainstayBackupScheduleStatus {
    let good = made
        .iter()
        .filter(|backup| phase(backup) == Some(BackupPhase::Complete));
    let last = made.iter().find(|backup| is_over(backup));
    let failed = last.filter(|backup| phase(backup) == Some(BackupPhase::Failed));
    let before = schedule.status.clone().unwrap_or_default();
    let finished = |backup: &MainstayBackup| backup.status.as_ref()?.finished_at.clone();
    MainstayBackupScheduleStatus {
        observed_generation: schedule.metadata.generation,
        last_at: before.last_at,
        last_success_at: good
            .clone()
            .next()
            .and_then(finished)
            .or(before.last_success_at),
        next_at: None,
        backups: good.map(ResourceExt::name_any).collect(),
        message: failed.map(|backup| {
            let status = backup.status.clone().unwrap_or_default();
            let reason = status.message.unwrap_or_default();
            format!("{} failed: {reason}", backup.name_any())
        }),
        conditions: Vec::new(),
    }
}

fn ready(schedule: &MainstayBackupSchedule, message: Option<&String>) -> Condition {
    let (truth, reason) = match message {
        Some(_) => ("False", "NotOnTime"),
        None if schedule.spec.suspended => ("True", "Suspended"),
        None => ("True", "OnTime"),
    };
    let message = message.cloned().unwrap_or_default();
    let before = schedule.status.iter().flat_map(|status| &status.conditions);
    condition(before, schedule, "Ready", (truth, reason), message)
}

async fn tell(
    api: &Api<MainstayBackupSchedule>,
    schedule: &MainstayBackupSchedule,
    mut status: MainstayBackupScheduleStatus,
) -> Result<(), Error> {
    status.conditions = vec![ready(schedule, status.message.as_ref())];
    if schedule.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let told = status::apply(api, schedule, &status).await;
    told.map_err(Error::api("the status cannot be written"))
}
