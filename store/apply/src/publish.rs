//! What members tell about themselves, and the cluster version they agree on.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_mvcc::Store;
use mainstay_proto::entry::{ClusterVersion, Publish};
use prost::Message;

use crate::{Attributes, Error, Outcome, View, context::Context, error::Failure};

/// Records of members in the store: this prefix, then the id, big endian; the value is the
/// encoded [`Publish`].
const MEMBER_PREFIX: &[u8] = b"member/";

/// Record of the cluster version: its text.
const VERSION_KEY: &[u8] = b"cluster_version";

/// Published attributes of members, and the cluster version.
#[derive(Debug, Default)]
pub(crate) struct Members {
    attributes: HashMap<u64, Attributes>,
    cluster_version: Option<String>,
    changed: bool,
}

pub(crate) fn attributes(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    request: &Publish,
) -> Result<Outcome, Failure> {
    let mut key = BytesMut::with_capacity(MEMBER_PREFIX.len() + 8);
    key.put_slice(MEMBER_PREFIX);
    key.put_u64(request.member);
    context
        .batch
        .put_meta(key.freeze(), Some(Bytes::from(request.encode_to_vec())));
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
        .put_meta(Bytes::from_static(VERSION_KEY), Some(text));
    members.cluster_version = Some(request.version.clone());
    members.changed = true;
    Ok(Outcome::Done)
}

impl Members {
    pub(crate) fn load(store: &Store) -> Result<Members, Error> {
        let mut members = Members::default();
        for (key, value) in store.meta_scan(MEMBER_PREFIX)? {
            let published = Publish::decode(value)
                .map_err(|error| corrupt(format!("member record {key:02x?}: {error}")))?;
            members.insert(published);
        }
        if let Some(text) = store.meta(VERSION_KEY)? {
            let text = String::from_utf8(text.to_vec())
                .map_err(|_| corrupt("cluster version is no text".to_owned()))?;
            members.cluster_version = Some(text);
        }
        Ok(members)
    }

    /// Lets readers see it.
    pub(crate) fn show(&self, view: &View) {
        view.set_attributes(self.attributes.clone());
        view.set_cluster_version(self.cluster_version.clone());
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

fn corrupt(what: String) -> Error {
    Error::Store(mainstay_mvcc::Error::Corrupt { what })
}
