//! Export of traces by OTLP over gRPC, as `--enable-distributed-tracing` asks for it.
//!
//! Spans that have ended wait in a queue of the SDK (2048 of them, or `OTEL_BSP_MAX_QUEUE_SIZE`) for
//! its thread, which sends what has come every five seconds, or sooner if it is much. A span that
//! finds the queue full is dropped, and so is a batch that the collector did not take: no request
//! ever waits for a trace. The collector is spoken to without TLS, as etcd does.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use mainstay_api::Spans;
use mainstay_transport::Resolver;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter as Otlp, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::settings::Tracing;

/// Longest wait for the collector to take a batch (OTLP's default).
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the process waits for spans that are left.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Exports spans until it is told to end.
pub struct Telemetry(Option<SdkTracerProvider>);

/// Prepares export if it is asked for. The collector is connected to when there is a span for it,
/// so that it may start after the members.
pub fn start(tracing: Option<&Tracing>, resolver: &Resolver) -> Result<Telemetry> {
    let Some(tracing) = tracing else {
        return Ok(Telemetry(None));
    };
    let address = &tracing.address;
    let channel = channel(address, resolver).with_context(|| format!("collector {address:?}"))?;
    let exporter = Otlp::builder()
        .with_tonic()
        .with_channel(channel)
        .build()
        .with_context(|| format!("export to the collector {address:?}"))?;
    let sampler = Sampler::TraceIdRatioBased(tracing.sampling_rate);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Reported::new(exporter))
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_resource(resource(tracing))
        .build();
    tracing::info!(address, "distributed tracing setup enabled");
    Ok(Telemetry(Some(provider)))
}

impl Telemetry {
    /// What makes the spans of calls.
    pub fn spans(&self) -> Option<Spans> {
        self.0.as_ref().map(Spans::new)
    }

    /// Sends what is left, for a moment. Off this thread, which carries the connection it goes by.
    pub async fn end(self) {
        let Some(provider) = self.0 else {
            return;
        };
        let ended = move || provider.shutdown_with_timeout(LAST_SPANS);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(ended).await {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`, and over them what the flags say.
fn resource(tracing: &Tracing) -> Resource {
    let builder = Resource::builder_empty()
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_service_name(tracing.service_name.clone());
    match &tracing.instance_id {
        Some(id) => builder.with_attribute(KeyValue::new("service.instance.id", id.clone())),
        None => builder,
    }
    .build()
}

/// A connection to the collector, made when it is first used and again when it was lost.
fn channel(address: &str, resolver: &Resolver) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let endpoint = endpoint
        .timeout(EXPORT_TIMEOUT)
        .connect_timeout(EXPORT_TIMEOUT);
    let resolver = resolver.clone();
    let connect = tower::service_fn(move |uri: Uri| connect(uri, resolver.clone()));
    Ok(endpoint.connect_with_connector_lazy(connect))
}

/// Dials by our own resolver: a static program has no other.
async fn connect(uri: Uri, resolver: Resolver) -> io::Result<TokioIo<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(80);
    let addresses = resolver.lookup(host).await.map_err(io::Error::other)?;
    let mut last = io::Error::other("it has no address");
    for ip in addresses {
        match TcpStream::connect((ip, port)).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Says once that the collector takes nothing, and once that it does again.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E> Reported<E> {
    fn new(exporter: E) -> Reported<E> {
        Reported {
            exporter,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        match &result {
            Err(error) if !self.failing.swap(true, Relaxed) => {
                tracing::warn!(%error, spans, "spans are lost: the collector did not take them");
            }
            Ok(()) if self.failing.swap(false, Relaxed) => {
                tracing::info!(spans, "the collector takes spans again");
            }
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::Key;

    use super::*;

    fn tracing(address: &str, id: Option<&str>) -> Tracing {
        Tracing {
            address: address.to_owned(),
            service_name: "store".to_owned(),
            instance_id: id.map(str::to_owned),
            sampling_rate: 1.0,
        }
    }

    #[test]
    fn the_resource_names_service_and_instance() {
        let of = |id| resource(&tracing("localhost:4317", id));
        let name = |resource: &Resource, key| resource.get(&Key::new(key)).map(|v| v.to_string());
        let named = of(Some("m1"));
        assert_eq!(name(&named, "service.name").as_deref(), Some("store"));
        assert_eq!(name(&named, "service.instance.id").as_deref(), Some("m1"));
        assert_eq!(name(&of(None), "service.instance.id"), None);
    }

    #[tokio::test]
    async fn nothing_is_started_without_being_asked_for() {
        let resolver = Resolver::system().unwrap();
        assert!(start(None, &resolver).unwrap().spans().is_none());
        let odd = tracing("a b", None);
        let refused = start(Some(&odd), &resolver).err().unwrap();
        assert!(format!("{refused:#}").contains("a b"), "{refused:#}");
    }

    #[tokio::test]
    async fn a_collector_that_is_not_there_costs_no_more_than_a_moment() {
        use opentelemetry::trace::{Tracer as _, TracerProvider as _};

        let resolver = Resolver::system().unwrap();
        // The port of a listener that is gone.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap().to_string();
        drop(gone);
        let telemetry = start(Some(&tracing(&address, None)), &resolver).unwrap();
        let tracer = telemetry.0.as_ref().unwrap().tracer("test");
        // Far more than the queue holds.
        for _ in 0..10_000 {
            drop(tracer.start("span"));
        }
        tokio::time::timeout(2 * LAST_SPANS, telemetry.end())
            .await
            .expect("the end waits for the limit only");
    }
}
