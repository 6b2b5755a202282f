use anyhow::{Context, Result};
use mainstay_proto::etcdserverpb as pb;
use pb::request_op::Request;

use crate::cluster::Cluster;
use crate::target::Connection;

/// Leases that are granted; the highest bit is not special in an id.
const LEASES: [i64; 3] = [7, 0x7000_0000_0000_0001, 99];
/// Seconds each is granted, far beyond what a case takes.
const TTL: i64 = 5000;
/// Puts in one txn; etcd takes no more by default.
const TXN_PUTS: usize = 128;

/// Everything a backup must carry: overwritten, deleted and leased keys, txns of several writes,
/// large values, and two compactions with writes before, between and after them.
pub async fn rich(cluster: &Cluster) -> Result<()> {
    let mut writer = Writer::open(cluster).await?;
    for id in LEASES {
        writer.grant(id).await?;
    }
    for round in 0..6 {
        for key in 0..30 {
            let lease = if key % 5 == 0 { LEASES[key % 3] } else { 0 };
            let value = vec![b'a' + round as u8; key * 37];
            writer.put(&format!("key-{key:03}"), value, lease).await?;
        }
        writer
            .txn(&[round, round + 10, round + 20], &[round + 5])
            .await?;
        writer.delete(&format!("key-00{round}"), "").await?;
        writer.delete("key-02", &format!("key-02{round}")).await?;
        writer
            .put(&format!("large-{round}"), vec![7; 300_000], 0)
            .await?;
        writer.put("binary\0\x01\u{ff}", vec![0, 255, 1], 0).await?;
        if round == 2 || round == 4 {
            writer.compact(writer.revision - 20).await?;
        }
    }
    writer.revoke(LEASES[2]).await
}

/// What both sides do after a restore.
pub async fn more(cluster: &Cluster) -> Result<()> {
    let mut writer = Writer::open(cluster).await?;
    for key in 0..20 {
        writer
            .put(&format!("key-{key:03}"), vec![b'z'; 50], LEASES[0])
            .await?;
    }
    writer.delete("large", "largf").await?;
    writer.txn(&[1, 2, 3], &[4, 5]).await?;
    writer.revoke(LEASES[1]).await?;
    writer.compact(writer.revision - 5).await?;
    writer.put("last", vec![1], 0).await
}

/// So many keys, a quarter of them written twice.
pub async fn many(cluster: &Cluster, keys: usize) -> Result<()> {
    let mut writer = Writer::open(cluster).await?;
    for first in (0..keys).step_by(TXN_PUTS) {
        writer.puts(first..keys.min(first + TXN_PUTS), 120).await?;
    }
    for first in (0..keys / 4).step_by(TXN_PUTS) {
        writer
            .puts(first..(keys / 4).min(first + TXN_PUTS), 60)
            .await?;
    }
    writer.compact(writer.revision - 10).await
}

struct Writer {
    connection: Connection,
    revision: i64,
}

impl Writer {
    async fn open(cluster: &Cluster) -> Result<Writer> {
        Ok(Writer {
            connection: cluster.connect(0).await?,
            revision: 0,
        })
    }

    fn note(&mut self, header: Option<pb::ResponseHeader>) {
        self.revision = header.map_or(self.revision, |header| header.revision);
    }

    async fn put(&mut self, key: &str, value: Vec<u8>, lease: i64) -> Result<()> {
        let request = pb::PutRequest {
            key: key.to_owned().into(),
            value: value.into(),
            lease,
            ..Default::default()
        };
        let answer = self.connection.kv.put(request).await.context("put")?;
        self.note(answer.into_inner().header);
        Ok(())
    }

    async fn delete(&mut self, key: &str, end: &str) -> Result<()> {
        let request = pb::DeleteRangeRequest {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            prev_kv: false,
        };
        let answer = self.connection.kv.delete_range(request).await?;
        self.note(answer.into_inner().header);
        Ok(())
    }

    async fn puts(&mut self, keys: std::ops::Range<usize>, bytes: usize) -> Result<()> {
        let puts = keys.map(|key| put_op(&format!("many/{key:08}"), vec![b'v'; bytes]));
        self.commit(puts.collect()).await
    }

    async fn txn(&mut self, put: &[usize], delete: &[usize]) -> Result<()> {
        let puts = put
            .iter()
            .map(|key| put_op(&format!("txn-{key}"), vec![1; *key]));
        let deletes = delete.iter().map(|key| pb::RequestOp {
            request: Some(Request::RequestDeleteRange(pb::DeleteRangeRequest {
                key: format!("txn-{key}").into(),
                ..Default::default()
            })),
        });
        self.commit(puts.chain(deletes).collect()).await
    }

    async fn commit(&mut self, success: Vec<pb::RequestOp>) -> Result<()> {
        let request = pb::TxnRequest {
            success,
            ..Default::default()
        };
        let answer = self.connection.kv.txn(request).await.context("txn")?;
        self.note(answer.into_inner().header);
        Ok(())
    }

    async fn compact(&mut self, revision: i64) -> Result<()> {
        let request = pb::CompactionRequest {
            revision,
            physical: true,
        };
        let compacted = self.connection.kv.compact(request).await;
        compacted.with_context(|| format!("compact {revision}"))?;
        Ok(())
    }

    async fn grant(&mut self, id: i64) -> Result<()> {
        let request = pb::LeaseGrantRequest { id, ttl: TTL };
        self.connection.lease.lease_grant(request).await?;
        Ok(())
    }

    async fn revoke(&mut self, id: i64) -> Result<()> {
        let request = pb::LeaseRevokeRequest { id };
        let answer = self.connection.lease.lease_revoke(request).await?;
        self.note(answer.into_inner().header);
        Ok(())
    }
}

fn put_op(key: &str, value: Vec<u8>) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(Request::RequestPut(pb::PutRequest {
            key: key.to_owned().into(),
            value: value.into(),
            ..Default::default()
        })),
    }
}
