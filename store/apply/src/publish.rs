//! What members tell about themselves, the cluster version they agree on, and the one they are asked
//! to go down to.

use std::collections::HashMap;

use bytes::Bytes;
use mainstay_mvcc::Store;
use mainstay_proto::entry::{ClusterVersion, Downgrade, Publish};

use crate::{Attributes, Error, Outcome, View, context::Context, error::Failure, rows};

/// Published attributes of members, and the cluster version.
#[derive(Debug, Default)]
pub(crate) struct Members {
    attributes: HashMap<u64, Attributes>,
    cluster_version: Option<String>,
    downgrade_target: Option<String>,
    changed: bool,
}

pub(crate) fn attributes(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &Publish,
) -> Result<Outcome, Failure> {
    let (key, value) = rows::member(request);
    context.batch.put_meta(key, Some(value));
    members.insert(request.clone());
    members.changed = true;
    Ok(Outcome::Done)
}

pub(crate) fn cluster_version(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &ClusterVersion,
) -> Result<Outcome, Failure> {
    let text = Bytes::copy_from_slice(request.version.as_bytes());
    context
        .batch
        .put_meta(Bytes::from_static(rows::CLUSTER_VERSION), Some(text));
    members.cluster_version = Some(request.version.clone());
    members.changed = true;
    Ok(Outcome::Done)
}

/// Begins a downgrade job or ends it. What it means is up to those who decide the cluster version.
pub(crate) fn downgrade(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &Downgrade,
) -> Result<Outcome, Failure> {
    let target = Some(request.target_version.clone()).filter(|target| !target.is_empty());
    let text = target.clone().map(Bytes::from);
    let key = Bytes::from_static(rows::DOWNGRADE);
    context.batch.put_meta(key, text);
    members.downgrade_target = target;
    members.changed = true;
    Ok(Outcome::Done)
}

impl Members {
    pub(crate) fn load(store: &Store) -> Result<Members, Error> {
        let mut members = Members::default();
        for (key, value) in store.meta_scan(rows::MEMBERS)? {
            members.insert(rows::member_of(&key, value)?);
        }
        if let Some(text) = store.meta(rows::CLUSTER_VERSION)? {
            members.cluster_version = Some(rows::version_of(&text)?);
        }
        if let Some(text) = store.meta(rows::DOWNGRADE)? {
            members.downgrade_target = Some(rows::version_of(&text)?);
        }
        Ok(members)
    }

    /// Lets readers see it.
    pub(crate) fn show(&self, view: &View) {
        view.set_attributes(self.attributes.clone());
        view.set_versions(self.cluster_version.clone(), self.downgrade_target.clone());
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn insert(&mut self, published: Publish) {
        let Publish {
            member,
            name,
            client_urls,
        } = published;
        self.attributes
            .insert(member, Attributes { name, client_urls });
    }
}
