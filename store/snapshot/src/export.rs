//! Writes a store into a file of etcd's form.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_apply::rows;
use mainstay_lease::row as lease_row;
use mainstay_mvcc::{Frozen, Store};
use mainstay_proto::etcdserverpb::AlarmMember;
use prost::Message;
use serde::Serialize;

use crate::bbolt::Writer;
use crate::{Auth, Error, raft_state::RaftState, revision::Revision, schema};

/// Ends an export from another thread: whoever wanted it has gone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// A row of `lease`: the message etcd's lessor writes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaseRow {
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Seconds granted.
    #[prost(int64, tag = "2")]
    pub ttl: i64,
    /// Seconds left at a checkpoint of the lessor; only where that is switched on.
    #[prost(int64, tag = "3")]
    pub remaining_ttl: i64,
}

/// Writes the store as of now into an empty file: all of one commit, whatever is written
/// meanwhile. Memory does not grow with the store. Takes as long as reading all of it: not for a
/// thread that others wait for. Returns the file, which nothing has synced.
pub fn export(store: &Store, file: File, cancel: &Cancel) -> Result<File, Error> {
    let store = store.freeze()?;
    let raft = RaftState::read(&store)?;
    let auth = Auth::of_store(&store)?;
    let mut writer = Writer::new(file)?;
    // In the order of the names, as the file's root has them.
    bucket(&mut writer, schema::ALARM, alarms(&store)?)?;
    bucket(&mut writer, schema::AUTH, auth.rows())?;
    bucket(&mut writer, schema::AUTH_ROLES, auth.role_rows())?;
    bucket(&mut writer, schema::AUTH_USERS, auth.user_rows())?;
    bucket(&mut writer, schema::CLUSTER, cluster(&store)?)?;
    keys(&mut writer, &store, cancel)?;
    bucket(&mut writer, schema::LEASE, leases(&store)?)?;
    bucket(&mut writer, schema::MEMBERS, members(&raft)?)?;
    bucket(&mut writer, schema::MEMBERS_REMOVED, Vec::new())?;
    bucket(&mut writer, schema::META, meta(&store, &raft)?)?;
    writer.finish()
}

/// A row's key and value.
type Row = (Vec<u8>, Vec<u8>);

fn bucket(writer: &mut Writer, name: &[u8], mut rows: Vec<Row>) -> Result<(), Error> {
    rows.sort();
    let mut bucket = writer.bucket(name);
    for (key, value) in rows {
        bucket.put(&key, &value)?;
    }
    bucket.finish()
}

fn keys(writer: &mut Writer, store: &Frozen<'_>, cancel: &Cancel) -> Result<(), Error> {
    let mut bucket = writer.bucket(schema::KEY);
    store.backend_rows(|key, value| {
        cancel.check()?;
        bucket.put(key, value)
    })?;
    bucket.finish()
}

/// The alarm itself is the key.
fn alarms(store: &Frozen<'_>) -> Result<Vec<Row>, Error> {
    let mut out = Vec::new();
    for (key, _) in store.meta_scan(rows::ALARMS)? {
        let (alarm, member_id) = rows::alarm_of(&key)?;
        let alarm = AlarmMember { member_id, alarm };
        out.push((alarm.encode_to_vec(), Vec::new()));
    }
    // An alarm of no type against no member would have no key, and says nothing.
    out.retain(|(key, _)| !key.is_empty());
    Ok(out)
}

fn cluster(store: &Frozen<'_>) -> Result<Vec<Row>, Error> {
    let mut out = Vec::new();
    if let Some(version) = store.meta(rows::CLUSTER_VERSION)? {
        out.push((schema::CLUSTER_VERSION.to_vec(), version.to_vec()));
    }
    if let Some(target) = store.meta(rows::DOWNGRADE)? {
        let job = DowngradeRow {
            target_version: rows::version_of(&target)?,
            enabled: true,
        };
        let job = serde_json::to_vec(&job).map_err(json)?;
        out.push((schema::DOWNGRADE.to_vec(), job));
    }
    Ok(out)
}

/// A downgrade job as etcd keeps it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DowngradeRow {
    target_version: String,
    enabled: bool,
}

/// The version the file says it is of. It follows the cluster's, as in etcd: after a downgrade the
/// release before takes the file.
fn storage_version(store: &Frozen<'_>) -> Result<String, Error> {
    match store.meta(rows::CLUSTER_VERSION)? {
        Some(version) => Ok(rows::version_of(&version)?),
        None => Ok(schema::VERSION.to_owned()),
    }
}

fn leases(store: &Frozen<'_>) -> Result<Vec<Row>, Error> {
    let mut out = Vec::new();
    for (key, value) in store.meta_scan(lease_row::PREFIX)? {
        let (id, ttl) = lease_row::decode(&key, &value)?;
        let row = LeaseRow {
            id,
            ttl,
            remaining_ttl: 0,
        };
        out.push((id.to_be_bytes().to_vec(), row.encode_to_vec()));
    }
    Ok(out)
}

fn members(raft: &RaftState) -> Result<Vec<Row>, Error> {
    let rows = raft.members.iter().map(|member| member.row());
    rows.collect::<Result<_, _>>().map_err(json)
}

fn meta(store: &Frozen<'_>, raft: &RaftState) -> Result<Vec<Row>, Error> {
    let mut out = vec![(
        schema::STORAGE_VERSION.to_vec(),
        storage_version(store)?.into_bytes(),
    )];
    if raft.index > 0 {
        let index = raft.index.to_be_bytes().to_vec();
        out.push((schema::CONSISTENT_INDEX.to_vec(), index));
        let term = raft.term.to_be_bytes().to_vec();
        out.push((schema::TERM.to_vec(), term));
    }
    if let Some(voters) = &raft.voters {
        let json = serde_json::to_vec(voters).map_err(json)?;
        out.push((schema::CONF_STATE.to_vec(), json));
    }
    let compact = store.compact_revision();
    if compact >= 0 {
        // Only what a compaction has left is written, so for the reader it has come to its end.
        for name in [schema::SCHEDULED_COMPACTION, schema::FINISHED_COMPACTION] {
            out.push((name.to_vec(), Revision::of_main(compact)));
        }
    }
    Ok(out)
}

fn json(error: serde_json::Error) -> Error {
    Error::Io(error.into())
}
