//! The certificates in use, and who was refused.

use std::time::UNIX_EPOCH;

use crate::context::Context;
use crate::metrics::Text;

/// Nothing where no URL is https.
pub fn write(context: &Context, text: &mut Text) {
    if context.tls.is_empty() {
        return;
    }
    let mut expiry = text.gauge(
        "mainstay_tls_certificate_expiry_timestamp_seconds",
        "When a certificate in use ends, since unix epoch in seconds.",
    );
    for tls in &context.tls {
        for loaded in tls.loaded() {
            let certificate = &loaded.certificate;
            let end = certificate.not_after.duration_since(UNIX_EPOCH);
            let labels = format!(
                "side=\"{}\",role=\"{}\",fingerprint=\"{}\"",
                tls.side().label(),
                loaded.role.label(),
                certificate.fingerprint
            );
            expiry.labelled(&labels, end.unwrap_or_default().as_secs());
        }
    }
    let mut reloads = text.counter(
        "mainstay_tls_reloads_total",
        "Times that changed TLS files were taken into use.",
    );
    for tls in &context.tls {
        let labels = format!("side=\"{}\"", tls.side().label());
        reloads.labelled(&labels, tls.reloads());
    }
    let mut refused = text.counter(
        "mainstay_tls_refused_total",
        "Connections refused in their handshake, by reason.",
    );
    for tls in &context.tls {
        for (reason, count) in tls.refusals() {
            let labels = format!("side=\"{}\",reason=\"{reason}\"", tls.side().label());
            refused.labelled(&labels, count);
        }
    }
}
