//! gRPC calls: every method with every code, zero from the start, so that rates have a beginning.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::context::Context;
use crate::error::CODE_NAMES;
use crate::grpc::MethodCounters;
use crate::metrics::{Text, escape};
use crate::rights::{ROWS, Row};

/// Which counter of a method a family shows.
type Pick = fn(&MethodCounters) -> &AtomicU64;

const COUNTERS: [(&str, &str, Pick); 3] = [
    (
        "grpc_server_started_total",
        "Total number of RPCs started on the server.",
        |counters| &counters.started,
    ),
    (
        "grpc_server_msg_received_total",
        "Total number of RPC stream messages received on the server.",
        |counters| &counters.received,
    ),
    (
        "grpc_server_msg_sent_total",
        "Total number of gRPC stream messages sent by the server.",
        |counters| &counters.sent,
    ),
];

pub fn write(context: &Context, text: &mut Text) {
    for (name, help, pick) in COUNTERS {
        let mut family = text.counter(name, help);
        for (row, counters) in rows(context) {
            family.labelled(&labels(row, ""), pick(counters).load(Relaxed));
        }
    }
    let mut handled = text.counter(
        "grpc_server_handled_total",
        "Total number of RPCs completed on the server, regardless of success or failure.",
    );
    for (row, counters) in rows(context) {
        for (code, count) in CODE_NAMES.iter().zip(&counters.handled) {
            let code = format!("grpc_code=\"{code}\",");
            handled.labelled(&labels(row, &code), count.load(Relaxed));
        }
    }
    durations(context, text);
    requests(context, text);
}

/// Only with `--metrics=extensive`, as in etcd.
fn durations(context: &Context, text: &mut Text) {
    if rows(context).all(|(_, counters)| counters.seconds.is_none()) {
        return;
    }
    let mut family = text.histogram(
        "grpc_server_handling_seconds",
        "Histogram of response latency (seconds) of gRPC that had been application-level handled \
         by the server.",
    );
    for (row, counters) in rows(context) {
        if let Some(seconds) = &counters.seconds {
            family.buckets(&labels(row, ""), seconds);
        }
    }
}

fn rows(context: &Context) -> impl Iterator<Item = (&'static Row, &MethodCounters)> {
    ROWS.iter()
        .filter_map(|row| Some((row, context.calls.method(row.method as usize)?)))
}

fn labels(row: &Row, code: &str) -> String {
    let (name, service, shape) = (row.name, row.service, row.shape.label());
    format!("{code}grpc_method=\"{name}\",grpc_service=\"{service}\",grpc_type=\"{shape}\"")
}

fn requests(context: &Context, text: &mut Text) {
    let observed = &context.observed;
    let mut clients = text.counter(
        "etcd_server_client_requests_total",
        "The total number of client requests per client version.",
    );
    for (version, unary, stream) in observed.clients.all() {
        for (kind, count) in [("unary", unary), ("stream", stream)] {
            let version = escape(&version);
            clients.labelled(
                &format!("client_api_version=\"{version}\",type=\"{kind}\""),
                count,
            );
        }
    }
    let mut seconds = text.histogram(
        "etcd_server_request_duration_seconds",
        "Response latency histogram in seconds for each type.",
    );
    for (kind, requests) in [
        ("Put", &observed.put_seconds),
        ("Range", &observed.range_seconds),
        ("DeleteRange", &observed.delete_seconds),
        ("Txn", &observed.txn_seconds),
    ] {
        for (success, histogram) in [("true", &requests.succeeded), ("false", &requests.failed)] {
            seconds.buckets(&format!("success=\"{success}\",type=\"{kind}\""), histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_method_service_and_type() {
        let row = crate::rights::find("/etcdserverpb.Watch/Watch").unwrap();
        assert_eq!(
            labels(row, "grpc_code=\"OK\","),
            "grpc_code=\"OK\",grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",\
             grpc_type=\"bidi_stream\""
        );
    }
}
