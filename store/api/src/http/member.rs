//! `/member`: who this member is and which part it plays, once, or with `?watch=true` as it changes.
//!
//! etcd has no such page. An operator labels pods by it the moment a leader changes and need not ask
//! each member over and over. It shows no data and takes no request, so it is on the metrics URLs too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{only_get, values};
use crate::context::Context;
use crate::grpc::Body;
use crate::waiting::Kept;

/// Raft does not tell that a leader has fallen silent, so that is looked for this often.
const LOOK: Duration = Duration::from_millis(100);

/// Without a change a line comes after this time, so that a broken connection is noticed on both of
/// its ends.
const REPEAT: Duration = Duration::from_secs(10);

pub fn answer(context: &Arc<Context>, method: &Method, query: &str) -> Response<Body> {
    if let Some(refused) = only_get(method) {
        return refused;
    }
    let watched = values(query, "watch").iter().any(|value| value == "true");
    respond(match watched {
        true => Body::pieces(lines(context.clone())),
        false => Body::full(line(&describe(context))),
    })
}

/// The same of a member that is here and takes no part: why, and how far its log reaches.
pub fn at_rest(kept: &Kept, reason: &str) -> Response<Body> {
    let log = kept.log_end;
    respond(Body::full(line(&json!({
        "id": format!("{:x}", kept.member),
        "name": kept.name,
        "clusterID": format!("{:x}", kept.cluster),
        "role": "none",
        "term": log.map_or(0, |(term, _)| term),
        "leader": null,
        "reason": reason,
        "log": log.map(|(term, index)| json!({"term": term, "index": index})),
    }))))
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A line now and one for each change, until the member stops.
fn lines(context: Arc<Context>) -> impl Stream<Item = Bytes> + Send {
    async_stream::stream! {
        let mut changes = context.node.changes();
        let mut told = Value::Null;
        let mut told_at = Instant::now();
        loop {
            let now = describe(&context);
            if now != told || told_at.elapsed() >= REPEAT {
                yield line(&now);
                told = now;
                told_at = Instant::now();
            }
            if timeout(LOOK, changes.next()).await == Ok(false) {
                return;
            }
        }
    }
}

/// Ids are hexadecimal, as everywhere where people read them; without a leader `leader` is null.
fn describe(context: &Context) -> Value {
    let (own, status) = (context.node.member_id(), context.node.status());
    let attributes = context.view.attributes(own);
    json!({
        "id": format!("{own:x}"),
        "name": attributes.map(|known| known.name).unwrap_or_default(),
        "clusterID": format!("{:x}", context.node.cluster_id()),
        "role": role(own, status.leader, status.learner),
        "term": status.term,
        "leader": status.leader.map(|leader| format!("{leader:x}")),
    })
}

fn role(own: u64, leader: Option<u64>, learner: bool) -> &'static str {
    match leader {
        Some(leader) if leader == own => "leader",
        _ if learner => "learner",
        Some(_) => "follower",
        None => "none",
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_follows_from_leader_and_membership() {
        assert_eq!(role(1, Some(1), false), "leader");
        assert_eq!(role(1, Some(2), false), "follower");
        assert_eq!(role(1, None, false), "none");
        // A learner is one whether it hears a leader or not.
        assert_eq!(role(1, Some(2), true), "learner");
        assert_eq!(role(1, None, true), "learner");
    }
}
