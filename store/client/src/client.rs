//! The client: made once, cloned freely, shared by all tasks of a process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::kv_client::KvClient;
use mainstay_transport::ClientFiles;

use crate::calls::{Calls, Kind, Line};
use crate::endpoint::{self, Address};
use crate::error::Error;
use crate::keys::Namespace;
use crate::kv::{Delete, Get, Put, Txn};
use crate::lease::{self, Lease};
use crate::tls::{Tls, TlsPem};
use crate::token::{Tokens, User};
use crate::watch::Watching;

/// Longest wait for an answer unless a call says otherwise: a member gives up a write after seven
/// seconds by itself, and its answer must have time to come.
const DEADLINE: Duration = Duration::from_secs(10);

/// A cluster, as its users see it.
///
/// Clones share their connections. Nothing is dialled before the first call.
///
/// ```no_run
#[doc = include_str!("../examples/client.rs")]
/// ```
#[derive(Clone)]
pub struct Client {
    calls: Arc<Calls>,
    namespace: Namespace,
    deadline: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.namespace)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// How a client is to reach its cluster, and as whom.
#[must_use]
#[derive(Default)]
pub struct Builder {
    endpoints: Vec<String>,
    tls: Option<Source>,
    user: Option<User>,
    namespace: Vec<u8>,
    deadline: Option<Duration>,
}

/// Where certificates come from.
enum Source {
    Files(ClientFiles),
    Pem(TlsPem),
}

impl Builder {
    /// A member to ask, as `https://host:port`, `http://host:port` or `host:port`. Name them all: the
    /// client goes to the next when one does not answer.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Builder {
        self.endpoints.push(endpoint.into());
        self
    }

    pub fn endpoints<E: Into<String>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Builder {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// Whom to trust, and the certificate to show. The files are read again for each connection.
    pub fn tls(mut self, files: ClientFiles) -> Builder {
        self.tls = Some(Source::Files(files));
        self
    }

    /// The same from what a Kubernetes Secret holds. It stays as it is: when the Secret changes,
    /// build another client.
    pub fn tls_pem(mut self, pem: TlsPem) -> Builder {
        self.tls = Some(Source::Pem(pem));
        self
    }

    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Builder {
        self.user = Some(User {
            name: name.into(),
            password: password.into(),
        });
        self
    }

    /// Stands before each key, in requests and answers, without the caller's knowing.
    pub fn namespace(mut self, prefix: impl AsRef<[u8]>) -> Builder {
        self.namespace = prefix.as_ref().to_vec();
        self
    }

    /// Of every call that has none of its own; by default 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Builder {
        self.deadline = Some(deadline);
        self
    }

    /// # Errors
    /// [`Error::Setting`] and [`Error::Tls`], if what was given cannot be used. Whether a member is
    /// there shows with the first call.
    pub fn build(self) -> Result<Client, Error> {
        if self.endpoints.is_empty() {
            return Err(Error::Setting {
                what: "list of endpoints",
                value: String::new(),
                reason: "it names none".to_owned(),
            });
        }
        let addresses = self.endpoints.iter();
        let addresses: Vec<Address> = addresses
            .map(|text| Address::parse(text, self.tls.is_some()))
            .collect::<Result<_, _>>()?;
        let tls = match (addresses.iter().any(Address::is_tls), self.tls) {
            (false, _) => None,
            (true, Some(Source::Pem(pem))) => Some(Arc::new(Tls::of_pem(&pem)?)),
            (true, Some(Source::Files(files))) => Some(Arc::new(Tls::open(files)?)),
            // The authorities of the system.
            (true, None) => Some(Arc::new(Tls::open(ClientFiles::default())?)),
        };
        let channels = addresses.iter();
        let channels = channels
            .map(|address| endpoint::open(address, tls.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Client {
            calls: Calls::new(channels, Tokens::new(self.user)),
            namespace: Namespace::new(&self.namespace),
            deadline: self.deadline.unwrap_or(DEADLINE),
        })
    }
}

impl Client {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client of the same connections whose keys lie under `prefix`, within the namespace that
    /// this one may have.
    pub fn namespaced(&self, prefix: impl AsRef<[u8]>) -> Client {
        Client {
            namespace: self.namespace.within(prefix.as_ref()),
            ..self.clone()
        }
    }

    pub fn get(&self, key: impl AsRef<[u8]>) -> Get {
        Get::new(self.clone(), key.as_ref())
    }

    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Put {
        Put::new(self.clone(), key.as_ref(), Bytes::from(value.into()))
    }

    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete {
        Delete::new(self.clone(), key.as_ref())
    }

    /// Many steps at one revision, or none of them.
    pub fn txn(&self) -> Txn {
        Txn::new(self.clone())
    }

    /// What happens to a key from now on, or from a revision on.
    pub fn watch(&self, key: impl AsRef<[u8]>) -> Watching {
        Watching::new(self.clone(), key.as_ref())
    }

    /// A lease that is kept alive for as long as its handle lives. A TTL is whole seconds; a member
    /// may grant more than was asked for.
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        Lease::grant(self, ttl).await
    }

    /// Goes on with a lease that another has granted, which must no longer keep it alive.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if it is over already.
    pub async fn adopt_lease(&self, id: i64) -> Result<Lease, Error> {
        Lease::adopt(self, id).await
    }

    /// Ends a lease, whoever holds it, and every key that hangs on it. One that is over already is
    /// no error.
    pub async fn revoke_lease(&self, id: i64) -> Result<(), Error> {
        lease::revoke(self, id).await
    }

    /// Forgets what has happened before `revision`: what is there stays, but reads at older
    /// revisions and watches from them are refused.
    pub async fn compact(&self, revision: i64) -> Result<(), Error> {
        let request = mainstay_proto::etcdserverpb::CompactionRequest {
            revision,
            physical: false,
        };
        let ask = |line| async move { kv(line).compact(request).await };
        // Compacting twice at one revision is refused the second time, and changes nothing.
        let calls = self.calls();
        calls
            .ask("Compact", Kind::Write, self.deadline, ask)
            .await?;
        Ok(())
    }

    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// The stub for keys on one line. Answers may be as large as a member lets them grow.
pub(crate) fn kv(line: Line) -> KvClient<Line> {
    KvClient::new(line).max_decoding_message_size(usize::MAX)
}
