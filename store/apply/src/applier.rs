//! Committed entries in, one commit, then publication.

use std::fmt;

use bytes::Bytes;
use mainstay_auth::{Applying as ApplyingAuth, Auth, Caller};
use mainstay_lease::{Applying, Leases};
use mainstay_mvcc::{Batch, Change, Store, Writer};
use mainstay_proto::entry::command::Body;
use mainstay_watch::Hub;

use crate::{
    AppliedEntry, AppliedState, Error, LogPosition, Outcome, Reply, View, Waiters,
    alarm::{self, Alarms},
    auth,
    authorize::Gate,
    compact,
    context::Context,
    delete,
    entry::{Decoded, DecodedEntry, Payload, Request},
    error::{Failure, Refusable},
    lease,
    publish::{self, Members},
    put,
    quota::Quota,
    txn,
};

/// How entries are applied.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// This member: only requests it took are answered.
    pub member_id: u64,
    /// Bytes of logical records; 0 stands for 2 GiB, less than 0 for none (etcd's rules). It holds for
    /// entries that name none: the proposer's is in the entry, since members whose quota is being
    /// changed one after the other must decide alike.
    pub quota_bytes: i64,
}

/// Owns the one writer of the store. Runs wherever raft's state machine runs; an error it returns
/// means that the member must stop.
pub struct Applier {
    member_id: u64,
    quota: Quota,
    writer: Writer,
    hub: Hub,
    leases: Leases,
    auth: Auth,
    waiters: Waiters,
    view: View,
    applied: AppliedState,
    alarms: Alarms,
    members: Members,
}

impl Applier {
    /// Takes over a store: reads the applied position, leases, users, alarms and members from it.
    pub fn open(
        options: ApplyOptions,
        store: Store,
        writer: Writer,
        hub: Hub,
        leases: Leases,
        auth: Auth,
        waiters: Waiters,
    ) -> Result<Applier, Error> {
        let mut applier = Applier {
            member_id: options.member_id,
            quota: Quota::new(options.quota_bytes),
            writer,
            hub,
            leases,
            auth,
            waiters,
            view: View::new(store.clone()),
            applied: AppliedState::default(),
            alarms: Alarms::default(),
            members: Members::default(),
        };
        applier.load(&store)?;
        Ok(applier)
    }

    /// Applies entries, in log order, in one commit. On return their effects can be read and the
    /// requests of this member among them are answered.
    pub fn apply(&mut self, entries: &[AppliedEntry]) -> Result<(), Error> {
        self.apply_decoded(Decoded::of(entries)?)
    }

    /// The same, for who decides by what the entries say where to do it.
    pub fn apply_decoded(&mut self, decoded: Decoded) -> Result<(), Error> {
        if decoded.entries.is_empty() {
            return Ok(());
        }
        self.writer.set_want_prev(self.hub.wants_prev());
        let mut applied = self.applied.clone();
        let mut replies = Vec::new();
        let mut batch = self.writer.begin();
        let mut leases = self.leases.applying();
        let mut auth = self.auth.applying();
        let mut tables = Tables {
            member_id: self.member_id,
            quota: self.quota,
            alarms: &mut self.alarms,
            members: &mut self.members,
        };
        for DecodedEntry {
            term,
            index,
            payload,
        } in decoded.entries
        {
            let position = follow(&applied, LogPosition { term, index })?;
            match payload {
                Payload::Blank => {}
                Payload::Membership(bytes) => {
                    tables.members.change(&mut batch, index, &bytes)?;
                    // Copied, as it outlives the buffer the entry came in by far.
                    applied.membership = Some((position, Bytes::copy_from_slice(&bytes)));
                }
                Payload::Command(request) => {
                    let mut rooms = (&mut leases, &mut auth);
                    let reply = tables.command(&mut batch, &mut rooms, position, request)?;
                    replies.extend(reply);
                }
            }
            applied.log = Some(position);
        }
        let revision = batch.revision();
        let changes = batch.commit(applied.encode())?;
        leases.committed();
        auth.committed();
        self.applied = applied;
        self.publish(revision, changes, replies);
        Ok(())
    }

    /// How far the store has come.
    pub fn applied(&self) -> &AppliedState {
        &self.applied
    }

    /// The readers' side, good for the life of this applier.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Goes on with the store of an installed snapshot: everything kept in memory is read anew
    /// and watches are told where the store is now.
    pub fn reset(&mut self, store: Store, writer: Writer) -> Result<(), Error> {
        self.writer = writer;
        self.load(&store)?;
        self.hub.reset(store);
        Ok(())
    }

    fn load(&mut self, store: &Store) -> Result<(), Error> {
        self.applied = AppliedState::decode(store.applied()?.as_deref())?;
        self.leases.load(store).map_err(Error::Lease)?;
        self.auth.load(store)?;
        self.alarms = Alarms::load(store)?;
        self.members = Members::load(store, &self.applied)?;
        self.view.set_store(store.clone());
        self.view.set_alarms(self.alarms.list());
        self.members.show(&self.view);
        if let Some(position) = self.applied.log {
            self.view.set_applied(position);
        }
        Ok(())
    }

    /// Watchers first, so that a client that saw its write succeed and then opens a watch here
    /// starts behind it; waiters last, so that whoever is answered can read everything.
    fn publish(&mut self, revision: i64, changes: Vec<Change>, replies: Vec<(u64, Reply)>) {
        if !changes.is_empty() {
            self.hub.publish(revision, changes);
        }
        if self.alarms.take_changed() {
            self.view.set_alarms(self.alarms.list());
        }
        if self.members.take_changed() {
            self.members.show(&self.view);
        }
        if let Some(position) = self.applied.log {
            self.view.set_applied(position);
        }
        self.waiters.fire_all(replies);
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier")
            .field("applied", &self.applied.log)
            .finish_non_exhaustive()
    }
}

/// What commands change beside the batch and the leases.
struct Tables<'a> {
    member_id: u64,
    quota: Quota,
    alarms: &'a mut Alarms,
    members: &'a mut Members,
}

impl Tables<'_> {
    /// Applies one command; returns the answer if a request of this member waits for it.
    fn command<'l>(
        &mut self,
        batch: &mut Batch<'_>,
        (leases, auth): &mut (&mut Applying<'l>, &mut ApplyingAuth<'l>),
        LogPosition { term, index }: LogPosition,
        request: Request,
    ) -> Result<Option<(u64, Reply)>, Error> {
        let Request {
            proposer,
            request,
            caller,
            quota,
            body,
        } = request;
        let quota = quota.unwrap_or(self.quota);
        let alarms = &mut *self.alarms;
        let mut context = Context {
            batch,
            leases,
            alarms,
            auth,
            proposer,
            term,
            index,
        };
        // Who may not ask is told so whatever alarm stands, and raises none.
        let reply = context
            .authorize(&caller, &body)
            .and_then(|()| quota.admit(&mut context, &body))
            .and_then(|()| dispatch(&mut context, self.members, &body))
            .refused()?;
        Ok((proposer == self.member_id).then_some((request, reply)))
    }
}

impl Context<'_, '_, '_> {
    fn authorize(&self, caller: &Caller, body: &Body) -> Result<(), Failure> {
        let gate = Gate {
            registry: self.auth.registry(),
            caller,
            leases: &*self.leases,
        };
        Ok(gate.command(body)?)
    }
}

fn dispatch(
    context: &mut Context<'_, '_, '_>,
    members: &mut Members,
    body: &Body,
) -> Result<Outcome, Failure> {
    match body {
        Body::Put(request) => put::apply(context, request),
        Body::DeleteRange(request) => delete::apply(context, request),
        Body::Txn(request) => txn::apply(context, request),
        Body::Compact(request) => compact::apply(context, request),
        Body::LeaseGrant(request) => lease::grant(context, request),
        Body::LeaseRevoke(request) => lease::revoke(context, request),
        Body::Alarm(request) => alarm::apply(context, request),
        Body::Publish(request) => publish::attributes(context, members, request),
        Body::ClusterVersion(request) => publish::cluster_version(context, members, request),
        Body::Downgrade(request) => publish::downgrade(context, members, request),
        Body::Authenticate(request) => auth::authenticate(context, request),
        Body::AuthEnable(_) => auth::change(context, |auth, batch| auth.enable(batch)),
        Body::AuthDisable(_) => auth::change(context, |auth, batch| {
            auth.disable(batch);
            Ok(())
        }),
        Body::UserAdd(request) => {
            auth::change(context, |auth, batch| auth.add_user(batch, request))
        }
        Body::UserChangePassword(request) => {
            auth::change(context, |auth, batch| auth.change_password(batch, request))
        }
        Body::UserDelete(request) => auth::change(context, |auth, batch| {
            auth.delete_user(batch, &request.name)
        }),
        Body::UserGrantRole(request) => {
            auth::change(context, |auth, batch| auth.grant_role(batch, request))
        }
        Body::UserRevokeRole(request) => {
            auth::change(context, |auth, batch| auth.revoke_role(batch, request))
        }
        Body::RoleAdd(request) => {
            auth::change(context, |auth, batch| auth.add_role(batch, &request.name))
        }
        Body::RoleDelete(request) => auth::change(context, |auth, batch| {
            auth.delete_role(batch, &request.role)
        }),
        Body::RoleGrantPermission(request) => {
            auth::change(context, |auth, batch| auth.grant_permission(batch, request))
        }
        Body::RoleRevokePermission(request) => auth::change(context, |auth, batch| {
            auth.revoke_permission(batch, request)
        }),
    }
}

/// The position of an entry, which must be the next one: an entry applied twice or left out would
/// make this member differ from the others for good.
fn follow(applied: &AppliedState, position: LogPosition) -> Result<LogPosition, Error> {
    match applied.log {
        Some(last) if Some(position.index) != last.index.checked_add(1) => Err(Error::Gap {
            index: position.index,
            applied: last.index,
        }),
        _ => Ok(position),
    }
}
