//! What each request needs, wherever it occurs: one function for an operation by itself, in either
//! branch of a txn and in any txn inside of it.
//!
//! Apply decides by it, on the users and roles as they stand at the entry, so all members decide
//! alike; nothing an alarm changes comes before it. The API asks the same functions before a read
//! that takes no entry, and there the answer is the decision.

use mainstay_auth::{Access, Caller, Error, Registry};
use mainstay_lease::{Applying, Leases};
use mainstay_proto::{
    entry::command::Body,
    etcdserverpb::{
        AlarmRequest, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        alarm_request::AlarmAction, request_op::Request,
    },
};

/// The keys that hang on leases.
pub trait LeaseKeys {
    /// Looks at each key of a lease until `look` fails; at none where there is no such lease.
    fn each_key(
        &self,
        id: i64,
        look: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

impl LeaseKeys for Leases {
    fn each_key(
        &self,
        id: i64,
        look: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.look_at_keys(id, look)
    }
}

impl LeaseKeys for Applying<'_> {
    fn each_key(
        &self,
        id: i64,
        look: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.look_at_keys(id, look)
    }
}

/// A caller before the users, roles and leases that its request is judged by.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    pub registry: &'a Registry,
    pub caller: &'a Caller,
    pub leases: &'a dyn LeaseKeys,
}

impl Gate<'_> {
    /// Judges a command. Every kind is named here: a new one does not compile without its rule.
    pub(crate) fn command(&self, body: &Body) -> Result<(), Error> {
        if !self.registry.is_enabled() {
            return Ok(());
        }
        match body {
            Body::Put(request) => self.put(request),
            Body::DeleteRange(request) => self.delete(request),
            Body::Txn(request) => self.txn(request),
            Body::LeaseGrant(_) => self.known(),
            Body::LeaseRevoke(request) => {
                self.known()?;
                self.lease(request.id, Access::Write)
            }
            Body::Alarm(request) => self.alarm(request),
            // The password was the credential; apply looks at the rest of it.
            Body::Authenticate(_) => Ok(()),
            // Only members make these, of themselves.
            Body::Publish(_) | Body::ClusterVersion(_) => match self.caller {
                Caller::Member => Ok(()),
                _ => Err(Error::Denied),
            },
            Body::Compact(_)
            | Body::Downgrade(_)
            | Body::AuthEnable(_)
            | Body::AuthDisable(_)
            | Body::UserAdd(_)
            | Body::UserChangePassword(_)
            | Body::UserDelete(_)
            | Body::UserGrantRole(_)
            | Body::UserRevokeRole(_)
            | Body::RoleAdd(_)
            | Body::RoleDelete(_)
            | Body::RoleGrantPermission(_)
            | Body::RoleRevokePermission(_) => self.root(),
        }
    }

    /// Any credentials will do.
    pub fn known(&self) -> Result<(), Error> {
        self.registry.permits_known(self.caller)
    }

    pub fn root(&self) -> Result<(), Error> {
        self.registry.permits_root(self.caller)
    }

    /// The alarms may be listed by whoever is let in.
    pub fn alarm(&self, request: &AlarmRequest) -> Result<(), Error> {
        match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => self.known(),
            _ => self.root(),
        }
    }

    pub fn range(&self, request: &RangeRequest) -> Result<(), Error> {
        self.keys(Access::Read, &request.key, &request.range_end)
    }

    /// A put may hang its key on a lease only if it could take that lease away with everything
    /// that hangs on it already.
    pub fn put(&self, request: &PutRequest) -> Result<(), Error> {
        self.keys(Access::Write, &request.key, b"")?;
        self.lease(request.lease, Access::Write)?;
        if request.prev_kv {
            self.keys(Access::Read, &request.key, b"")?;
        }
        Ok(())
    }

    pub fn delete(&self, request: &DeleteRangeRequest) -> Result<(), Error> {
        self.keys(Access::Write, &request.key, &request.range_end)?;
        if request.prev_kv {
            self.keys(Access::Read, &request.key, &request.range_end)?;
        }
        Ok(())
    }

    /// Both branches, whichever is taken: what a txn is refused for must not tell how its compares
    /// went.
    pub fn txn(&self, request: &TxnRequest) -> Result<(), Error> {
        // A txn may ask for nothing, and still only somebody may.
        self.known()?;
        for compare in &request.compare {
            self.keys(Access::Read, &compare.key, &compare.range_end)?;
        }
        let mut ops = request.success.iter().chain(&request.failure);
        ops.try_for_each(|op| self.op(op))
    }

    fn op(&self, op: &RequestOp) -> Result<(), Error> {
        match &op.request {
            Some(Request::RequestRange(request)) => self.range(request),
            Some(Request::RequestPut(request)) => self.put(request),
            Some(Request::RequestDeleteRange(request)) => self.delete(request),
            Some(Request::RequestTxn(request)) => self.txn(request),
            // Refused later, as an operation that asks for nothing.
            None => Ok(()),
        }
    }

    /// Every key that hangs on the lease; none if there is no such lease.
    pub fn lease(&self, id: i64, access: Access) -> Result<(), Error> {
        if id == 0 || self.root().is_ok() {
            return Ok(());
        }
        self.leases
            .each_key(id, &mut |key| self.keys(access, key, b""))
    }

    pub fn keys(&self, access: Access, key: &[u8], range_end: &[u8]) -> Result<(), Error> {
        self.registry.permits(self.caller, access, key, range_end)
    }
}
