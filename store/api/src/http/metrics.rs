//! `/metrics`: what etcd's dashboards and alerts read, with etcd's meaning, and what is ours.
//!
//! Each file writes one group. A metric that has nothing true to say here is left out rather than
//! shown as zero; what a client or dashboard of etcd reads and does not find is listed in
//! `store/api/README.md`.

mod calls;
mod network;
pub mod process;
mod raft;
mod store;
mod tls;

use http::{HeaderValue, Response, header};

use crate::context::Context;
use crate::grpc::Body;
use crate::metrics::Text;

const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");

pub fn answer(context: &Context) -> Response<Body> {
    let mut text = Text::default();
    raft::write(context, &mut text);
    network::write(context, &mut text);
    store::write(context, &mut text);
    calls::write(context, &mut text);
    process::write(&mut text);
    tls::write(context, &mut text);
    text.gauge(
        "mainstay_build_info",
        "Version of Mainstay itself, by label.",
    )
    .labelled(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1);
    text.counter(
        "mainstay_log_dropped_lines_total",
        "Lines of the log that nobody took in time.",
    )
    .value(
        context
            .log_dropped
            .load(std::sync::atomic::Ordering::Relaxed),
    );
    let mut response = Response::new(Body::full(text.finish()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}
