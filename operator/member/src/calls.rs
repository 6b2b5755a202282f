//! etcd's API as far as the operator needs it, with a deadline on each call.

use std::future::Future;
use std::time::Duration;

use mainstay_proto::etcdserverpb::alarm_request::AlarmAction;
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use mainstay_proto::etcdserverpb::cluster_client::ClusterClient;
use mainstay_proto::etcdserverpb::kv_client::KvClient;
use mainstay_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use mainstay_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, AuthEnableRequest, AuthRoleAddRequest, AuthStatusRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserGrantRoleRequest,
    AuthenticateRequest, CompactionRequest, DefragmentRequest, Member as Listed, MemberAddRequest,
    MemberListRequest, MemberListResponse, MemberPromoteRequest, MemberRemoveRequest,
    MoveLeaderRequest, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::connect::{self, Address, Credentials};
use crate::error::Error;

/// A look that needs no other member.
const LOOK: Duration = Duration::from_secs(3);
/// What goes through raft; the server itself gives up after seven seconds.
const AGREE: Duration = Duration::from_secs(10);
/// Rewriting files, where the member is etcd's own; a Mainstay member answers at once.
const REWRITE: Duration = Duration::from_secs(120);

/// What a member says of a name and a password that do not belong together.
const WRONG_PASSWORD: &str = "invalid user ID or password";

/// What a member says of a learner that has not caught up.
pub const NOT_IN_SYNC: &str = "which is in sync with leader";

/// What it says while members have not been connected for long enough to be changed.
pub const UNSETTLED: &str = "unhealthy cluster";

/// One member, connected.
#[derive(Clone, Debug)]
pub struct Member {
    channel: Channel,
    host: String,
}

impl Member {
    pub async fn connect(address: &Address, credentials: &Credentials) -> Result<Member, Error> {
        Ok(Member {
            channel: connect::open(address, credentials).await?,
            host: address.host.clone(),
        })
    }

    /// The members as this one knows them, or, if `linearizable`, as a quorum has confirmed.
    pub async fn members(&self, linearizable: bool) -> Result<MemberListResponse, Error> {
        let within = if linearizable { AGREE } else { LOOK };
        let request = MemberListRequest { linearizable };
        let mut client = ClusterClient::new(self.channel.clone());
        self.ask("MemberList", within, client.member_list(request))
            .await
    }

    /// What this member knows of itself. It needs no quorum.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let call = client.status(StatusRequest::default());
        self.ask("Status", LOOK, call).await
    }

    /// Adds a learner with this peer URL. One that is there already is the answer, so that a step
    /// that was interrupted may be done again.
    pub async fn add_learner(&self, peer_url: &str) -> Result<Listed, Error> {
        let known = self.members(true).await?;
        let same = |member: &Listed| member.peer_ur_ls.iter().any(|url| url == peer_url);
        if let Some(member) = known.members.into_iter().find(same) {
            return Ok(member);
        }
        let request = MemberAddRequest {
            peer_ur_ls: vec![peer_url.to_owned()],
            is_learner: true,
        };
        let mut client = ClusterClient::new(self.channel.clone());
        let call = client.member_add(request);
        let added = self.ask("MemberAdd", AGREE, call).await?;
        added.member.ok_or_else(|| Error::Malformed {
            host: self.host.clone(),
            path: "MemberAdd".to_owned(),
            reason: "no member is in the answer".to_owned(),
        })
    }

    /// Makes a learner a voter. One that is a voter already is no error.
    pub async fn promote(&self, id: u64) -> Result<(), Error> {
        let mut client = ClusterClient::new(self.channel.clone());
        let call = client.member_promote(MemberPromoteRequest { id });
        match self.ask("MemberPromote", AGREE, call).await {
            // The text for one that has not caught up begins with the same words.
            Err(error) if error.says(NOT_IN_SYNC) => Err(error),
            Err(error) if error.says("can only promote a learner member") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Removes a member. One that is gone already is no error.
    pub async fn remove(&self, id: u64) -> Result<(), Error> {
        let mut client = ClusterClient::new(self.channel.clone());
        let call = client.member_remove(MemberRemoveRequest { id });
        match self.ask("MemberRemove", AGREE, call).await {
            Err(error) if error.says("member not found") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Hands leadership to another member; only the leader can be asked.
    pub async fn move_leader(&self, to: u64) -> Result<(), Error> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let call = client.move_leader(MoveLeaderRequest { target_id: to });
        self.ask("MoveLeader", AGREE, call).await.map(drop)
    }

    pub async fn alarms(&self) -> Result<Vec<AlarmMember>, Error> {
        self.alarm(AlarmAction::Get, 0, AlarmType::None).await
    }

    pub async fn disarm(&self, member: u64, alarm: AlarmType) -> Result<(), Error> {
        let done = self.alarm(AlarmAction::Deactivate, member, alarm).await;
        done.map(drop)
    }

    async fn alarm(
        &self,
        action: AlarmAction,
        member: u64,
        alarm: AlarmType,
    ) -> Result<Vec<AlarmMember>, Error> {
        let request = AlarmRequest {
            action: action.into(),
            member_id: member,
            alarm: alarm.into(),
        };
        let mut client = MaintenanceClient::new(self.channel.clone());
        let answer = self.ask("Alarm", AGREE, client.alarm(request)).await?;
        Ok(answer.alarms)
    }

    pub async fn defragment(&self) -> Result<(), Error> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let call = client.defragment(DefragmentRequest::default());
        self.ask("Defragment", REWRITE, call).await.map(drop)
    }

    /// Drops what is older than `revision`. An older compaction than the last one is no error.
    pub async fn compact(&self, revision: i64) -> Result<(), Error> {
        let request = CompactionRequest {
            revision,
            physical: true,
        };
        let mut client = KvClient::new(self.channel.clone());
        match self.ask("Compact", REWRITE, client.compact(request)).await {
            Err(error) if error.says("has been compacted") => Ok(()),
            other => other.map(drop),
        }
    }

    /// The store in etcd's file form, piece by piece. The deadline is that of the first piece;
    /// whoever reads on sets one for each of the others.
    pub async fn snapshot(&self) -> Result<Streaming<SnapshotResponse>, Error> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let call = client.snapshot(SnapshotRequest::default());
        self.ask("Snapshot", REWRITE, call).await
    }

    pub async fn auth_enabled(&self) -> Result<bool, Error> {
        let mut client = AuthClient::new(self.channel.clone());
        let call = client.auth_status(AuthStatusRequest::default());
        Ok(self.ask("AuthStatus", LOOK, call).await?.enabled)
    }

    /// Sees to it that the user and the role `root` exist with this password, and switches
    /// authentication on. Each part may have been done before.
    pub async fn enable_auth(&self, password: &str) -> Result<(), Error> {
        let mut client = AuthClient::new(self.channel.clone());
        let name = || "root".to_owned();
        let user = AuthUserAddRequest {
            name: name(),
            password: password.to_owned(),
            ..AuthUserAddRequest::default()
        };
        let added = self.ask("UserAdd", AGREE, client.user_add(user)).await;
        if or_done(added.map(drop), "user name already exists")? {
            self.set_root_password(password).await?;
        }
        let role = client.role_add(AuthRoleAddRequest { name: name() });
        let added = self.ask("RoleAdd", AGREE, role).await;
        or_done(added.map(drop), "role name already exists")?;
        let grant = AuthUserGrantRoleRequest {
            user: name(),
            role: name(),
        };
        let call = client.user_grant_role(grant);
        self.ask("UserGrantRole", AGREE, call).await?;
        let call = client.auth_enable(AuthEnableRequest::default());
        self.ask("AuthEnable", AGREE, call).await.map(drop)
    }

    /// Whether this is the password of `root`.
    pub async fn is_root_password(&self, password: &str) -> Result<bool, Error> {
        let request = AuthenticateRequest {
            name: "root".to_owned(),
            password: password.to_owned(),
        };
        let mut client = AuthClient::new(self.channel.clone());
        let call = client.authenticate(request);
        match self.ask("Authenticate", AGREE, call).await {
            Ok(_) => Ok(true),
            Err(error) if error.says(WRONG_PASSWORD) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whoever has logged in as `root` must do so again.
    pub async fn set_root_password(&self, password: &str) -> Result<(), Error> {
        let change = AuthUserChangePasswordRequest {
            name: "root".to_owned(),
            password: password.to_owned(),
            ..AuthUserChangePasswordRequest::default()
        };
        let mut client = AuthClient::new(self.channel.clone());
        let call = client.user_change_password(change);
        self.ask("UserChangePassword", AGREE, call).await.map(drop)
    }

    async fn ask<T>(
        &self,
        call: &'static str,
        within: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::Refused {
                host: self.host.clone(),
                call,
                code: status.code(),
                text: status.message().to_owned(),
            }),
            Err(_) => Err(Error::Slow {
                host: self.host.clone(),
                call,
                within,
            }),
        }
    }
}

/// Whether it had been done before.
fn or_done(outcome: Result<(), Error>, done: &str) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.says(done) => Ok(true),
        Err(error) => Err(error),
    }
}
