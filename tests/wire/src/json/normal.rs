use serde_json::{Value, json};

use crate::normalise::Ids;

/// How the complaints of both servers about JSON begin. What they say is their parser's business.
const COMPLAINTS: &[&str] = &[
    "proto:",
    "json:",
    "invalid character",
    "unexpected EOF",
    "illegal base64",
];
/// What etcd's gateway says of a stream whose time is over when its own gRPC client learns it from
/// the server, which resets the stream at the same moment, rather than from its own clock.
const RESET: &str = "stream terminated by RST_STREAM with error code: CANCEL";
const TIME_OVER: &str = "context deadline exceeded";
/// Fields that count time or bytes, or follow the number of elections.
const FREE: &[&str] = &[
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "storageVersion",
];
/// Lists whose order is not promised.
const UNORDERED: &[&str] = &["leases", "alarms", "keys", "members"];

/// Brings what may differ into one form: ids become canonical, free numbers a star.
pub fn normalise(path: &str, value: &mut Value, ids: &Ids) {
    let Value::Object(fields) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(|item| normalise(path, item, ids));
        }
        return;
    };
    for (name, field) in fields.iter_mut() {
        normalise(path, field, ids);
        match name.as_str() {
            // An empty store uses no byte here, and what is zero is not told.
            name if FREE.contains(&name) => *field = json!("*"),
            "cluster_id" if number(field) == Some(i128::from(ids.cluster)) => {
                *field = json!("cluster");
            }
            "member_id" | "memberID" | "leader" | "ID" | "lease" => id(field, ids),
            // Remaining time; and the checksum of a whole store is each server's own.
            "TTL" if path.ends_with("timetolive") && number(field) > Some(0) => *field = json!("*"),
            "hash" if path.ends_with("/hash") => *field = json!("*"),
            "message" => complaint(field, ids),
            "name" => member_name(field, ids),
            "peerURLs" | "clientURLs" | "errors" => texts(field, ids),
            _ => {}
        }
        if let (true, Value::Array(items)) = (UNORDERED.contains(&name.as_str()), field) {
            items.sort_by_key(Value::to_string);
        }
    }
}

fn number(value: &Value) -> Option<i128> {
    value.as_str()?.parse().ok()
}

/// An id of a member or of a lease; the two never meet in one number by chance.
fn id(field: &mut Value, ids: &Ids) {
    let Some(real) = number(field) else {
        return;
    };
    if let Ok(real) = u64::try_from(real) {
        let canonical = ids.member(real);
        if canonical != real {
            *field = json!(canonical.to_string());
            return;
        }
    }
    if let Ok(real) = i64::try_from(real) {
        *field = json!(ids.lease(real).to_string());
    }
}

fn complaint(field: &mut Value, ids: &Ids) {
    let text = field.as_str().unwrap_or_default();
    let of_json = COMPLAINTS.iter().any(|begin| text.starts_with(begin));
    *field = if of_json {
        json!("not the JSON that is wanted")
    } else if text == RESET {
        json!(TIME_OVER)
    } else {
        json!(ids.text(text))
    };
}

fn member_name(field: &mut Value, ids: &Ids) {
    let name = field.as_str().unwrap_or_default();
    if let Some(at) = ids.members.iter().position(|known| known.1 == name) {
        *field = json!(format!("member-{at}"));
    }
}

fn texts(field: &mut Value, ids: &Ids) {
    for item in field.as_array_mut().into_iter().flatten() {
        let text = ids.text(item.as_str().unwrap_or_default());
        *item = json!(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_stays_absent_and_revisions_are_kept() {
        let ids = Ids {
            cluster: 9,
            members: vec![(4, "m0".into())],
            ..Ids::default()
        };
        let mut value = json!({
            "header": {"cluster_id": "9", "member_id": "4", "revision": "7", "raft_term": "3"},
            "kvs": [{"version": "2", "lease": "77"}],
        });
        normalise("/v3/kv/range", &mut value, &ids);
        let header = json!({
            "cluster_id": "cluster", "member_id": "40960", "revision": "7", "raft_term": "*",
        });
        assert_eq!(
            value,
            json!({"header": header, "kvs": [{"version": "2", "lease": "77"}]})
        );
    }

    #[test]
    fn complaints_about_json_are_one_and_other_texts_are_kept() {
        let ids = Ids::default();
        for (text, same) in [("proto: (line 1:2): x", true), ("etcdserver: x", false)] {
            let mut value = json!({"code": 3, "message": text});
            normalise("/", &mut value, &ids);
            assert_eq!(value["message"] != text, same, "{text}");
        }
    }

    #[test]
    fn whoever_tells_that_time_is_over_it_is_over() {
        let told = |text: &str| {
            let mut value = json!({"code": 4, "message": text});
            normalise("/v3/watch", &mut value, &Ids::default());
            value
        };
        assert_eq!(told(RESET), told(TIME_OVER));
        assert_ne!(told(RESET), told("etcdserver: request timed out"));
    }
}
