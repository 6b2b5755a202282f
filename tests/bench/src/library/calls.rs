//! Puts and gets, through the stub and through the client, over one connection each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use mainstay_client::Client;
use mainstay_proto::etcdserverpb::kv_client::KvClient;
use mainstay_proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::{Shown, in_turn, measured};

const AT_ONCE: u64 = 64;
const OPERATIONS: u64 = 100_000;
const VALUE: [u8; 256] = [b'v'; 256];
/// Keys that are put, one after the other.
const KEYS: u64 = 10_000;
const GOT: &str = "bench/got";

pub async fn puts(url: &str, ours_first: bool) -> Result<[Shown; 2]> {
    let stub = stub(url).await?;
    let client = client(url).await?;
    let bare = crowd(move |at| {
        let mut stub = stub.clone();
        async move {
            let request = PutRequest {
                key: key(at).into(),
                value: VALUE.to_vec().into(),
                ..PutRequest::default()
            };
            stub.put(request).await?;
            Ok(())
        }
    });
    let ours = crowd(move |at| {
        let client = client.clone();
        async move {
            client.put(key(at), VALUE).await?;
            Ok(())
        }
    });
    in_turn(ours_first, bare, ours).await
}

pub async fn gets(url: &str, ours_first: bool) -> Result<[Shown; 2]> {
    let stub = stub(url).await?;
    let client = client(url).await?;
    client.put(GOT, VALUE).await?;
    let bare = crowd(move |_| {
        let mut stub = stub.clone();
        async move {
            let request = RangeRequest {
                key: GOT.into(),
                ..RangeRequest::default()
            };
            stub.range(request).await?;
            Ok(())
        }
    });
    let ours = crowd(move |_| {
        let client = client.clone();
        async move {
            client.get(GOT).await?;
            Ok(())
        }
    });
    in_turn(ours_first, bare, ours).await
}

fn key(at: u64) -> String {
    format!("bench/put/{:06}", at % KEYS)
}

async fn stub(url: &str) -> Result<KvClient<tonic::transport::Channel>> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
    Ok(KvClient::new(endpoint.connect().await?))
}

/// Connected, as the stub is.
async fn client(url: &str) -> Result<Client> {
    let client = Client::builder().endpoint(url).build()?;
    client.get(GOT).await?;
    Ok(client)
}

/// All operations, so many under way at a time.
async fn crowd<F>(one: impl Fn(u64) -> F + Send + Sync + 'static) -> Result<Shown>
where
    F: Future<Output = Result<()>> + Send,
{
    let (next, one) = (Arc::new(AtomicU64::new(0)), Arc::new(one));
    measured(OPERATIONS, async {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (next, one) = (next.clone(), one.clone());
            tasks.spawn(async move {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= OPERATIONS {
                        return anyhow::Ok(());
                    }
                    one(at).await?;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
    .await
}
