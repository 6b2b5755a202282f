//! An open connection, and whether it would still be let in.

use rustls::CommonState;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::watch;

use crate::error::Refused;
use crate::tls::Tls;

/// The certificates of the other side, verified again whenever what they are verified by changes:
/// a certificate revoked or a CA taken away ends the connections it has opened.
pub struct Session {
    tls: Tls,
    chain: Vec<CertificateDer<'static>>,
    /// The name it was dialled by; `None` where it was accepted.
    server: Option<ServerName<'static>>,
    changes: watch::Receiver<u64>,
}

/// What the other side has shown.
pub(crate) fn chain_of(state: &CommonState) -> Vec<CertificateDer<'static>> {
    let shown = state.peer_certificates().unwrap_or_default();
    shown.iter().map(|der| der.clone().into_owned()).collect()
}

impl Session {
    pub(crate) fn of_client(
        tls: Tls,
        chain: Vec<CertificateDer<'static>>,
        changes: watch::Receiver<u64>,
    ) -> Session {
        Session {
            tls,
            chain,
            server: None,
            changes,
        }
    }

    pub(crate) fn of_server(
        tls: Tls,
        chain: Vec<CertificateDer<'static>>,
        name: ServerName<'static>,
        changes: watch::Receiver<u64>,
    ) -> Session {
        Session {
            tls,
            chain,
            server: Some(name),
            changes,
        }
    }

    /// Returns once the certificate of the other side no longer verifies.
    pub async fn no_longer_valid(&mut self) -> Refused {
        loop {
            if self.changes.changed().await.is_err() {
                // Nothing will change any more.
                return std::future::pending().await;
            }
            if let Err(refused) = self.verify() {
                return refused;
            }
        }
    }

    fn verify(&self) -> Result<(), Refused> {
        let now = self.tls.now();
        let end_entity = self.chain.first();
        let rest = self.chain.get(1..).unwrap_or_default();
        let time = UnixTime::now();
        let verified = match (&self.server, &now.of_clients, &now.of_servers) {
            (None, Some(verifier), _) => {
                let Some(end_entity) = end_entity else {
                    return Err(Refused::NoCertificate);
                };
                verifier
                    .verify_client_cert(end_entity, rest, time)
                    .map(drop)
            }
            (Some(name), _, Some(verifier)) => {
                let Some(end_entity) = end_entity else {
                    return Err(Refused::NoCertificate);
                };
                verifier
                    .verify_server_cert(end_entity, rest, name, &[], time)
                    .map(drop)
            }
            _ => Ok(()),
        };
        verified.map_err(|error| Refused::of_tls(&error))
    }
}
