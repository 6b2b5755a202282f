//! Bytes and round trips, to clients and to other members.

use std::sync::atomic::Ordering::Relaxed;

use mainstay_raft::{PeerMetrics, ROUND_TRIP_BOUND_MICROS, Traffic};

use crate::context::Context;
use crate::metrics::{Snapshot, Text};

pub fn write(context: &Context, text: &mut Text) {
    let calls = &context.calls;
    text.counter(
        "etcd_network_client_grpc_received_bytes_total",
        "The total number of bytes received from grpc clients.",
    )
    .value(calls.received_bytes.load(Relaxed));
    text.counter(
        "etcd_network_client_grpc_sent_bytes_total",
        "The total number of bytes sent to grpc clients.",
    )
    .value(calls.sent_bytes.load(Relaxed));
    let peers = context.node.metrics().peers;
    if !peers.is_empty() {
        traffic(&peers, text);
        round_trips(&peers, text);
    }
}

fn traffic(peers: &[PeerMetrics], text: &mut Text) {
    let mut sent = text.counter(
        "etcd_network_peer_sent_bytes_total",
        "The total number of bytes sent to peers.",
    );
    for peer in peers {
        sent.labelled(&to(peer), peer.traffic.sent_bytes.load(Relaxed));
    }
    let mut received = text.counter(
        "etcd_network_peer_received_bytes_total",
        "The total number of bytes received from peers.",
    );
    for peer in peers {
        let from = format!("From=\"{:x}\"", peer.id);
        received.labelled(&from, peer.traffic.received_bytes.load(Relaxed));
    }
    let mut failures = text.counter(
        "etcd_network_peer_sent_failures_total",
        "The total number of send failures from peers.",
    );
    for peer in peers {
        failures.labelled(&to(peer), peer.traffic.sent_failures.load(Relaxed));
    }
}

fn round_trips(peers: &[PeerMetrics], text: &mut Text) {
    let mut family = text.histogram(
        "etcd_network_peer_round_trip_time_seconds",
        "Round-Trip-Time histogram between peers",
    );
    for peer in peers {
        family.snapshot(&to(peer), &round_trip(&peer.traffic));
    }
}

fn round_trip(traffic: &Traffic) -> Snapshot {
    let mut bound = ROUND_TRIP_BOUND_MICROS;
    let mut count = 0;
    let mut cumulative = Vec::new();
    for bucket in &traffic.round_trip_buckets {
        count += bucket.load(Relaxed);
        cumulative.push((bound as f64 / 1e6, count));
        bound *= 2;
    }
    Snapshot {
        cumulative,
        count: traffic.round_trips.load(Relaxed).max(count),
        seconds: traffic.round_trip_micros.load(Relaxed) as f64 / 1e6,
    }
}

fn to(peer: &PeerMetrics) -> String {
    format!("To=\"{:x}\"", peer.id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn round_trips_fall_into_etcds_buckets() {
        let traffic = Traffic::default();
        for micros in [100, 101, 3_276_800, 9_000_000] {
            traffic.round_trip(Duration::from_micros(micros));
        }
        let seen = round_trip(&traffic);
        assert_eq!(seen.cumulative[..2], [(0.0001, 1), (0.0002, 2)]);
        assert_eq!(seen.cumulative[15], (3.2768, 3));
        assert_eq!(seen.count, 4);
    }
}
