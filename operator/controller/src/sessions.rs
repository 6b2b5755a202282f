//! The clients by which controllers work on the keys and users of clusters.
//!
//! A session is kept for as long as what it was made of stays the same: the Secrets, the user, the
//! cluster. It dials the client Service, as everybody does, so any member that is ready serves it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use mainstay_client::access::AuthStatus;
use mainstay_client::{Client, TlsPem};
use mainstay_operator_act::labels::CLIENT_PORT;
use mainstay_operator_act::render::Subject;
use mainstay_operator_api::cluster::AuthSpec;
use mainstay_operator_api::{MainstayCluster, MainstayUser};
use parking_lot::Mutex;

use crate::context::Context;

/// Of a Secret with a certificate.
const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// As whom a controller works.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Root.
    Operator,
    /// The `MainstayUser` of this name in the same namespace.
    User(String),
}

/// A client and what it was made for.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    /// Whether the cluster asks who somebody is, and the state of its users, as of now.
    pub users: AuthStatus,
    pub cluster: Arc<MainstayCluster>,
    /// Another one when the client is another: what the former one watches must be watched anew.
    pub generation: u64,
}

/// Why there is no session now. All of it may pass by itself or be mended by people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unready {
    /// Of a condition.
    pub reason: &'static str,
    pub message: String,
}

impl Unready {
    fn new(reason: &'static str, message: impl Into<String>) -> Unready {
        let message = message.into();
        Unready { reason, message }
    }

    fn of_api(what: &str, error: &kube::Error) -> Unready {
        Unready::new("ApiServer", format!("{what} cannot be read: {error}"))
    }
}

/// Namespace, cluster, and as whom.
type Key = (String, String, Who);

#[derive(Default)]
pub struct Sessions {
    held: Mutex<HashMap<Key, Held>>,
    /// How many clients were made so far.
    made: AtomicU64,
}

struct Held {
    made_of: Vec<String>,
    generation: u64,
    client: Client,
}

/// What a client shows, and the states of the objects that say so.
struct Credentials {
    tls: TlsPem,
    login: Option<(String, String)>,
    made_of: Vec<String>,
}

impl Sessions {
    /// A client of the cluster, by what the API server has now.
    ///
    /// # Errors
    /// [`Unready`], with a reason for the condition of whoever asks.
    pub async fn open(
        &self,
        context: &Context,
        namespace: &str,
        cluster: &str,
        who: &Who,
    ) -> Result<Session, Unready> {
        let place = Place { context, namespace };
        let cluster = Arc::new(place.cluster(cluster).await?);
        let root = place.certificate_of_root(&cluster).await?;
        let shown = match who {
            Who::Operator => root,
            Who::User(name) => place.credentials(&cluster, name, root).await?,
        };
        let (client, generation) = self.held(&place, &cluster, who, shown)?;
        // No user need be known for that.
        let status = client.access().status().await;
        let status = status.map_err(|error| Unready::new("StoreUnreachable", error.to_string()))?;
        if *who != Who::Operator && !status.enabled {
            // The certificate that is shown beside a password would stand for root the moment users
            // are asked for.
            let name = cluster.name_any();
            // It may have been told that no log-in is needed, and would believe that ever after.
            let key = (namespace.to_owned(), name.clone(), who.clone());
            self.held.lock().remove(&key);
            let message = format!("MainstayCluster {name} has no users: set spec.auth there");
            return Err(Unready::new("AuthDisabled", message));
        }
        Ok(Session {
            client,
            users: status,
            cluster,
            generation,
        })
    }

    /// Drops the clients of a cluster that is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        let mut held = self.held.lock();
        held.retain(|(space, name, _), _| space != namespace || name != cluster);
    }

    fn held(
        &self,
        place: &Place<'_>,
        cluster: &MainstayCluster,
        who: &Who,
        shown: Credentials,
    ) -> Result<(Client, u64), Unready> {
        let name = cluster.name_any();
        let key = (place.namespace.to_owned(), name.clone(), who.clone());
        let mut held = self.held.lock();
        if let Some(known) = held.get(&key)
            && known.made_of == shown.made_of
        {
            return Ok((known.client.clone(), known.generation));
        }
        let generation = self.made.fetch_add(1, Ordering::Relaxed);
        let host = format!("{name}-client.{}.svc", place.namespace);
        let builder = Client::builder()
            .endpoint(format!("https://{host}:{CLIENT_PORT}"))
            .tls_pem(shown.tls);
        let builder = match shown.login {
            Some((name, password)) => builder.user(name, password),
            None => builder,
        };
        let client = builder.build();
        let client = client.map_err(|error| Unready::new("SecretInvalid", error.to_string()))?;
        let new = Held {
            made_of: shown.made_of,
            generation,
            client: client.clone(),
        };
        held.insert(key, new);
        Ok((client, generation))
    }
}

struct Place<'a> {
    context: &'a Context,
    namespace: &'a str,
}

impl Place<'_> {
    async fn cluster(&self, name: &str) -> Result<MainstayCluster, Unready> {
        let api: Api<MainstayCluster> = self.context.api(Some(self.namespace));
        let found = api.get_opt(name).await;
        let found = found.map_err(|error| Unready::of_api("the cluster", &error))?;
        let Some(cluster) = found else {
            let message = format!("there is no MainstayCluster {name}: create it");
            return Err(Unready::new("ClusterMissing", message));
        };
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        let available = conditions
            .into_iter()
            .any(|known| known.type_ == "Available" && known.status == "True");
        match available {
            true => Ok(cluster),
            false => {
                let message = format!("MainstayCluster {name} is not available");
                Err(Unready::new("ClusterUnavailable", message))
            }
        }
    }

    async fn certificate_of_root(&self, cluster: &MainstayCluster) -> Result<Credentials, Unready> {
        let name = cluster.name_any();
        let subject = Subject {
            name: &name,
            namespace: self.namespace,
            uid: "",
            annotations: cluster.annotations(),
            spec: &cluster.spec,
            settings: &self.context.settings,
        };
        let secret = self.secret(&subject.secrets().operator).await?;
        Ok(Credentials {
            tls: pem(&secret)?,
            login: None,
            made_of: vec![cluster.uid().unwrap_or_default(), version(&secret)],
        })
    }

    /// By the user's own certificate if it has one, else by its password.
    async fn credentials(
        &self,
        cluster: &MainstayCluster,
        name: &str,
        root: Credentials,
    ) -> Result<Credentials, Unready> {
        let api: Api<MainstayUser> = self.context.api(Some(self.namespace));
        let found = api.get_opt(name).await;
        let found = found.map_err(|error| Unready::of_api("the user", &error))?;
        let Some(user) = found else {
            let message = format!("there is no MainstayUser {name}: create it");
            return Err(Unready::new("UserMissing", message));
        };
        let of = &user.spec.cluster;
        if *of != cluster.name_any() {
            let message = format!("MainstayUser {name} is one of MainstayCluster {of}");
            return Err(Unready::new("UserMissing", message));
        }
        let conditions = user.status.iter().flat_map(|status| &status.conditions);
        if !conditions
            .into_iter()
            .any(|known| known.type_ == "Ready" && known.status == "True")
        {
            let message = format!("MainstayUser {name} is not ready: see its conditions");
            return Err(Unready::new("UserNotReady", message));
        }
        let mut made_of = root.made_of.clone();
        made_of.extend(user.uid());
        made_of.push(user.user_name().to_owned());
        if let Some(certificate) = &user.spec.certificate {
            let secret = self.secret(&certificate.secret_name).await?;
            made_of.push(version(&secret));
            return Ok(Credentials {
                tls: pem(&secret)?,
                login: None,
                made_of,
            });
        }
        let Some(password) = &user.spec.password else {
            let message = format!("MainstayUser {name} has neither password nor certificate");
            return Err(Unready::new("UserNotReady", message));
        };
        let secret = self.secret(&password.secret_name).await?;
        let bytes = secret
            .data
            .as_ref()
            .and_then(|data| data.get(AuthSpec::PASSWORD));
        let text = bytes.and_then(|bytes| AuthSpec::password(&bytes.0));
        let Some(text) = text else {
            let message = format!(
                "the Secret {} lacks the key {}",
                password.secret_name,
                AuthSpec::PASSWORD
            );
            return Err(Unready::new("SecretMissing", message));
        };
        made_of.push(version(&secret));
        Ok(Credentials {
            tls: root.tls,
            login: Some((user.user_name().to_owned(), text.to_owned())),
            made_of,
        })
    }

    async fn secret(&self, name: &str) -> Result<Secret, Unready> {
        let api: Api<Secret> = self.context.api(Some(self.namespace));
        let found = api.get_opt(name).await;
        let found = found.map_err(|error| Unready::of_api("a Secret", &error))?;
        found.ok_or_else(|| Unready::new("SecretMissing", format!("there is no Secret {name}")))
    }
}

fn pem(secret: &Secret) -> Result<TlsPem, Unready> {
    let data = secret.data.clone().unwrap_or_default();
    let part = |key: &str| {
        let found = data.get(key).map(|bytes| bytes.0.clone());
        let name = secret.name_any();
        found.ok_or_else(|| Unready::new("SecretMissing", format!("the Secret {name} lacks {key}")))
    };
    let [bundle, certificate, key] = FILES;
    Ok(TlsPem {
        trusted_ca: part(bundle)?,
        certificate: part(certificate)?,
        key: part(key)?,
    })
}

/// Which state of an object this is.
fn version(secret: &Secret) -> String {
    let uid = secret.uid().unwrap_or_default();
    format!("{uid}/{}", secret.resource_version().unwrap_or_default())
}
