//! A collector of traces in this process: takes spans by OTLP over gRPC and keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What has come in so far.
#[derive(Debug, Default)]
pub struct Taken {
    pub spans: Vec<Span>,
    /// Attributes of the resources, all of which must say the same.
    pub resources: Vec<BTreeMap<String, String>>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Collector {
    pub address: String,
    pub taken: Arc<Mutex<Taken>>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Result<Collector> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let taken = Arc::<Mutex<Taken>>::default();
        let service = TraceServiceServer::new(Service(taken.clone()));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move {
            // Nothing comes in any more then, which whoever waits for spans finds out.
            let _ = serving.await;
        });
        Ok(Collector {
            address,
            taken,
            serving,
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Service(Arc<Mutex<Taken>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut taken = self.0.lock();
        for resource_spans in request.into_inner().resource_spans {
            let resource = resource_spans.resource.unwrap_or_default();
            taken.resources.push(attributes(&resource.attributes));
            for scope_spans in resource_spans.scope_spans {
                taken.spans.extend(scope_spans.spans);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Attributes by name, each value with its kind.
pub fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = pairs.iter();
    pairs.map(|pair| (pair.key.clone(), text(pair))).collect()
}
