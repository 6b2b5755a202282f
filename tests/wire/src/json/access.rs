use std::time::Instant;

use anyhow::{Result, bail};
use mainstay_proto::etcdserverpb as pb;

use super::{Gateways, now};
use crate::options::Options;
use crate::plain_http::with_headers;
use crate::target::Target;

/// `--cors`, `--host-whitelist` and `--enable-grpc-gateway` of both servers, on requests with and without the headers.
pub async fn run(options: &Options) -> Result<Instant> {
    let since = now();
    for flags in [
        &[][..],
        &["--cors=http://a.example:80,https://b.example:443"],
        &["--host-whitelist=a.example,127.0.0.1"],
        &["--host-whitelist=a.example", "--cors=http://a.example:80"],
        &["--enable-grpc-gateway=false"],
    ] {
        let gateways = Gateways::start(options, flags).await?;
        for origin in ["", "http://a.example:80", "http://c.example:80"] {
            for host in [
                "a.example",
                "a.example:2379",
                "c.example",
                "localhost",
                "127.0.0.1:1",
            ] {
                for (method, path) in [
                    ("GET", "/health"),
                    ("POST", "/v3/kv/range"),
                    ("GET", "/nothing"),
                    ("GET", "/v3"),
                    ("OPTIONS", "/v3/kv/range"),
                    ("GET", "/version"),
                ] {
                    one(&gateways, method, path, host, origin, flags).await?;
                }
            }
        }
        for side in &gateways.sides {
            // gRPC goes by no host name.
            let target = Target::open(&side.cluster).await?;
            let range = pb::RangeRequest {
                key: "k".into(),
                ..Default::default()
            };
            target.at(0).kv.clone().range(range).await?;
        }
    }
    Ok(since)
}

async fn one(
    gateways: &Gateways,
    method: &str,
    path: &str,
    host: &str,
    origin: &str,
    flags: &[&str],
) -> Result<()> {
    let mut headers = vec![("Host", host)];
    if !origin.is_empty() {
        headers.push(("Origin", origin));
    }
    let mut told = Vec::new();
    for side in &gateways.sides {
        let body = if method == "POST" {
            "{\"key\":\"YQ==\"}"
        } else {
            ""
        };
        let answer = with_headers(&side.door, method, path, &headers, body).await?;
        let allowed = |name: &str| {
            answer
                .headers
                .get(&format!("access-control-allow-{name}"))
                .cloned()
        };
        told.push((
            answer.status,
            ["origin", "methods", "headers"].map(allowed),
            answer.headers.get("content-type").cloned(),
        ));
    }
    if told[0] != told[1] {
        bail!(
            "{method} {path} for {host} from {origin:?} with {flags:?}\n  reference: {:?}\n  \
             subject:   {:?}",
            told[0],
            told[1]
        );
    }
    Ok(())
}
