//! Bytes and round trips, to clients and to other members.

use std::sync::atomic::Ordering::Relaxed;

use mainstay_raft::PeerMetrics;

use crate::context::Context;
use crate::metrics::Text;

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
    let mut seconds = text.counter(
        "mainstay_peer_round_trip_seconds_total",
        "Time that answered questions to peers took, by peer.",
    );
    for peer in peers {
        let micros = peer.traffic.round_trip_micros.load(Relaxed);
        seconds.labelled(&to(peer), micros as f64 / 1e6);
    }
    let mut count = text.counter(
        "mainstay_peer_round_trips_total",
        "Questions answered by peers.",
    );
    for peer in peers {
        count.labelled(&to(peer), peer.traffic.round_trips.load(Relaxed));
    }
}

fn to(peer: &PeerMetrics) -> String {
    format!("To=\"{:x}\"", peer.id)
}
