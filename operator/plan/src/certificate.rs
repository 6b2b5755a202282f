//! CAs that are missing, and certificates that are missing, run out, or do not fit their CA any
//! more. All of this is safe at any time: members read new files without a restart, and a CA that
//! is being exchanged (`rotation`) is trusted before it signs.

use std::time::Duration;

use mainstay_operator_api::annotation;
use mainstay_operator_api::tls::TlsSource;

use crate::observed::{Certificate, Leaf, Plane};
use crate::record::RotationPhase;
use crate::step::{Step, TlsStep};
use crate::verdict::{Next, quietly};
use crate::view::View;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn next(view: &View<'_>) -> Next {
    if view.seen.spec.tls.source != TlsSource::Operator {
        return None;
    }
    let missing = Plane::ALL
        .iter()
        .find(|plane| !view.seen.tls.cas.contains_key(plane));
    if let Some(plane) = missing {
        return quietly(Step::Issue(TlsStep::CreateCa(*plane)));
    }
    Leaf::ALL
        .iter()
        .find_map(|leaf| renewal(view, *leaf))
        .and_then(|step| quietly(Step::Issue(step)))
}

/// What is to be done to a certificate.
fn renewal(view: &View<'_>, leaf: Leaf) -> Option<TlsStep> {
    let authority = view.seen.tls.cas.get(&leaf.plane())?;
    let Some(certificate) = view.seen.tls.leaves.get(&leaf) else {
        return Some(TlsStep::IssueLeaf(leaf));
    };
    let is_foreign =
        certificate.issuer != authority.signing.fingerprint && may_follow(view, leaf, certificate);
    if is_foreign || runs_out(view, certificate) || certificate.lacks_names {
        return Some(TlsStep::IssueLeaf(leaf));
    }
    (certificate.bundle != authority.bundle).then_some(TlsStep::Distribute(leaf))
}

/// A certificate of another CA follows its CA once all members trust the new one. One that nobody
/// trusts follows at once.
fn may_follow(view: &View<'_>, leaf: Leaf, certificate: &Certificate) -> bool {
    let is_untrusted = !certificate.bundle.contains(&certificate.issuer);
    let rotation = view
        .record()
        .and_then(|record| record.rotation.get(&leaf.plane()));
    let is_trusted = rotation.is_some_and(|rotation| rotation.phase != RotationPhase::Trusting);
    is_untrusted || is_trusted
}

fn runs_out(view: &View<'_>, certificate: &Certificate) -> bool {
    let before = DAY * view.seen.spec.tls.renew_before_days;
    let left = certificate.not_after.duration_since(view.now());
    left <= jiff::SignedDuration::try_from(before).unwrap_or_default()
}

/// Certificates that were there when the annotation asked for new ones. The text is obeyed once all
/// of them are others.
pub(crate) fn asked(view: &View<'_>) -> Next {
    let text = view
        .seen
        .cluster
        .annotations
        .get(annotation::ROTATE_CERTIFICATES)?;
    let record = view.record()?;
    if view.seen.spec.tls.source != TlsSource::Operator
        || record.obeyed.get(annotation::ROTATE_CERTIFICATES) == Some(text)
    {
        return None;
    }
    // The wish is noted with what it is about, then as obeyed. Times would not do: that of a
    // certificate is in seconds.
    let key = format!("{}@{text}", annotation::ROTATE_CERTIFICATES);
    let Some(former) = record.obeyed.get(&key) else {
        let leaves = view.seen.tls.leaves.values();
        let there = leaves.map(|certificate| certificate.fingerprint.as_str());
        let there = there.collect::<Vec<&str>>().join(",");
        return quietly(view.write(|record| {
            record.obeyed.insert(key, there);
        }));
    };
    let old = Leaf::ALL.iter().find(|leaf| {
        let certificate = view.seen.tls.leaves.get(leaf);
        certificate
            .is_some_and(|certificate| former.split(',').any(|old| old == certificate.fingerprint))
    });
    if let Some(leaf) = old {
        return quietly(Step::Issue(TlsStep::IssueLeaf(*leaf)));
    }
    let text = text.clone();
    quietly(view.write(|record| {
        record.obeyed.remove(&key);
        record
            .obeyed
            .insert(annotation::ROTATE_CERTIFICATES.to_owned(), text);
    }))
}
