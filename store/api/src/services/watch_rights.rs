//! What the caller of a watch stream may watch: asked as a watch begins, and again whenever users or
//! roles change.
//!
//! etcd asks only at the beginning, and a watch outlives the right to it. Here it ends with a
//! reason. Whose watch it is was settled as it began: a token that has run out since ends nothing.

use std::sync::Arc;

use mainstay_auth::{Access, Caller as Identity, Registry};
use mainstay_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, watch_request::RequestUnion};
use mainstay_watch::{Control, StreamEnded};
use tokio::sync::watch;

use crate::context::Context;
use crate::error::{CODE_NAMES, Error};
use crate::metadata::Caller;
use crate::spans;

pub struct WatchRights<'a> {
    context: &'a Context,
    caller: &'a Caller,
    changes: watch::Receiver<Arc<Registry>>,
    /// Known once a watch has begun while authentication was on.
    user: Option<String>,
}

impl<'a> WatchRights<'a> {
    pub fn new(context: &'a Context, caller: &'a Caller) -> WatchRights<'a> {
        WatchRights {
            context,
            caller,
            changes: context.logins.auth().changes(),
            user: None,
        }
    }

    /// Returns once users or roles have changed since the last time.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // They live as long as the member.
            std::future::pending::<()>().await;
        }
    }

    /// An empty union is ignored, as are parts of it this version does not know.
    pub async fn hand_over(
        &mut self,
        control: &Control,
        request: WatchRequest,
    ) -> Result<(), StreamEnded> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => match self.begin(&create).await {
                Ok(()) => match self.caller.begin("watch", || spans::watch(&create)) {
                    Some(span) => control.create_with(create, Box::new(span)).await,
                    None => control.create(create).await,
                },
                Err(error) => control.refuse(reason(error)).await,
            },
            Some(RequestUnion::CancelRequest(cancel)) => control.cancel(cancel.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => control.progress().await,
            None => Ok(()),
        }
    }

    /// A start below zero is refused by the hub, before anybody is asked who he is (etcd).
    async fn begin(&mut self, create: &WatchCreateRequest) -> Result<(), Error> {
        if create.start_revision < 0 || !self.context.logins.registry().is_enabled() {
            return Ok(());
        }
        let identity = self.context.identify(self.caller).await?;
        // No key stands for the first there can be.
        let key: &[u8] = match create.key.is_empty() {
            true => b"\0",
            false => &create.key,
        };
        let registry = self.context.logins.registry();
        registry.permits(&identity, Access::Read, key, &create.range_end)?;
        self.user = identity.name().map(str::to_owned);
        Ok(())
    }

    /// Ends the watches that the caller may not have any more.
    pub async fn review(&mut self, control: &Control) -> Result<(), StreamEnded> {
        let registry = self.changes.borrow_and_update().clone();
        if !registry.is_enabled() {
            return Ok(());
        }
        let user = match self.user.clone() {
            Some(name) => Some(name),
            // Its watches began while authentication was off.
            None => match self.context.identify(self.caller).await {
                Ok(identity) => identity.name().map(str::to_owned),
                Err(error) => return control.review(|_, _| false, reason(error)).await,
            },
        };
        let Some(name) = user else {
            return control.review(|_, _| false, reason(Error::UserEmpty)).await;
        };
        // However old the credentials: what counts is what their user may do now.
        let revision = registry.revision();
        let identity = Identity::User { name, revision };
        let allowed = move |key: &[u8], range_end: &[u8]| {
            let permits = registry.permits(&identity, Access::Read, key, range_end);
            permits.is_ok()
        };
        control
            .review(allowed, reason(Error::PermissionDenied))
            .await
    }
}

/// An error of gRPC as Go prints it: clients look for that text in the reason of a cancelled watch.
fn reason(error: Error) -> String {
    let code = CODE_NAMES.get(error.code() as usize).unwrap_or(&"Unknown");
    format!("rpc error: code = {code} desc = {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_worded_as_go_prints_them() {
        assert_eq!(
            reason(Error::PermissionDenied),
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        );
    }
}
