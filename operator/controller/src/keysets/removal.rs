//! A set that is deleted, and its keys with it unless they are to stay.
//!
//! It waits for a cluster that does not serve. What can never be done does not hold it: a cluster
//! that is gone has taken the keys along, and without its user the keys are left after a while, and
//! said to be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kube::ResourceExt;
use mainstay_operator_act::finalizer;
use mainstay_operator_api::keyset::{KeySetReason, MainstayKeySetStatus, Unlisted};
use mainstay_operator_api::storage::Retention;
use mainstay_operator_api::{MainstayCluster, MainstayUser};

use super::claims::Claims;
use super::compare::{self, View};
use super::desk::Memory;
use super::pass::{Pass, WAIT};
use super::report::Verdict;
use super::{Error, store};

/// On sets whose keys may have to be deleted before they go.
const FINALIZER: &str = "mainstay.dev/keyset";
/// How long a set that is deleted waits for a user that is not there, in seconds.
const PATIENCE: i64 = 60;

pub async fn run(pass: &Pass<'_>, memory: &mut Memory) -> Result<Option<Duration>, Error> {
    let set = pass.set;
    if !set.finalizers().iter().any(|known| known == FINALIZER) {
        return Ok(None);
    }
    let retained = set.spec.when_deleted == Retention::Retain;
    if retained || memory.status.managed.is_empty() || cluster_is_gone(pass).await? {
        return release(pass).await;
    }
    if user_is_gone(pass).await? {
        let since = set.metadata.deletion_timestamp.as_ref();
        let waited = since.map_or(0, |since| {
            Timestamp::now().as_second() - since.0.as_second()
        });
        if waited >= PATIENCE {
            let note = format!(
                "MainstayUser {} is gone: {} keys stay in the cluster",
                set.spec.user.as_deref().unwrap_or_default(),
                memory.status.managed.len()
            );
            pass.event(true, "KeysLeft", note).await;
            return release(pass).await;
        }
    }
    let outcome = match pass.open().await {
        Ok(session) => {
            let client = session.client.namespaced(&set.spec.prefix);
            delete(pass, memory, &client).await
        }
        Err(verdict) => Err(verdict),
    };
    match outcome {
        Ok(true) => release(pass).await,
        // Another has just written some of them.
        Ok(false) => Ok(Some(Duration::from_millis(100))),
        Err(verdict) => {
            let message = format!(
                "its keys cannot be deleted: {}: {}. To let them stay, set whenDeleted to Retain",
                verdict.reason, verdict.message
            );
            let status = MainstayKeySetStatus {
                in_sync: 0,
                ..memory.status.clone()
            };
            let verdict = Verdict::not(KeySetReason::Deleting, message);
            pass.tell(memory, status, &verdict).await?;
            Ok(Some(WAIT))
        }
    }
}

impl Pass<'_> {
    /// On every set, so that none goes without being seen to go.
    pub async fn finalizer(&self, wanted: bool) -> Result<(), Error> {
        match finalizer::set(&self.api(), self.set, FINALIZER, wanted).await {
            // It has changed since, and is looked at again for that.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
            other => other.map_err(Error::api("the finalizer cannot be written")),
        }
    }
}

async fn release(pass: &Pass<'_>) -> Result<Option<Duration>, Error> {
    pass.finalizer(false).await?;
    Ok(None)
}

/// Deletes what the set has written; true if nothing of it is left.
async fn delete(
    pass: &Pass<'_>,
    memory: &Memory,
    client: &mainstay_client::Client,
) -> Result<bool, Verdict> {
    let set = pass.set;
    let failed = |error: &mainstay_client::Error| Verdict::of_error(error, set);
    let managed: BTreeSet<String> = memory.status.managed.iter().cloned().collect();
    let keys = managed
        .iter()
        .map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let read = store::read(client, &keys.collect(), false).await;
    let read = read.map_err(|error| failed(&error))?;
    let others = pass.desks.namespace(set);
    let difference = compare::compare(&View {
        prefix: &set.spec.prefix,
        wanted: &BTreeMap::new(),
        whole: true,
        managed: &managed,
        unwritten: &BTreeSet::new(),
        unlisted: Unlisted::Keep,
        claims: &Claims::of(set, others.iter().map(|set| &**set)),
        resting: &BTreeSet::new(),
        refused: &BTreeSet::new(),
        store: &read.store,
    });
    if !pass.context.leadership.holds() {
        return Ok(false);
    }
    let written = store::write(client, &difference.changes, 1).await;
    match (written.failed, Verdict::of_refused(&written.refused, set)) {
        (Some(error), _) => Err(failed(&error)),
        (None, Some(refused)) => Err(refused),
        (None, None) => Ok(written.lost == 0 && written.untried.is_empty()),
    }
}

/// One that is being deleted is as good as gone.
async fn cluster_is_gone(pass: &Pass<'_>) -> Result<bool, Error> {
    let api = pass
        .context
        .api::<MainstayCluster>(Some(&pass.named.namespace));
    let found = api.get_opt(&pass.set.spec.cluster).await;
    let found = found.map_err(Error::api("the cluster cannot be read"))?;
    Ok(found.is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some()))
}

async fn user_is_gone(pass: &Pass<'_>) -> Result<bool, Error> {
    let Some(user) = &pass.set.spec.user else {
        return Ok(false);
    };
    let api = pass
        .context
        .api::<MainstayUser>(Some(&pass.named.namespace));
    let found = api.get_opt(user).await;
    Ok(found
        .map_err(Error::api("the user cannot be read"))?
        .is_none())
}
