//! What each certificate of a cluster is to say.

use mainstay_operator_plan::observed::{Leaf, Plane};
use time::Duration;

use super::issue::{Purpose, Request};
use super::names::Place;
use crate::render::Subject;

/// The user that may do everything; etcd's rule.
pub const ROOT: &str = "root";

/// Shown by members to clients.
pub fn member(place: &Place<'_>, subject: &Subject<'_>, days: u32) -> Request {
    Request {
        // No user has such a name, so whoever holds it alone has no right by it.
        common_name: format!("{}-server", place.cluster),
        names: place.server(&subject.spec.tls.extra_sans),
        purpose: Purpose::Member,
        lifetime: Duration::days(days.into()),
    }
}

/// Shown by members to members.
pub fn peer(place: &Place<'_>, days: u32) -> Request {
    Request {
        common_name: format!("{}-peer", place.cluster),
        names: place.peer(),
        purpose: Purpose::Member,
        lifetime: Duration::days(days.into()),
    }
}

/// Shown by the operator, and by people who look after the cluster.
pub fn people(days: u32) -> Request {
    Request {
        common_name: ROOT.to_owned(),
        names: Vec::new(),
        purpose: Purpose::Client,
        lifetime: Duration::days(days.into()),
    }
}

/// By which certificate of a cluster is meant.
pub fn request(subject: &Subject<'_>, leaf: Leaf) -> Request {
    let (place, days) = (subject.place(), subject.spec.tls.certificate_days);
    match leaf {
        Leaf::Server => member(&place, subject, days),
        Leaf::Peer => peer(&place, days),
        Leaf::Client | Leaf::Operator => people(days),
    }
}

/// The Secret of an authority of the operator's own.
pub fn ca_secret(cluster: &str, plane: Plane) -> String {
    match plane {
        Plane::Client => format!("{cluster}-ca"),
        Plane::Peer => format!("{cluster}-peer-ca"),
    }
}

/// The Secret of a certificate that the operator or cert-manager issues.
pub fn leaf_secret(cluster: &str, leaf: Leaf) -> String {
    let suffix = match leaf {
        Leaf::Server => "server",
        Leaf::Peer => "peer",
        Leaf::Client => "client",
        Leaf::Operator => "operator",
    };
    format!("{cluster}-{suffix}-tls")
}
