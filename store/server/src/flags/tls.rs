//! Certificates and what is asked of them: the flags of the client side and of the peer side.

use std::path::PathBuf;

use mainstay_transport::{CIPHER_SUITES, Files, Policy, Version};

use super::Refusal;
use super::values::Values;
use crate::settings::{ListenUrl, TlsCertificate, TlsSettings};

/// What the two sides call the same thing.
struct Names {
    cert: &'static str,
    key: &'static str,
    client_cert: &'static str,
    client_key: &'static str,
    trusted_ca: &'static str,
    crl: &'static str,
    cert_auth: &'static str,
    allowed_hostname: &'static str,
    auto: &'static str,
}

const CLIENT: Names = Names {
    cert: "cert-file",
    key: "key-file",
    client_cert: "client-cert-file",
    client_key: "client-key-file",
    trusted_ca: "trusted-ca-file",
    crl: "client-crl-file",
    cert_auth: "client-cert-auth",
    allowed_hostname: "client-cert-allowed-hostname",
    auto: "auto-tls",
};

const PEER: Names = Names {
    cert: "peer-cert-file",
    key: "peer-key-file",
    client_cert: "peer-client-cert-file",
    client_key: "peer-client-key-file",
    trusted_ca: "peer-trusted-ca-file",
    crl: "peer-crl-file",
    cert_auth: "peer-client-cert-auth",
    allowed_hostname: "peer-cert-allowed-hostname",
    auto: "peer-auto-tls",
};

/// What a TLS connection may carry on a client URL.
const CLIENT_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of the client side; `urls` are those it listens on.
pub fn client(values: &mut Values, urls: &[&[ListenUrl]]) -> Result<Option<TlsSettings>, Refusal> {
    let Some(mut settings) = side(values, &CLIENT, urls)? else {
        return Ok(None);
    };
    settings.policy.alpn = CLIENT_ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Some(settings))
}

/// TLS of the peer side.
pub fn peer(values: &mut Values, urls: &[ListenUrl]) -> Result<Option<TlsSettings>, Refusal> {
    let Some(mut settings) = side(values, &PEER, &[urls])? else {
        return Ok(None);
    };
    let policy = &mut settings.policy;
    policy.allowed_cns = names(values, "peer-cert-allowed-cn");
    let trusts =
        matches!(&settings.certificate, TlsCertificate::Files(files) if files.trusted_ca.is_some());
    if !policy.allowed_cns.is_empty() && !trusts {
        return Err(Refusal::new(
            "--peer-cert-allowed-cn needs --peer-trusted-ca-file to verify certificates by",
        ));
    }
    policy.verify_source = !values.boolean("peer-skip-client-san-verification");
    if !policy.allowed_cns.is_empty() && !policy.allowed_hostnames.is_empty() {
        return Err(Refusal::new(
            "--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive",
        ));
    }
    Ok(Some(settings))
}

fn side(
    values: &mut Values,
    flags: &Names,
    urls: &[&[ListenUrl]],
) -> Result<Option<TlsSettings>, Refusal> {
    let mut secure = urls
        .iter()
        .flat_map(|urls| urls.iter())
        .filter(|url| url.tls);
    let first = secure.next();
    let certificate = certificate(values, flags)?;
    let Some(certificate) = certificate else {
        return match first {
            Some(url) => Err(Refusal::new(format!(
                "TLS key/cert (--{}, --{}) must be provided for url {} with HTTPS scheme",
                flags.cert, flags.key, url.address
            ))),
            None => Ok(None),
        };
    };
    // Kept all the same: members dial https with it.
    if first.is_none() {
        values.warnings.push(format!(
            "no URL listened on is https: --{} and its like have no effect there",
            flags.cert
        ));
    }
    let policy = policy(values, flags, &certificate)?;
    Ok(Some(TlsSettings {
        certificate,
        policy,
    }))
}

fn certificate(values: &mut Values, flags: &Names) -> Result<Option<TlsCertificate>, Refusal> {
    let (cert, key) = (path(values, flags.cert), path(values, flags.key));
    let automatic = values.boolean(flags.auto);
    match (cert, key) {
        (Some(cert), Some(key)) => {
            if automatic {
                let ignored = format!("--{} is ignored since certificates are given", flags.auto);
                values.warnings.push(ignored);
            }
            let client_cert = path(values, flags.client_cert);
            let client_key = path(values, flags.client_key);
            if client_cert.is_some() != client_key.is_some() {
                return Err(both(flags.client_cert, flags.client_key));
            }
            Ok(Some(TlsCertificate::Files(Files {
                cert,
                key,
                client_cert,
                client_key,
                trusted_ca: path(values, flags.trusted_ca),
                crl: path(values, flags.crl),
            })))
        }
        (None, None) if automatic => {
            let years = values.unsigned("self-signed-cert-validity");
            let years = u32::try_from(years).unwrap_or(u32::MAX);
            if years == 0 || years > YEARS_MAX {
                return Err(Refusal::new(format!(
                    "--self-signed-cert-validity must be from 1 to {YEARS_MAX} years"
                )));
            }
            Ok(Some(TlsCertificate::SelfSigned { years }))
        }
        (None, None) => Ok(None),
        _ => Err(both(flags.cert, flags.key)),
    }
}

/// A certificate's last day has four digits of year.
const YEARS_MAX: u32 = 1000;

fn both(cert: &str, key: &str) -> Refusal {
    Refusal::new(format!("--{cert} and --{key} must both be present"))
}

fn policy(values: &Values, flags: &Names, certificate: &TlsCertificate) -> Result<Policy, Refusal> {
    let cipher_suites = names(values, "cipher-suites");
    for suite in &cipher_suites {
        if !CIPHER_SUITES.iter().any(|(known, _)| known == suite) {
            return Err(Refusal::new(format!(
                "--cipher-suites: unexpected TLS cipher suite {suite:?}"
            )));
        }
    }
    let min_version = version(values, "tls-min-version")?.unwrap_or(Version::Tls12);
    let max_version = version(values, "tls-max-version")?.unwrap_or(Version::Tls13);
    if min_version > max_version {
        return Err(Refusal::new(
            "--tls-min-version must not be above --tls-max-version",
        ));
    }
    let client_cert_auth = values.boolean(flags.cert_auth);
    let has_ca = matches!(certificate, TlsCertificate::Files(files) if files.trusted_ca.is_some());
    if client_cert_auth && !has_ca {
        return Err(Refusal::new(format!(
            "--{} needs --{} to verify certificates by",
            flags.cert_auth, flags.trusted_ca
        )));
    }
    let allowed_hostnames = names(values, flags.allowed_hostname);
    if !allowed_hostnames.is_empty() && !has_ca {
        return Err(Refusal::new(format!(
            "--{} needs --{} to verify certificates by",
            flags.allowed_hostname, flags.trusted_ca
        )));
    }
    Ok(Policy {
        client_cert_auth,
        allowed_hostnames,
        min_version,
        max_version,
        cipher_suites,
        trust_any_server: matches!(certificate, TlsCertificate::SelfSigned { .. }),
        ..Policy::default()
    })
}

fn version(values: &Values, flag: &str) -> Result<Option<Version>, Refusal> {
    match values.text(flag) {
        "" => Ok(None),
        "TLS1.2" => Ok(Some(Version::Tls12)),
        "TLS1.3" => Ok(Some(Version::Tls13)),
        other => Err(Refusal::new(format!(
            "invalid value {other:?} for flag -{flag}: must be TLS1.2 or TLS1.3"
        ))),
    }
}

fn path(values: &Values, flag: &str) -> Option<PathBuf> {
    Some(values.text(flag))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// A list without its empty entries.
fn names(values: &Values, flag: &str) -> Vec<String> {
    let all = values.text(flag).split(',').map(str::trim);
    all.filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings as read;
    use super::*;

    const URLS: [&str; 2] = [
        "--listen-client-urls=https://127.0.0.1:1",
        "--advertise-client-urls=https://127.0.0.1:1",
    ];

    fn client_with(flags: &[&str]) -> Result<Option<TlsSettings>, String> {
        let all: Vec<&str> = URLS.iter().chain(flags).copied().collect();
        read(&all, &[]).map(|settings| settings.client_tls)
    }

    fn policy_with(flags: &[&str]) -> Policy {
        let pair = ["--cert-file=c", "--key-file=k"];
        let all: Vec<&str> = pair.iter().chain(flags).copied().collect();
        client_with(&all).unwrap().unwrap().policy
    }

    #[test]
    fn https_needs_a_certificate_and_a_certificate_its_key() {
        assert!(client_with(&[]).unwrap_err().contains("with HTTPS scheme"));
        let alone = client_with(&["--cert-file=c"]).unwrap_err();
        assert_eq!(alone, "--cert-file and --key-file must both be present");
        let auth = client_with(&["--cert-file=c", "--key-file=k", "--client-cert-auth"]);
        assert!(auth.unwrap_err().contains("--trusted-ca-file"));
        let plain = read(&["--cert-file=c", "--key-file=k"], &[]).unwrap();
        assert!(plain.listen_client.iter().all(|url| !url.tls));
        assert!(
            plain
                .log
                .warnings
                .iter()
                .any(|line| line.contains("--cert-file"))
        );
    }

    #[test]
    fn versions_suites_and_names() {
        let policy = policy_with(&[
            "--trusted-ca-file=ca",
            "--tls-min-version=TLS1.3",
            "--client-cert-allowed-hostname=a,b",
        ]);
        assert_eq!(policy.min_version, Version::Tls13);
        assert_eq!(policy.allowed_hostnames, ["a", "b"]);
        assert_eq!(policy.alpn.len(), 2);
        let refused = |flag| client_with(&["--cert-file=c", "--key-file=k", flag]).unwrap_err();
        assert!(refused("--tls-min-version=TLS1.0").contains("must be TLS1.2 or TLS1.3"));
        assert!(refused("--cipher-suites=TLS_RSA_WITH_RC4_128_SHA").contains("RC4"));
    }

    #[test]
    fn the_peer_side_has_names_of_its_own() {
        let flags = [
            "--listen-peer-urls=https://127.0.0.1:2",
            "--initial-advertise-peer-urls=https://127.0.0.1:2",
            "--peer-auto-tls",
        ];
        let settings = read(&flags, &[]).unwrap();
        let tls = settings.peer_tls.unwrap();
        assert!(tls.policy.trust_any_server && tls.policy.verify_source);
        assert!(matches!(
            tls.certificate,
            TlsCertificate::SelfSigned { years: 1 }
        ));
    }
}
