use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;

use crate::cluster::Cluster;
use crate::outcome::excerpt;
use crate::target::Connection;

/// Revisions before the latest that are looked at one by one.
const PAST_REVISIONS: i64 = 24;

/// What a client can learn of a store.
#[derive(Debug)]
pub struct Seen {
    pub revision: i64,
    pub count: i64,
    /// HashKV of the latest revision, and the compact revision it names.
    pub hash: u32,
    pub compact_revision: i64,
    /// Everything else, in a form that is equal where the stores are.
    rest: Vec<String>,
}

impl Seen {
    /// Asks the first member, by linearizable reads.
    pub async fn of(cluster: &Cluster) -> Result<Seen> {
        let mut connection = cluster.connect(0).await?;
        let all = range(&mut connection, 0).await?;
        let revision = all.header.as_ref().map_or(0, |header| header.revision);
        let hash = hash(&mut connection, 0).await?;
        let mut seen = Seen {
            revision,
            count: all.count,
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            rest: vec![format!("{:?}", all.kvs)],
        };
        for past in (revision - PAST_REVISIONS).max(1)..=revision {
            seen.past(&mut connection, past).await?;
        }
        seen.leases(&mut connection).await?;
        let alarms = connection.maintenance.alarm(pb::AlarmRequest::default());
        seen.rest
            .push(format!("alarms {:?}", alarms.await?.into_inner().alarms));
        Ok(seen)
    }

    async fn past(&mut self, connection: &mut Connection, revision: i64) -> Result<()> {
        let line = match range(connection, revision).await {
            Ok(found) => format!("{:?} {}", found.kvs, found.count),
            Err(error) => format!("{error:#}"),
        };
        self.rest.push(format!("at {revision}: {line}"));
        if revision > self.compact_revision {
            let hash = hash(connection, revision).await?.hash;
            self.rest.push(format!("hash of {revision}: {hash}"));
        }
        Ok(())
    }

    /// Every lease with what was granted and the keys that hang on it.
    async fn leases(&mut self, connection: &mut Connection) -> Result<()> {
        let list = connection.lease.lease_leases(pb::LeaseLeasesRequest {});
        let list = list.await.context("list leases")?.into_inner();
        let mut ids: Vec<i64> = list.leases.iter().map(|lease| lease.id).collect();
        ids.sort_unstable();
        for id in ids {
            let request = pb::LeaseTimeToLiveRequest { id, keys: true };
            let asked = connection.lease.lease_time_to_live(request).await?;
            let lease = asked.into_inner();
            let mut keys = lease.keys;
            keys.sort();
            let granted = lease.granted_ttl;
            ensure!(lease.ttl > 0, "lease {id} has {} s left", lease.ttl);
            self.rest
                .push(format!("lease {id} of {granted} s: {keys:?}"));
        }
        Ok(())
    }

    /// Fails with the first difference.
    pub fn compare(&self, other: &Seen) -> Result<()> {
        ensure!(
            self.revision == other.revision,
            "revision {} became {}",
            self.revision,
            other.revision
        );
        ensure!(
            self.compact_revision == other.compact_revision,
            "compact revision {} became {}",
            self.compact_revision,
            other.compact_revision
        );
        for (a, b) in self.rest.iter().zip(&other.rest) {
            ensure!(a == b, "{}\n  became\n  {}", excerpt(a, b), excerpt(b, a));
        }
        ensure!(self.rest.len() == other.rest.len(), "leases differ");
        ensure!(
            self.hash == other.hash,
            "HashKV {} became {}",
            self.hash,
            other.hash
        );
        Ok(())
    }
}

async fn range(connection: &mut Connection, revision: i64) -> Result<pb::RangeResponse> {
    let request = pb::RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        revision,
        ..Default::default()
    };
    match connection.kv.range(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => anyhow::bail!("{:?} {}", status.code(), status.message()),
    }
}

async fn hash(connection: &mut Connection, revision: i64) -> Result<pb::HashKvResponse> {
    let hash = connection
        .maintenance
        .hash_kv(pb::HashKvRequest { revision })
        .await
        .with_context(|| format!("hash of {revision}"))?;
    Ok(hash.into_inner())
}
