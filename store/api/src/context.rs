//! What every service works with: this member's node, store and watch hub, and its limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mainstay_apply::{Gate, Outcome, View};
use mainstay_auth::{Auth, Caller as Identity, Error as AuthError};
use mainstay_lease::Leases;
use mainstay_mvcc::Store;
use mainstay_proto::{entry::command::Body, etcdserverpb::ResponseHeader};
use mainstay_raft::{Node, ProposeError};
use mainstay_transport::Tls;
use mainstay_watch::Hub;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::Status;

use crate::access::Access;
use crate::error::Error;
use crate::grpc::Calls;
use crate::limits::{Limits, SCANS_AT_ONCE, SNAPSHOTS_AT_ONCE};
use crate::logins::{LoginSettings, Logins};
use crate::metadata::Caller;
use crate::metrics::{Disk, Observed};
use crate::spans::Spans;
use crate::{header, rights};

/// The version of etcd this server answers for; Kubernetes turns features on by it.
pub const SERVER_VERSION: &str = "3.7.1";
/// The version of the whole cluster, once it is decided.
pub const CLUSTER_VERSION: &str = "3.7.0";
/// The version of the data's shape before a cluster version is decided.
pub const STORAGE_VERSION: &str = "3.7.0";

/// The quota where none is given (etcd).
const QUOTA_BYTES: i64 = 2 << 30;

/// The parts an API is made of.
pub struct Parts {
    pub node: Node,
    pub hub: Hub,
    pub leases: Leases,
    pub view: View,
    pub limits: Limits,
    /// Bytes of logical data above which writes are refused: 0 for the default, less than 0 for
    /// no quota.
    pub quota_bytes: i64,
    /// Where the file of a backup lies while it is sent; on the data directory's disk.
    pub scratch_dir: PathBuf,
    /// What the log and the store have measured of the disk.
    pub disk: Arc<Disk>,
    /// Lines of the server's own log that were dropped because nobody took them.
    pub log_dropped: Arc<AtomicU64>,
    /// What the listeners' and diallers' TLS is doing, for the metrics; empty without TLS.
    pub tls: Vec<Tls>,
    /// `--metrics=extensive`: the duration of every call, by method.
    pub extensive_metrics: bool,
    pub access: Access,
    pub auth: Auth,
    pub logins: LoginSettings,
    /// Set where calls are traced.
    pub spans: Option<Spans>,
}

/// Shared by all requests.
pub struct Context {
    pub node: Node,
    pub hub: Hub,
    pub leases: Leases,
    pub view: View,
    pub limits: Limits,
    pub quota_bytes: i64,
    pub scratch_dir: PathBuf,
    pub disk: Arc<Disk>,
    pub log_dropped: Arc<AtomicU64>,
    /// Backups under way.
    pub snapshots: Arc<Semaphore>,
    pub tls: Vec<Tls>,
    pub calls: Arc<Calls>,
    pub observed: Observed,
    pub access: Access,
    pub logins: Logins,
    pub spans: Option<Spans>,
    scans: Arc<Semaphore>,
}

/// Leave to read, as of a revision of users and roles; none is needed while authentication is off.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Permit(Option<u64>);

impl Context {
    pub fn new(parts: Parts) -> Arc<Context> {
        let logins = Logins::new(parts.auth, parts.view.clone(), parts.logins);
        Arc::new(Context {
            logins,
            node: parts.node,
            hub: parts.hub,
            leases: parts.leases,
            view: parts.view,
            limits: parts.limits,
            quota_bytes: if parts.quota_bytes == 0 {
                QUOTA_BYTES
            } else {
                parts.quota_bytes
            },
            scratch_dir: parts.scratch_dir,
            disk: parts.disk,
            log_dropped: parts.log_dropped,
            tls: parts.tls,
            calls: Calls::new(rights::ROWS.len(), parts.extensive_metrics),
            observed: Observed::default(),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE)),
            access: parts.access,
            spans: parts.spans,
            scans: Arc::new(Semaphore::new(SCANS_AT_ONCE)),
        })
    }

    /// When a request that starts now has waited long enough.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.limits.request_timeout()
    }

    /// The store of now. A snapshot from the leader replaces it, so it is asked for anew.
    pub fn store(&self) -> Store {
        self.view.store()
    }

    /// The version of the data's shape: it follows the cluster's (etcd).
    pub fn storage_version(&self) -> String {
        let decided = self.view.cluster_version();
        decided.unwrap_or_else(|| STORAGE_VERSION.to_owned())
    }

    /// A header at the store's revision of now.
    pub fn header(&self) -> ResponseHeader {
        header::at(&self.node, self.store().revision())
    }

    /// Who is asking, once verified.
    pub async fn identify(&self, caller: &Caller) -> Result<Identity, Error> {
        let deadline = self.deadline();
        self.logins.identify(&caller.credentials, deadline).await
    }

    /// Asks whether the caller may read. Whoever has it reads, and asks [`Context::still`] before
    /// it answers.
    pub async fn permit(
        &self,
        caller: &Caller,
        judge: impl FnOnce(&Gate<'_>) -> Result<(), AuthError>,
    ) -> Result<Permit, Status> {
        if !self.logins.registry().is_enabled() {
            return Ok(Permit(None));
        }
        let identity = self.identify(caller).await?;
        let registry = self.logins.registry();
        let gate = Gate {
            registry: &registry,
            caller: &identity,
            leases: &self.leases,
        };
        judge(&gate).map_err(Error::from)?;
        Ok(Permit(Some(registry.revision())))
    }

    /// Refuses to answer what was read under users and roles that have changed since: the caller
    /// may have lost its right before what it has read was written.
    pub fn still(&self, permit: Permit) -> Result<(), Error> {
        match permit.0 {
            Some(revision) if self.logins.registry().revision() != revision => {
                Err(Error::AuthOldRevision)
            }
            _ => Ok(()),
        }
    }

    /// Takes a caller's command through consensus and waits until it is applied here, where its
    /// rights are decided. `encoded` is the size of the request it carries.
    pub async fn propose(
        &self,
        caller: &Caller,
        body: Body,
        encoded: usize,
    ) -> Result<Outcome, Status> {
        let identity = self.identify(caller).await?;
        if self.limits.too_large(encoded) {
            return Err(Error::RequestTooLarge.into());
        }
        caller.event("Send raft proposal");
        let outcome = self.node.propose_for(identity, body, self.deadline());
        let outcome = outcome.await;
        if matches!(outcome, Ok(_) | Err(ProposeError::Apply(_))) {
            caller.event("Receive raft result");
        }
        Ok(outcome.map_err(Error::from)?)
    }

    /// Returns once a read of the local store sees every write answered before the call.
    pub async fn read_barrier(&self) -> Result<(), Status> {
        Ok(self
            .node
            .read_barrier(self.deadline())
            .await
            .map_err(Error::from)?)
    }

    /// Runs a read of many records off the thread that carries raft, a bounded number at a time.
    pub async fn scan<T, F>(&self, read: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Status> + Send + 'static,
    {
        let Ok(permit) = self.scans.clone().acquire_owned().await else {
            return Err(Error::Stopped.into());
        };
        let store = self.store();
        let scan = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&store)
        });
        match scan.await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "a read of the store died");
                Err(Error::Storage.into())
            }
        }
    }
}
