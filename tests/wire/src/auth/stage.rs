use anyhow::{Context, Result, ensure};
use mainstay_proto::authpb::{Permission, UserAddOptions, permission::Type};
use mainstay_proto::etcdserverpb as pb;
use tonic::transport::Channel;

use super::rpc::{self, Answer, Call, Ended};
use crate::cluster::{Cluster, Plan};
use crate::options::Options;

/// Passwords of the users on a stage.
pub const ROOT_PASSWORD: &str = "root-password";
pub const PASSWORD: &str = "user-password";

/// One cluster with users, and connections to its first member.
pub struct Stage {
    pub cluster: Cluster,
    pub channel: Channel,
    pub root: String,
}

/// Both products, etcd first.
pub async fn both(options: &Options, flags: &[&str]) -> Result<[Stage; 2]> {
    let etcd = Stage::open(&plan(options, true, flags)).await?;
    let subject = Stage::open(&plan(options, false, flags)).await?;
    Ok([etcd, subject])
}

/// A cluster of one member that hashes cheaply. With TLS its clients show no certificate: by one
/// they would be a user without a token, which `certificate` looks at.
pub fn plan(options: &Options, etcd: bool, flags: &[&str]) -> Plan {
    let (binary, label) = match etcd {
        true => (options.etcd(), "etcd"),
        false => (options.subject.clone(), "mainstay"),
    };
    let plan = Plan::new(&binary, label, 1)
        .tls(options.tls)
        .server_side_only()
        .flag("--bcrypt-cost=4");
    flags.iter().fold(plan, |plan, flag| plan.flag(*flag))
}

pub async fn connect(cluster: &Cluster, member: usize) -> Result<Channel> {
    Ok(cluster.connect(member).await?.channel)
}

impl Stage {
    /// Starts it, adds root and switches authentication on.
    pub async fn open(plan: &Plan) -> Result<Stage> {
        let cluster = Cluster::start(plan).await?;
        let channel = connect(&cluster, 0).await?;
        let mut stage = Stage {
            cluster,
            channel,
            root: String::new(),
        };
        for step in [
            user_add("root", ROOT_PASSWORD),
            grant_role("root", "root"),
            enable(),
        ] {
            stage.must(None, &step).await?;
        }
        stage.root = rpc::log_in(&stage.channel, "root", ROOT_PASSWORD).await?;
        Ok(stage)
    }

    pub async fn call(&self, token: Option<&str>, call: &Call) -> Result<Answer> {
        rpc::call(&self.channel, token, call).await
    }

    /// A call that must be let through.
    pub async fn must(&self, token: Option<&str>, call: &Call) -> Result<Answer> {
        let answer = self.call(token, call).await?;
        ensure!(
            answer.ended == Ended::Let,
            "{}: {call:?} ended with {:?}",
            self.cluster.label,
            answer.ended
        );
        Ok(answer)
    }

    pub async fn as_root(&self, call: &Call) -> Result<Answer> {
        self.must(Some(&self.root), call).await
    }

    /// A user with a role of its own name that permits this; returns its token.
    pub async fn user(&self, name: &str, permits: &[(Type, &str, &str)]) -> Result<String> {
        self.as_root(&role_add(name)).await?;
        for (kind, key, end) in permits {
            self.as_root(&permit(name, *kind, key, end)).await?;
        }
        self.as_root(&user_add(name, PASSWORD)).await?;
        self.as_root(&grant_role(name, name)).await?;
        self.log_in(name).await
    }

    pub async fn log_in(&self, name: &str) -> Result<String> {
        rpc::log_in(&self.channel, name, PASSWORD).await
    }
}

/// The same call on both sides, which must end alike; returns how.
pub async fn alike(
    stages: &[Stage; 2],
    tokens: [Option<&str>; 2],
    what: &str,
    call: &Call,
) -> Result<Ended> {
    let [etcd, subject] = stages;
    let expected = etcd.call(tokens[0], call).await?.ended;
    let found = subject.call(tokens[1], call).await?.ended;
    ensure!(
        expected == found,
        "{what} {}: etcd {expected:?}, not {found:?}",
        call.path
    );
    Ok(found)
}

/// A user on both sides; returns its tokens.
pub async fn user_on_both(
    stages: &[Stage; 2],
    name: &str,
    permits: &[(Type, &str, &str)],
) -> Result<[String; 2]> {
    let [etcd, subject] = stages;
    let first = etcd.user(name, permits).await.context("etcd")?;
    Ok([first, subject.user(name, permits).await?])
}

pub fn tokens(of: &[String; 2]) -> [Option<&str>; 2] {
    [Some(&of[0]), Some(&of[1])]
}

pub fn roots(stages: &[Stage; 2]) -> [Option<&str>; 2] {
    [Some(&stages[0].root), Some(&stages[1].root)]
}

fn auth(path: &'static str, message: &impl prost::Message) -> Call {
    Call::new(path, message)
}

pub fn enable() -> Call {
    auth("/etcdserverpb.Auth/AuthEnable", &pb::AuthEnableRequest {})
}

pub fn disable() -> Call {
    auth("/etcdserverpb.Auth/AuthDisable", &pb::AuthDisableRequest {})
}

pub fn status() -> Call {
    auth("/etcdserverpb.Auth/AuthStatus", &pb::AuthStatusRequest {})
}

pub fn user_add(name: &str, password: &str) -> Call {
    user_add_with(name, password, None)
}

pub fn user_add_with(name: &str, password: &str, no_password: Option<bool>) -> Call {
    let request = pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        options: no_password.map(|no_password| UserAddOptions { no_password }),
        ..Default::default()
    };
    auth("/etcdserverpb.Auth/UserAdd", &request)
}

pub fn user_get(name: &str) -> Call {
    let request = pb::AuthUserGetRequest { name: name.into() };
    auth("/etcdserverpb.Auth/UserGet", &request)
}

pub fn user_list() -> Call {
    auth("/etcdserverpb.Auth/UserList", &pb::AuthUserListRequest {})
}

pub fn user_delete(name: &str) -> Call {
    let request = pb::AuthUserDeleteRequest { name: name.into() };
    auth("/etcdserverpb.Auth/UserDelete", &request)
}

pub fn change_password(name: &str, password: &str) -> Call {
    let request = pb::AuthUserChangePasswordRequest {
        name: name.into(),
        password: password.into(),
        ..Default::default()
    };
    auth("/etcdserverpb.Auth/UserChangePassword", &request)
}

pub fn grant_role(user: &str, role: &str) -> Call {
    let (user, role) = (user.into(), role.into());
    let request = pb::AuthUserGrantRoleRequest { user, role };
    auth("/etcdserverpb.Auth/UserGrantRole", &request)
}

pub fn revoke_role(user: &str, role: &str) -> Call {
    let (name, role) = (user.into(), role.into());
    let request = pb::AuthUserRevokeRoleRequest { name, role };
    auth("/etcdserverpb.Auth/UserRevokeRole", &request)
}

pub fn role_add(name: &str) -> Call {
    let request = pb::AuthRoleAddRequest { name: name.into() };
    auth("/etcdserverpb.Auth/RoleAdd", &request)
}

pub fn role_get(role: &str) -> Call {
    let request = pb::AuthRoleGetRequest { role: role.into() };
    auth("/etcdserverpb.Auth/RoleGet", &request)
}

pub fn role_list() -> Call {
    auth("/etcdserverpb.Auth/RoleList", &pb::AuthRoleListRequest {})
}

pub fn role_delete(role: &str) -> Call {
    let request = pb::AuthRoleDeleteRequest { role: role.into() };
    auth("/etcdserverpb.Auth/RoleDelete", &request)
}

pub fn permit(role: &str, kind: Type, key: &str, end: &str) -> Call {
    let perm = Permission {
        perm_type: kind as i32,
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
    };
    permit_with(role, Some(perm))
}

pub fn permit_with(role: &str, perm: Option<Permission>) -> Call {
    let name = role.into();
    let request = pb::AuthRoleGrantPermissionRequest { name, perm };
    auth("/etcdserverpb.Auth/RoleGrantPermission", &request)
}

pub fn forbid(role: &str, key: &str, end: &str) -> Call {
    let request = pb::AuthRoleRevokePermissionRequest {
        role: role.into(),
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
    };
    auth("/etcdserverpb.Auth/RoleRevokePermission", &request)
}
