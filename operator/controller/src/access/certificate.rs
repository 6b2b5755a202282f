//! The certificate of a user: issued by the authority for clients of its cluster, renewed before it
//! ends, and issued anew when another authority signs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mainstay_operator_act::tls::{self, Pair, Purpose, Request};
use mainstay_operator_api::MainstayUser;
use mainstay_operator_api::access::CertificateSpec;
use mainstay_operator_api::cluster::MainstayCluster;
use mainstay_operator_api::tls::TlsSource;
use mainstay_operator_plan::observed::Plane;
use mainstay_transport::ClientTls;

use super::claim::{Verdict, Ward};
use super::secrets::Data;
use super::{Error, reason};

const BUNDLE: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const DAY: Duration = Duration::from_secs(86_400);

/// What is to be done about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Whom to trust has changed, and nothing else.
    Bundle,
    Issue,
}

/// An authority as its Secret has it.
struct Authority {
    pair: Pair,
    bundle: String,
}

/// End of the certificate, or what is missing.
pub async fn look(
    ward: &Ward<'_, MainstayUser>,
    cluster: &MainstayCluster,
    spec: &CertificateSpec,
) -> Result<Result<Time, Verdict>, Error> {
    if cluster.spec.tls.source != TlsSource::Operator {
        let message = format!(
            "the operator does not issue the certificates of MainstayCluster {}: have whoever does \
             issue one with the common name {}, and take spec.certificate away",
            ward.object.spec.cluster,
            ward.object.user_name()
        );
        return Ok(Err(Verdict::new(reason::NO_AUTHORITY, message)));
    }
    let ca = tls::ca_secret(&ward.object.spec.cluster, Plane::Client);
    let Some(authority) = ward.secret(&ca).await?.as_ref().and_then(authority) else {
        let message = format!("Secret {ca} is missing or incomplete; the operator makes it");
        return Ok(Err(Verdict::new(reason::SECRET_MISSING, message)));
    };
    let name = &spec.secret_name;
    let found = ward.secret(name).await?;
    if found.as_ref().is_some_and(|found| !ward.is_own(found)) {
        let message = format!(
            "Secret {name} is another's: delete it, or name another in spec.certificate.secretName"
        );
        return Ok(Err(Verdict::new(reason::SECRET_FOREIGN, message)));
    }
    let none = Data::new();
    let data = found.as_ref().and_then(|found| found.data.as_ref());
    let data = data.unwrap_or(&none);
    let now = SystemTime::now();
    let days = cluster.spec.tls.renew_before_days;
    let renew = DAY.saturating_mul(days);
    let mut wanted = data.clone();
    match due(data, &authority, ward.object.user_name(), now, renew) {
        Due::Nothing if found.as_ref().is_some_and(|found| ward.is_bound(found)) => {
            return Ok(Ok(until(data)));
        }
        Due::Nothing => {}
        Due::Bundle => {
            wanted.insert(BUNDLE.to_owned(), bytes(&authority.bundle));
        }
        Due::Issue => {
            let request = Request {
                common_name: ward.object.user_name().to_owned(),
                names: Vec::new(),
                purpose: Purpose::Client,
                lifetime: time::Duration::days(cluster.spec.tls.certificate_days.into()),
            };
            let made = tls::leaf(&authority.pair, &request, now)?;
            wanted = BTreeMap::from([
                (BUNDLE.to_owned(), bytes(&authority.bundle)),
                (CERTIFICATE.to_owned(), bytes(&made.certificate)),
                (KEY.to_owned(), bytes(&made.key)),
            ]);
        }
    }
    let end = until(&wanted);
    ward.store(name, found.as_ref(), "kubernetes.io/tls", wanted)
        .await?;
    Ok(Ok(end))
}

fn due(data: &Data, authority: &Authority, user: &str, now: SystemTime, renew: Duration) -> Due {
    let part = |key: &str| data.get(key).map_or(&[][..], |bytes| &bytes.0);
    let (certificate, key) = (part(CERTIFICATE), part(KEY));
    let known = tls::known(certificate);
    let lasts = known.first().is_some_and(|known| {
        let left = known.not_after.duration_since(now).unwrap_or_default();
        known.common_name == user && left > renew
    });
    let signer = authority.pair.certificate.as_bytes();
    let signed = tls::is_signed_by(certificate, signer);
    // Also whether the key is that of the certificate.
    let usable = ClientTls::from_pem(signer, (certificate, key), &[b"h2"]).is_ok();
    match lasts && signed && usable {
        false => Due::Issue,
        true if part(BUNDLE) != authority.bundle.as_bytes() => Due::Bundle,
        true => Due::Nothing,
    }
}

fn authority(secret: &Secret) -> Option<Authority> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Authority {
        pair: Pair {
            certificate: text(CERTIFICATE)?,
            key: text(KEY)?,
        },
        bundle: text(BUNDLE)?,
    })
}

fn until(data: &Data) -> Time {
    let known = data.get(CERTIFICATE).map(|pem| tls::known(&pem.0));
    let known = known.unwrap_or_default();
    let end = known
        .first()
        .map_or(SystemTime::UNIX_EPOCH, |known| known.not_after);
    Time(Timestamp::try_from(end).unwrap_or_default())
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEW: Duration = Duration::from_secs(30 * 86_400);

    fn make(name: &str, now: SystemTime) -> Authority {
        let pair = tls::authority(name, time::Duration::days(3650), now).unwrap();
        let bundle = pair.certificate.clone();
        Authority { pair, bundle }
    }

    fn issued(authority: &Authority, user: &str, days: i64, now: SystemTime) -> Data {
        let request = Request {
            common_name: user.to_owned(),
            names: Vec::new(),
            purpose: Purpose::Client,
            lifetime: time::Duration::days(days),
        };
        let made = tls::leaf(&authority.pair, &request, now).unwrap();
        BTreeMap::from([
            (BUNDLE.to_owned(), bytes(&authority.bundle)),
            (CERTIFICATE.to_owned(), bytes(&made.certificate)),
            (KEY.to_owned(), bytes(&made.key)),
        ])
    }

    #[test]
    fn a_certificate_is_issued_where_none_can_be_used() {
        let now = SystemTime::now();
        let authority = make("a", now);
        let due = |data: &Data| due(data, &authority, "shop", now, RENEW);
        assert_eq!(due(&Data::new()), Due::Issue);
        let good = issued(&authority, "shop", 90, now);
        assert_eq!(due(&good), Due::Nothing);
        assert_eq!(due(&issued(&authority, "other", 90, now)), Due::Issue);
        let mut broken = good.clone();
        broken.insert(
            KEY.to_owned(),
            issued(&authority, "shop", 90, now)[KEY].clone(),
        );
        assert_eq!(due(&broken), Due::Issue, "the key of another certificate");
        broken.insert(CERTIFICATE.to_owned(), bytes("junk"));
        assert_eq!(due(&broken), Due::Issue);
    }

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let now = SystemTime::now();
        let authority = make("a", now);
        let data = issued(&authority, "shop", 90, now);
        let after = |days: u32| due(&data, &authority, "shop", now + DAY * days, RENEW);
        assert_eq!(after(59), Due::Nothing);
        assert_eq!(after(61), Due::Issue);
        assert_eq!(after(1000), Due::Issue);
    }

    #[test]
    fn a_certificate_follows_the_authority() {
        let now = SystemTime::now();
        let (old, new) = (make("old", now), make("new", now));
        let data = issued(&old, "shop", 90, now);
        // First both are trusted, and the old one still signs.
        let both = Authority {
            bundle: tls::bundle(&[&old.bundle, &new.bundle]),
            pair: old.pair,
        };
        assert_eq!(due(&data, &both, "shop", now, RENEW), Due::Bundle);
        assert_eq!(due(&data, &new, "shop", now, RENEW), Due::Issue);
    }
}
