//! Secrets with authorities and certificates. Each step looks at what is there and writes one Secret
//! with its resource version as precondition, so two operators never overwrite each other's keys.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use mainstay_operator_plan::observed::{Leaf, Plane};
use mainstay_operator_plan::step::TlsStep;
use time::Duration;

use super::Actor;
use crate::error::Error;
use crate::tls::{self, Pair, Request};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";
/// The authority that shall sign next.
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";

type Data = BTreeMap<String, ByteString>;

impl Actor<'_> {
    pub(super) async fn issue(&self, step: TlsStep) -> Result<(), Error> {
        match step {
            TlsStep::CreateCa(plane) => self.create_ca(plane).await,
            TlsStep::IssueLeaf(leaf) => self.issue_leaf(leaf).await,
            TlsStep::Distribute(leaf) => self.distribute(leaf).await,
            TlsStep::StageCa(plane) => self.stage_ca(plane).await,
            TlsStep::SwitchCa(plane) => self.switch_ca(plane).await,
            TlsStep::DropCa(plane) => self.drop_ca(plane).await,
        }
    }

    async fn create_ca(&self, plane: Plane) -> Result<(), Error> {
        let name = self.ca_name(plane);
        if self.secret(&name).await?.is_some() {
            return Ok(());
        }
        let made = self.new_ca(plane)?;
        // A lost authority is followed with overlap: what its certificates trust stays trusted.
        let mut trusted = vec![made.certificate.clone()];
        for leaf in Leaf::ALL.into_iter().filter(|leaf| leaf.plane() == plane) {
            let found = self.secret(&self.leaf_name(leaf)).await?;
            let data = found.and_then(|found| found.data).unwrap_or_default();
            trusted.extend(text(&name, &data, BUNDLE).ok());
        }
        let trusted: Vec<&str> = trusted.iter().map(String::as_str).collect();
        let data = BTreeMap::from([
            (BUNDLE.to_owned(), bytes(&tls::bundle(&trusted))),
            (CERTIFICATE.to_owned(), bytes(&made.certificate)),
            (KEY.to_owned(), bytes(&made.key)),
        ]);
        self.store(&name, None, "Opaque", data).await
    }

    async fn stage_ca(&self, plane: Plane) -> Result<(), Error> {
        let (name, found) = self.ca(plane).await?;
        let mut data = found.data.clone().unwrap_or_default();
        if data.contains_key(NEXT_CERTIFICATE) {
            return Ok(());
        }
        let made = self.new_ca(plane)?;
        let signing = text(&name, &data, CERTIFICATE)?;
        let bundle = tls::bundle(&[&signing, &made.certificate]);
        data.insert(BUNDLE.to_owned(), bytes(&bundle));
        data.insert(NEXT_CERTIFICATE.to_owned(), bytes(&made.certificate));
        data.insert(NEXT_KEY.to_owned(), bytes(&made.key));
        self.store(&name, Some(&found), "Opaque", data).await
    }

    async fn switch_ca(&self, plane: Plane) -> Result<(), Error> {
        let (name, found) = self.ca(plane).await?;
        let mut data = found.data.clone().unwrap_or_default();
        let (Some(certificate), Some(key)) = (data.remove(NEXT_CERTIFICATE), data.remove(NEXT_KEY))
        else {
            return Ok(());
        };
        data.insert(CERTIFICATE.to_owned(), certificate);
        data.insert(KEY.to_owned(), key);
        self.store(&name, Some(&found), "Opaque", data).await
    }

    async fn drop_ca(&self, plane: Plane) -> Result<(), Error> {
        let (name, found) = self.ca(plane).await?;
        let mut data = found.data.clone().unwrap_or_default();
        let signing = text(&name, &data, CERTIFICATE)?;
        data.insert(BUNDLE.to_owned(), bytes(&tls::bundle(&[&signing])));
        self.store(&name, Some(&found), "Opaque", data).await
    }

    async fn issue_leaf(&self, leaf: Leaf) -> Result<(), Error> {
        let (ca_name, ca) = self.ca(leaf.plane()).await?;
        let data = ca.data.unwrap_or_default();
        let authority = Pair {
            certificate: text(&ca_name, &data, CERTIFICATE)?,
            key: text(&ca_name, &data, KEY)?,
        };
        let made = tls::leaf(&authority, &self.request(leaf), SystemTime::now())?;
        let wanted = BTreeMap::from([
            (CERTIFICATE.to_owned(), bytes(&made.certificate)),
            (KEY.to_owned(), bytes(&made.key)),
            (BUNDLE.to_owned(), bytes(&text(&ca_name, &data, BUNDLE)?)),
        ]);
        let name = self.leaf_name(leaf);
        let found = self.secret(&name).await?;
        self.store(&name, found.as_ref(), "kubernetes.io/tls", wanted)
            .await
    }

    async fn distribute(&self, leaf: Leaf) -> Result<(), Error> {
        let (ca_name, ca) = self.ca(leaf.plane()).await?;
        let bundle = text(&ca_name, &ca.data.unwrap_or_default(), BUNDLE)?;
        let name = self.leaf_name(leaf);
        let found = self.secret(&name).await?;
        let found = found.ok_or_else(|| Error::SecretMissing(name.clone()))?;
        let mut data = found.data.clone().unwrap_or_default();
        data.insert(BUNDLE.to_owned(), bytes(&bundle));
        self.store(&name, Some(&found), "kubernetes.io/tls", data)
            .await
    }

    fn request(&self, leaf: Leaf) -> Request {
        tls::request(&self.subject, leaf)
    }

    fn new_ca(&self, plane: Plane) -> Result<Pair, Error> {
        let kind = match plane {
            Plane::Client => "clients",
            Plane::Peer => "members",
        };
        // Two authorities with one name could not be told apart by who has signed.
        let now = SystemTime::now();
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (name, namespace) = (self.subject.name, self.subject.namespace);
        let text = format!("{kind} of {namespace}/{name} {}", since.as_secs());
        // A common name has at most 64 characters (RFC 5280, ub-common-name).
        let short: String = text.chars().rev().take(64).collect();
        let common_name: String = short.chars().rev().collect();
        let days = Duration::days(self.subject.spec.tls.ca_days.into());
        Ok(tls::authority(&common_name, days, now)?)
    }

    fn ca_name(&self, plane: Plane) -> String {
        tls::ca_secret(self.subject.name, plane)
    }

    fn leaf_name(&self, leaf: Leaf) -> String {
        tls::leaf_secret(self.subject.name, leaf)
    }

    async fn ca(&self, plane: Plane) -> Result<(String, Secret), Error> {
        let name = self.ca_name(plane);
        match self.secret(&name).await? {
            Some(found) => Ok((name, found)),
            None => Err(Error::SecretMissing(name)),
        }
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let found = self.api::<Secret>().get_opt(name).await;
        found.map_err(Error::api(format!("Secret {name}")))
    }

    async fn store(
        &self,
        name: &str,
        found: Option<&Secret>,
        kind: &str,
        data: Data,
    ) -> Result<(), Error> {
        let mut secret = Secret {
            metadata: self.subject.owned(name),
            type_: Some(kind.to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        let (api, params) = (self.api::<Secret>(), PostParams::default());
        let stored = match found {
            None => api.create(&params, &secret).await,
            Some(found) => {
                secret.metadata.resource_version = found.metadata.resource_version.clone();
                // The kind of a Secret cannot be changed.
                secret.type_ = found.type_.clone();
                api.replace(name, &params, &secret).await
            }
        };
        stored
            .map(drop)
            .map_err(Error::api(format!("Secret {name}")))
    }
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn text(secret: &str, data: &Data, key: &'static str) -> Result<String, Error> {
    let incomplete = || Error::SecretIncomplete {
        secret: secret.to_owned(),
        key,
    };
    let bytes = data.get(key).ok_or_else(incomplete)?;
    String::from_utf8(bytes.0.clone()).map_err(|_| incomplete())
}
