//! `/version`: which etcd this is, and which the cluster agrees on.

use http::{HeaderValue, Method, Response, header};

use super::only_get;
use crate::context::{Context, SERVER_VERSION};
use crate::grpc::Body;

pub fn answer(context: &Context, method: &Method) -> Response<Body> {
    if let Some(refused) = only_get(method) {
        return refused;
    }
    let cluster = context.view.cluster_version();
    let content = body(cluster.as_deref(), &context.storage_version());
    let mut response = Response::new(Body::full(content));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn body(cluster: Option<&str>, storage: &str) -> String {
    let cluster = cluster.unwrap_or("not_decided");
    format!(
        r#"{{"etcdserver":"{SERVER_VERSION}","etcdcluster":"{cluster}","storage":"{storage}"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_etcds() {
        assert_eq!(
            body(Some("3.7.0"), "3.7.0"),
            r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#
        );
        assert!(body(None, "3.7.0").contains(r#""etcdcluster":"not_decided""#));
    }
}
