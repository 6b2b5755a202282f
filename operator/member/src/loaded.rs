//! What only the metrics of a member tell: the certificates that it uses at present, and how far its
//! history is compacted.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::error::Error;
use crate::plain;

/// One row for each certificate in use.
const SERIES: &str = "mainstay_tls_certificate_expiry_timestamp_seconds{";

/// The revision before which there is no history.
const COMPACTED: &str = "etcd_debugging_mvcc_compact_revision ";

/// What the metrics tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    pub loaded: BTreeSet<Loaded>,
    /// 0 if it is not told.
    pub compacted: i64,
}

/// A certificate that a member uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loaded {
    /// `client` or `peer`: the listener's side.
    pub side: String,
    /// `listening`, `dialling` or `trusted`.
    pub role: String,
    /// SHA-256 of the DER in lower-case hexadecimal.
    pub fingerprint: String,
}

pub async fn ask(socket: SocketAddr) -> Result<Metrics, Error> {
    let (status, body) = plain::get(socket, "/metrics").await?;
    if !status.is_success() {
        return Err(Error::Status {
            host: socket.to_string(),
            path: "/metrics".to_owned(),
            status: status.as_u16(),
            text: String::new(),
        });
    }
    Ok(parse(&String::from_utf8_lossy(&body)))
}

fn parse(metrics: &str) -> Metrics {
    let rows = metrics.lines().filter_map(|line| line.strip_prefix(SERIES));
    let labels = rows.filter_map(|row| Some(row.split_once('}')?.0));
    let compacted = metrics
        .lines()
        .find_map(|line| line.strip_prefix(COMPACTED));
    // A gauge may be written as a float.
    let compacted = compacted.and_then(|value| value.trim().parse::<f64>().ok());
    Metrics {
        loaded: labels.filter_map(loaded).collect(),
        compacted: compacted.map_or(0, |value| value as i64),
    }
}

fn loaded(labels: &str) -> Option<Loaded> {
    let value = |name: &str| {
        let mut pairs = labels.split(',');
        pairs.find_map(|pair| {
            let value = pair.strip_prefix(name)?.strip_prefix("=\"")?;
            Some(value.trim_end_matches('"').to_owned())
        })
    };
    Some(Loaded {
        side: value("side")?,
        role: value("role")?,
        fingerprint: value("fingerprint")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_from_the_metrics_of_a_member() {
        let text = "# TYPE mainstay_tls_certificate_expiry_timestamp_seconds gauge\n\
            mainstay_tls_certificate_expiry_timestamp_seconds{side=\"client\",role=\"trusted\",fingerprint=\"ab\"} 1\n\
            etcd_debugging_mvcc_compact_revision 7\n\
            mainstay_tls_certificate_expiry_timestamp_seconds{odd=\"1\"} 1\n\
            mainstay_tls_reloads_total{side=\"client\"} 3\n";
        let found = parse(text);
        let expected = Loaded {
            side: "client".into(),
            role: "trusted".into(),
            fingerprint: "ab".into(),
        };
        assert_eq!(found.loaded, BTreeSet::from([expected]));
        assert_eq!(found.compacted, 7);
    }
}
