//! The handle on users, roles and tokens that apply and the API share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_mvcc::{Batch, Error as StoreError, Store};
use mainstay_proto::entry::{Authenticate, UserAdd, UserChangePassword};
use mainstay_proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserGrantRoleRequest,
    AuthUserRevokeRoleRequest,
};
use tokio::sync::watch;

use crate::{Error, Now, Registry, TokenHash, Tokens};

/// How tokens are kept.
#[derive(Clone)]
pub struct Options {
    /// How long a token lasts after its last use.
    pub token_ttl: Duration,
    /// Only tokens go by it; decisions never do.
    pub now: Now,
}

/// Cheap to clone. Readers see users and roles as of the last commit, and wait for no batch.
#[derive(Clone)]
pub struct Auth(Arc<Shared>);

struct Shared {
    registry: watch::Sender<Arc<Registry>>,
    tokens: Tokens,
}

impl Auth {
    pub fn new(options: Options) -> Auth {
        let (registry, _) = watch::channel(Arc::new(Registry::default()));
        Auth(Arc::new(Shared {
            registry,
            tokens: Tokens::new(options.now, options.token_ttl),
        }))
    }

    /// Takes over the users and roles of a store just opened or installed. Nobody stays logged in:
    /// what happened to the users meanwhile is not known.
    pub fn load(&self, store: &Store) -> Result<(), StoreError> {
        let registry = Registry::load(store)?;
        self.0.tokens.clear();
        self.0.registry.send_replace(Arc::new(registry));
        Ok(())
    }

    /// Users and roles as they stand.
    pub fn registry(&self) -> Arc<Registry> {
        self.0.registry.borrow().clone()
    }

    /// Tells of every change of users and roles.
    pub fn changes(&self) -> watch::Receiver<Arc<Registry>> {
        self.0.registry.subscribe()
    }

    /// Nobody stays logged in. For a member that has started: entries applied again may hold
    /// log-ins whose time was over before.
    pub fn forget_tokens(&self) {
        self.0.tokens.clear();
    }

    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// The write side, for one batch.
    pub fn applying(&self) -> Applying<'_> {
        Applying {
            auth: self,
            registry: self.registry(),
            changed: false,
            tokens: Vec::new(),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// Users and roles while a batch is applied: each entry sees what those before it have changed, and
/// readers see it after the commit.
pub struct Applying<'a> {
    auth: &'a Auth,
    registry: Arc<Registry>,
    changed: bool,
    tokens: Vec<TokenChange>,
}

enum TokenChange {
    Added(TokenHash, String),
    DroppedUser(String),
    Cleared,
}

impl Applying<'_> {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Lets a user in whose password the proposer has verified, unless users or roles have changed
    /// since: the password may have been another's by then.
    pub fn authenticate(&mut self, request: &Authenticate) -> Result<(), Error> {
        if !self.registry.is_enabled() {
            return Err(Error::NotEnabled);
        }
        if request.auth_revision != self.registry.revision() {
            return Err(Error::OldRevision);
        }
        let user = self.registry.user(&request.name).ok_or(Error::Failed)?;
        let hash = TokenHash::try_from(request.token_hash.as_ref());
        match hash {
            Ok(hash) if !user.has_no_password() => {
                let added = TokenChange::Added(hash, request.name.clone());
                self.tokens.push(added);
                Ok(())
            }
            _ => Err(Error::Failed),
        }
    }

    pub fn enable(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        self.change(|registry| registry.enable(batch))
    }

    pub fn disable(&mut self, batch: &mut Batch<'_>) {
        let was = self.change(|registry| Ok(registry.disable(batch)));
        if was == Ok(true) {
            self.tokens.push(TokenChange::Cleared);
        }
    }

    pub fn add_user(&mut self, batch: &mut Batch<'_>, request: &UserAdd) -> Result<(), Error> {
        self.change(|registry| registry.add_user(batch, request))
    }

    pub fn change_password(
        &mut self,
        batch: &mut Batch<'_>,
        request: &UserChangePassword,
    ) -> Result<(), Error> {
        self.change(|registry| registry.change_password(batch, request))?;
        let dropped = TokenChange::DroppedUser(request.name.clone());
        self.tokens.push(dropped);
        Ok(())
    }

    pub fn delete_user(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        self.change(|registry| registry.delete_user(batch, name))?;
        self.tokens.push(TokenChange::DroppedUser(name.to_owned()));
        Ok(())
    }

    pub fn grant_role(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthUserGrantRoleRequest,
    ) -> Result<(), Error> {
        self.change(|registry| registry.grant_role(batch, request))
    }

    pub fn revoke_role(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthUserRevokeRoleRequest,
    ) -> Result<(), Error> {
        self.change(|registry| registry.revoke_role(batch, request))
    }

    pub fn add_role(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        self.change(|registry| registry.add_role(batch, name))
    }

    pub fn delete_role(&mut self, batch: &mut Batch<'_>, name: &str) -> Result<(), Error> {
        self.change(|registry| registry.delete_role(batch, name))
    }

    pub fn grant_permission(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthRoleGrantPermissionRequest,
    ) -> Result<(), Error> {
        self.change(|registry| registry.grant_permission(batch, request))
    }

    pub fn revoke_permission(
        &mut self,
        batch: &mut Batch<'_>,
        request: &AuthRoleRevokePermissionRequest,
    ) -> Result<(), Error> {
        self.change(|registry| registry.revoke_permission(batch, request))
    }

    /// The batch is in the store: readers see it, and tokens begin and end.
    pub fn committed(self) {
        let shared = &self.auth.0;
        if self.changed {
            shared.registry.send_replace(self.registry);
        }
        for change in self.tokens {
            match change {
                TokenChange::Added(hash, user) => shared.tokens.add(hash, &user),
                TokenChange::DroppedUser(user) => shared.tokens.drop_user(&user),
                TokenChange::Cleared => shared.tokens.clear(),
            }
        }
    }

    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Registry) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = change(Arc::make_mut(&mut self.registry))?;
        self.changed = true;
        Ok(done)
    }
}
