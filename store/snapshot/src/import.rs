//! Makes a new store of what a file of etcd's form holds.

use std::collections::HashSet;
use std::fs::File;

use mainstay_apply::{AppliedState, rows};
use mainstay_lease::{TTL_MAX_SECONDS, row as lease_row};
use mainstay_mvcc::{Loader, Options, Write};
use mainstay_proto::etcdserverpb::AlarmMember;
use mainstay_proto::mvccpb::KeyValue;
use prost::Message;

use crate::bbolt::{Bucket, Db, Pass};
use crate::export::LeaseRow;
use crate::{Auth, Error, raft_state::ConfState, revision::Revision, schema, trailer};

/// What was taken over, and what the file said of the member that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    pub revision: i64,
    /// -1 when the store was never compacted.
    pub compact_revision: i64,
    /// Living keys.
    pub keys: u64,
    pub leases: usize,
}

/// How far the member that wrote a file had applied its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    pub index: u64,
    pub term: u64,
    /// Members with a vote; 0 if the file does not say.
    pub voters: usize,
}

/// Reads where the writer of a file stood; cheap beside an import.
pub fn origin(file: File) -> Result<Origin, Error> {
    let bytes = trailer::database_bytes(file.metadata()?.len());
    let db = Db::open(file, bytes)?;
    let mut pass = db.pass();
    let buckets = pass.buckets()?;
    Ok(Meta::read(&mut pass, find(&buckets, schema::META)?)?.origin)
}

/// Reads the users and roles of a file.
pub fn auth(file: File) -> Result<Auth, Error> {
    let bytes = trailer::database_bytes(file.metadata()?.len());
    let db = Db::open(file, bytes)?;
    let mut pass = db.pass();
    let buckets = pass.buckets()?;
    read_auth(&mut pass, &buckets)
}

/// Makes the store of `options`, which must not exist, of the whole file. It says of itself that
/// it was made of `applied`. Members and cluster version are left out: a restored store begins a
/// cluster of its own (etcd).
///
/// With `raise` the latest revision grows by so much and everything before it counts as
/// compacted, so that no client sees a revision twice. A checksum at the end is not looked at:
/// [`trailer::verify`] does.
///
/// Whatever an error leaves in the directory is no store.
pub fn import(
    file: File,
    options: &Options,
    applied: &AppliedState,
    raise: Option<u64>,
) -> Result<Imported, Error> {
    let bytes = trailer::database_bytes(file.metadata()?.len());
    let db = Db::open(file, bytes)?;
    let mut pass = db.pass();
    let buckets = pass.buckets()?;
    for bucket in &buckets {
        if !KNOWN.contains(&bucket.name.as_slice()) {
            let name = bucket.name.escape_ascii();
            return Err(Error::Unsupported(format!(
                "its bucket {name} is not known"
            )));
        }
    }
    let meta = Meta::read(&mut pass, find(&buckets, schema::META)?)?;
    meta.check_version()?;
    let mut loader = Loader::create(options, meta.compact())?;
    alarms(&mut pass, &buckets, &mut loader)?;
    read_auth(&mut pass, &buckets)?.into_store(&mut loader)?;
    let leases = leases(&mut pass, &buckets, &mut loader)?;
    keys(&mut pass, find(&buckets, schema::KEY)?, &mut loader)?;
    for (id, key) in loader.leased_keys() {
        if !leases.contains(&id) {
            let key = key.escape_ascii();
            return Err(Error::Unsupported(format!(
                "key {key} hangs on lease {id:x}, which it does not hold"
            )));
        }
    }
    if let Some(by) = raise {
        raise_revision(&mut loader, by)?;
    }
    let loaded = loader.finish(&applied.encode(), meta.finished)?;
    Ok(Imported {
        revision: loaded.revision,
        compact_revision: loaded.compact_revision,
        keys: loaded.keys,
        leases: leases.len(),
    })
}

const KNOWN: &[&[u8]] = &[
    schema::ALARM,
    schema::AUTH,
    schema::AUTH_ROLES,
    schema::AUTH_USERS,
    schema::CLUSTER,
    schema::KEY,
    schema::LEASE,
    schema::MEMBERS,
    schema::MEMBERS_REMOVED,
    schema::META,
];

fn find<'a>(buckets: &'a [Bucket], name: &[u8]) -> Result<&'a Bucket, Error> {
    let found = buckets.iter().find(|bucket| bucket.name == name);
    found.ok_or_else(|| {
        let name = name.escape_ascii();
        Error::Unsupported(format!("it has no bucket {name}: etcd did not write it"))
    })
}

/// The rows of `meta` that matter.
#[derive(Debug)]
struct Meta {
    scheduled: i64,
    finished: i64,
    version: Option<String>,
    origin: Origin,
}

impl Meta {
    fn read(pass: &mut Pass<'_>, bucket: &Bucket) -> Result<Meta, Error> {
        let mut meta = Meta {
            scheduled: -1,
            finished: -1,
            version: None,
            origin: Origin::default(),
        };
        pass.rows(bucket, |key, value| {
            match key {
                schema::SCHEDULED_COMPACTION => meta.scheduled = Revision::read(value)?.main,
                schema::FINISHED_COMPACTION => meta.finished = Revision::read(value)?.main,
                schema::STORAGE_VERSION => {
                    meta.version = Some(String::from_utf8_lossy(value).into_owned());
                }
                schema::CONSISTENT_INDEX => meta.origin.index = number(value)?,
                schema::TERM => meta.origin.term = number(value)?,
                schema::CONF_STATE => {
                    let voters: ConfState = serde_json::from_slice(value)
                        .map_err(|error| Error::damaged(format!("confState: {error}")))?;
                    meta.origin.voters = voters.voters.len();
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(meta)
    }

    /// A compaction that was decided is in force, done or not.
    fn compact(&self) -> i64 {
        self.scheduled.max(self.finished)
    }

    /// Servers before 3.6 wrote no version.
    fn check_version(&self) -> Result<(), Error> {
        let Some(text) = self.version.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let mut parts = text.split('.').map(|part| part.parse::<u64>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) if (major, minor) <= schema::VERSION_MAX => Ok(()),
            _ => Err(Error::Unsupported(format!(
                "its data has the shape of version {text}, later than {}",
                schema::VERSION
            ))),
        }
    }
}

fn number(value: &[u8]) -> Result<u64, Error> {
    let number = value.try_into().map(u64::from_be_bytes);
    number.map_err(|_| Error::damaged("an index or a term has the wrong length"))
}

/// Hands over the rows of a bucket that may be missing.
fn each(
    pass: &mut Pass<'_>,
    buckets: &[Bucket],
    name: &[u8],
    take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    match buckets.iter().find(|bucket| bucket.name == name) {
        Some(bucket) => pass.rows(bucket, take),
        None => Ok(()),
    }
}

fn alarms(pass: &mut Pass<'_>, buckets: &[Bucket], loader: &mut Loader) -> Result<(), Error> {
    each(pass, buckets, schema::ALARM, |key, _| {
        let alarm = AlarmMember::decode(key)
            .map_err(|error| Error::damaged(format!("an alarm: {error}")))?;
        let key = rows::alarm(alarm.alarm, alarm.member_id);
        Ok(loader.put_meta(&key, &[])?)
    })
}

fn read_auth(pass: &mut Pass<'_>, buckets: &[Bucket]) -> Result<Auth, Error> {
    let mut auth = Auth::default();
    for name in [schema::AUTH, schema::AUTH_USERS, schema::AUTH_ROLES] {
        each(pass, buckets, name, |key, value| {
            auth.take(name, key, value)
        })?;
    }
    Ok(auth)
}

fn leases(
    pass: &mut Pass<'_>,
    buckets: &[Bucket],
    loader: &mut Loader,
) -> Result<HashSet<i64>, Error> {
    let mut ids = HashSet::new();
    each(pass, buckets, schema::LEASE, |key, value| {
        let lease =
            LeaseRow::decode(value).map_err(|error| Error::damaged(format!("a lease: {error}")))?;
        let granted = (1..=TTL_MAX_SECONDS).contains(&lease.ttl);
        if lease.id == 0 || key != lease.id.to_be_bytes() || !granted {
            return Err(Error::damaged(format!("lease {:x} cannot be", lease.id)));
        }
        let (key, value) = lease_row::encode(lease.id, lease.ttl);
        ids.insert(lease.id);
        Ok(loader.put_meta(&key, &value)?)
    })?;
    Ok(ids)
}

fn keys(pass: &mut Pass<'_>, bucket: &Bucket, loader: &mut Loader) -> Result<(), Error> {
    pass.rows(bucket, |key, value| {
        let write = write(Revision::read(key)?, value)?;
        loader.write(write).map_err(|error| match error {
            // It is the file that is corrupt, not the store that is being made.
            mainstay_mvcc::Error::Corrupt { what } => Error::Damaged(what),
            error => error.into(),
        })
    })
}

fn write(revision: Revision, value: &[u8]) -> Result<Write, Error> {
    let main = revision.main;
    let odd = |what: String| Error::damaged(format!("revision {main}: {what}"));
    let mut kv = KeyValue::decode(value).map_err(|error| odd(error.to_string()))?;
    let raised = value.is_empty() && !revision.tombstone;
    if raised {
        // Left by a restore with a raised revision: a row that stands for no write.
        kv.create_revision = main;
        kv.version = 1;
    } else if kv.key.is_empty() {
        return Err(odd("its row has no key".to_owned()));
    } else if !revision.tombstone && kv.mod_revision != main {
        return Err(odd(format!("its row is of revision {}", kv.mod_revision)));
    }
    Ok(Write {
        revision: main,
        sub: u32::try_from(revision.sub).map_err(|_| odd("too many writes".to_owned()))?,
        delete: revision.tombstone,
        kv,
    })
}

/// Adds the row that makes the revision grow, and counts all before it as compacted.
fn raise_revision(loader: &mut Loader, by: u64) -> Result<(), Error> {
    let raised = i64::try_from(by)
        .ok()
        .and_then(|by| loader.revision().checked_add(by))
        .ok_or_else(|| Error::Unsupported(format!("no revision can be raised by {by}")))?;
    loader.compact_to(raised);
    let marker = Revision {
        main: raised,
        sub: 0,
        tombstone: false,
    };
    Ok(loader.write(write(marker, &[])?)?)
}
