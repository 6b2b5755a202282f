//! Spans of calls, for a collector of traces: their names and attributes are those of etcd 3.7,
//! whose gRPC layer writes the semantic conventions of OpenTelemetry 1.40.
//!
//! A call that carries a W3C `traceparent` continues that trace. Whether it is sampled the sampler
//! of the tracer decides; a call that is not leaves nothing here. What is made of a span that has
//! ended, and what happens when nobody takes it, is the exporter's (`telemetry.rs` of
//! `store/server`): nothing in this file waits.

mod requests;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    SpanKind, Status as SpanStatus, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tonic::{Code, Status};

pub use requests::{
    compact, delete_range, lease, lease_grant, put, range, range_stream, txn, watch,
};

use crate::rights::Row;

/// The scope of all spans.
const SCOPE: &str = "mainstay";

/// Codes as the conventions write them, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The address that a connection came in by; left with its requests where spans are made.
#[derive(Clone, Copy, Debug)]
pub struct LocalAddress(pub SocketAddr);

/// Makes the spans of a member.
pub struct Spans {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Spans {
    pub fn new(provider: &SdkTracerProvider) -> Spans {
        Spans {
            tracer: provider.tracer(SCOPE),
            propagator: TraceContextPropagator::new(),
        }
    }

    /// Begins the span of a call; none if it is not sampled.
    pub fn begin(&self, row: &Row, headers: &HeaderMap, extensions: &Extensions) -> Option<Trace> {
        let parent = self
            .propagator
            .extract_with_context(&Context::new(), &Headers(headers));
        let name = format!("{}/{}", row.service, row.name);
        let mut attributes = vec![
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", name.clone()),
        ];
        if let Some(LocalAddress(address)) = extensions.get() {
            let host = address.ip().to_canonical().to_string();
            attributes.push(KeyValue::new("server.address", host));
            attributes.push(KeyValue::new("server.port", i64::from(address.port())));
        }
        Trace::begin(&self.tracer, &parent, name, SpanKind::Server, attributes)
    }
}

/// A span under way. Clones are the same span; it ends with the last of them, if not before.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: SdkTracer,
    context: Context,
}

impl Trace {
    fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
    ) -> Option<Trace> {
        let builder = tracer
            .span_builder(name)
            .with_kind(kind)
            .with_attributes(attributes);
        let context = parent.with_span(tracer.build_with_context(builder, parent));
        context.span().is_recording().then(|| {
            Trace(Arc::new(Inner {
                tracer: tracer.clone(),
                context,
            }))
        })
    }

    /// Begins a span below this one.
    pub fn within(&self, name: &'static str, attributes: Vec<KeyValue>) -> Option<Trace> {
        let Inner { tracer, context } = &*self.0;
        Trace::begin(tracer, context, name, SpanKind::Internal, attributes)
    }

    /// Something has happened.
    pub fn event(&self, name: &'static str) {
        self.0.context.span().add_event(name, Vec::new());
    }

    /// Ends the span of a call. Of the failures those that are the server's colour it.
    pub fn end(&self, status: &Status) {
        let span = self.0.context.span();
        let code = CODES.get(status.code() as usize).copied();
        span.set_attribute(KeyValue::new(
            "rpc.response.status_code",
            code.unwrap_or("UNKNOWN"),
        ));
        if matches!(
            status.code(),
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ) {
            span.set_status(SpanStatus::error(status.message().to_owned()));
        }
        span.end();
    }
}

/// Headers as a propagator asks for them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Value;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};
    use parking_lot::Mutex;

    use super::*;
    use crate::rights;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    /// A call of `Put` with this `traceparent`, and the spans it leaves.
    fn spans(rate: f64, traceparent: Option<&str>, end: &Status) -> Vec<SpanData> {
        let exporter = Kept::default();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rate)));
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .with_sampler(sampler)
            .build();
        let mut headers = HeaderMap::new();
        if let Some(parent) = traceparent {
            headers.insert("traceparent", parent.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(LocalAddress(([127, 0, 0, 1], 2379).into()));
        let row = rights::find("/etcdserverpb.KV/Put").unwrap();
        if let Some(call) = Spans::new(&provider).begin(row, &headers, &extensions) {
            let inner = call.within("put", vec![KeyValue::new("key", "k")]);
            inner.unwrap().event("Send raft proposal");
            call.end(end);
        }
        std::mem::take(&mut *exporter.0.lock())
    }

    fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
        let mut all = span.attributes.iter();
        all.find(|pair| pair.key.as_str() == key)
            .map(|pair| &pair.value)
    }

    #[test]
    fn a_trace_is_continued() {
        let sampled = format!("{PARENT}-01");
        let spans = spans(0.0, Some(&sampled), &Status::ok(""));
        let [inner, call] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(call.name, "etcdserverpb.KV/Put");
        assert_eq!(call.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(inner.parent_span_id, call.span_context.span_id());
        assert_eq!(inner.span_context.trace_id(), call.span_context.trace_id());
        let trace_id = call.span_context.trace_id().to_string();
        assert!(sampled.contains(&trace_id), "{trace_id}");
        assert_eq!(
            attribute(call, "rpc.response.status_code"),
            Some(&"OK".into())
        );
        assert_eq!(attribute(call, "server.port"), Some(&2379.into()));
        assert_eq!(inner.events.len(), 1);
    }

    #[test]
    fn the_parent_decides_and_else_the_rate() {
        let ok = Status::ok("");
        assert!(spans(1.0, Some(&format!("{PARENT}-00")), &ok).is_empty());
        assert!(spans(0.0, None, &ok).is_empty());
        assert_eq!(spans(1.0, None, &ok).len(), 2);
        // What is no parent is passed over.
        assert_eq!(spans(1.0, Some("00-junk"), &ok).len(), 2);
    }

    #[test]
    fn failures_of_the_server_colour_the_span() {
        for (code, coloured) in [(Code::NotFound, false), (Code::Unavailable, true)] {
            let spans = spans(1.0, None, &Status::new(code, "text"));
            let expected = match coloured {
                true => SpanStatus::error("text"),
                false => SpanStatus::Unset,
            };
            assert_eq!(spans[1].status, expected);
        }
    }
}
