//! Who the members are, what they tell about themselves, who was removed for good, the cluster
//! version they agree on, and the one they are asked to go down to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use mainstay_mvcc::{Batch, Store};
use mainstay_proto::entry::{ClusterVersion, Downgrade, Publish};
use mainstay_proto::peer::Membership;
use prost::Message;

use crate::{
    AppliedState, Attributes, Error, Outcome, View, context::Context, error::Failure, rows,
};

/// The membership, attributes that members have published, ids that were removed, and the cluster
/// version.
#[derive(Debug, Default)]
pub(crate) struct Members {
    membership: Arc<Membership>,
    removed: Arc<HashSet<u64>>,
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
    // Sent before it was removed and applied after: it would list a member that is none.
    if members.removed.contains(&request.member) {
        return Ok(Outcome::Done);
    }
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
    pub(crate) fn load(store: &Store, applied: &AppliedState) -> Result<Members, Error> {
        let mut members = Members::default();
        if let Some((position, bytes)) = &applied.membership {
            members.membership = Arc::new(decode(position.index, bytes)?);
        }
        let removed = store.meta_scan(rows::REMOVED)?;
        let removed = removed.iter().map(|(key, _)| rows::removed_of(key));
        members.removed = Arc::new(removed.collect::<Result<_, _>>()?);
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

    /// Takes over a membership. Whoever is no longer in it never comes back under the same id, and
    /// what it has published goes.
    pub(crate) fn change(
        &mut self,
        batch: &mut Batch<'_>,
        index: u64,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let next = decode(index, bytes)?;
        let stays: HashSet<u64> = next.nodes.iter().map(|node| node.id).collect();
        for node in &self.membership.nodes {
            if stays.contains(&node.id) {
                continue;
            }
            batch.put_meta(rows::removed(node.id), Some(Bytes::new()));
            batch.put_meta(rows::member_key(node.id), None);
            Arc::make_mut(&mut self.removed).insert(node.id);
            self.attributes.remove(&node.id);
        }
        self.membership = Arc::new(next);
        self.changed = true;
        Ok(())
    }

    /// Lets readers see it.
    pub(crate) fn show(&self, view: &View) {
        view.set_membership(self.membership.clone(), self.removed.clone());
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

fn decode(index: u64, bytes: &Bytes) -> Result<Membership, Error> {
    Membership::decode(bytes.clone()).map_err(|source| Error::Undecodable { index, source })
}
