//! `/debug/vars`: what Go's expvar shows of etcd, for the tools that read it there.

use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};

use super::{metrics::process, only_get};
use crate::context::Context;
use crate::grpc::Body;

pub fn answer(context: &Context, method: &Method) -> Response<Body> {
    if let Some(refused) = only_get(method) {
        return refused;
    }
    let variables = json!({
        "cmdline": std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect::<Vec<_>>(),
        "file_descriptor_limit": process::fd_limit_of_process(),
        // Go's fields for its heap and for what it has from the system; there is one number here.
        "memstats": {
            "Alloc": process::resident_bytes_of_process(),
            "Sys": process::resident_bytes_of_process(),
        },
        "raft.status": raft(context),
    });
    let mut response = Response::new(Body::full(variables.to_string()));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The part of etcd's raft status that does not depend on its library.
fn raft(context: &Context) -> Value {
    let (own, status) = (context.node.member_id(), context.node.status());
    let role = match status.leader {
        Some(leader) if leader == own => "StateLeader",
        _ if status.learner => "StateLearner",
        _ => "StateFollower",
    };
    json!({
        "id": format!("{own:x}"),
        "term": status.term,
        "commit": context.node.metrics().committed_index,
        "applied": status.applied_index,
        "lead": format!("{:x}", status.leader.unwrap_or(0)),
        "raftState": role,
    })
}
