//! `/health`: one word and a reason, for load balancers and old probes.

use std::sync::atomic::Ordering::Relaxed;

use http::{Method, Response, StatusCode};
use mainstay_proto::etcdserverpb::{AlarmMember, AlarmType};

use super::{only_get, readyz, text, values};
use crate::context::Context;
use crate::grpc::Body;

/// Alarms of any member, then a leader, then a read. `exclude` leaves alarms out of it,
/// `serializable=true` the leader.
pub async fn answer(context: &Context, method: &Method, query: &str) -> Response<Body> {
    if let Some(refused) = only_get(method) {
        return refused;
    }
    let serializable = values(query, "serializable")
        .first()
        .is_some_and(|value| value == "true");
    let excluded = values(query, "exclude");
    let reason = match alarm_reason(&context.view.alarms(), &excluded) {
        Some(reason) => Some(reason),
        None if !serializable && context.node.leader().is_none() => {
            Some("RAFT NO LEADER".to_owned())
        }
        None => {
            let read = readyz::read(context, serializable).await;
            read.err().map(|error| format!("RANGE ERROR:{error}"))
        }
    };
    let counted = match reason {
        None => &context.observed.health_success,
        Some(_) => &context.observed.health_failures,
    };
    counted.fetch_add(1, Relaxed);
    match reason {
        None => text(StatusCode::OK, body(true, "")),
        Some(reason) => {
            tracing::warn!(reason, "serving /health false");
            text(StatusCode::SERVICE_UNAVAILABLE, body(false, &reason) + "\n")
        }
    }
}

fn alarm_reason(alarms: &[AlarmMember], excluded: &[String]) -> Option<String> {
    let name = |alarm: &AlarmMember| {
        AlarmType::try_from(alarm.alarm).map_or("UNKNOWN", |known| known.as_str_name())
    };
    let standing = alarms.iter().map(name);
    let mut counted = standing.filter(|name| !excluded.iter().any(|other| other == name));
    counted.next().map(|name| format!("ALARM {name}"))
}

fn body(health: bool, reason: &str) -> String {
    format!(r#"{{"health":"{health}","reason":"{reason}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_etcds() {
        assert_eq!(body(true, ""), r#"{"health":"true","reason":""}"#);
        assert_eq!(
            body(false, "ALARM NOSPACE"),
            r#"{"health":"false","reason":"ALARM NOSPACE"}"#
        );
    }

    #[test]
    fn one_alarm_of_any_member_is_enough() {
        let alarms = [
            AlarmMember {
                member_id: 3,
                alarm: 1,
            },
            AlarmMember {
                member_id: 4,
                alarm: 2,
            },
        ];
        assert_eq!(alarm_reason(&alarms, &[]).unwrap(), "ALARM NOSPACE");
        let nospace = "NOSPACE".to_owned();
        assert_eq!(
            alarm_reason(&alarms, std::slice::from_ref(&nospace)).unwrap(),
            "ALARM CORRUPT"
        );
        assert_eq!(
            alarm_reason(&alarms, &[nospace, "CORRUPT".to_owned()]),
            None
        );
        assert_eq!(alarm_reason(&[], &[]), None);
    }
}
