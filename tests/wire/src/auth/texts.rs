use anyhow::{Result, ensure};
use mainstay_proto::authpb::{Permission, permission::Type};
use mainstay_proto::etcdserverpb as pb;
use prost::Message;

use super::rpc::{self, Call, authenticate};
use super::stage::{self, Stage};
use crate::cluster::Cluster;
use crate::options::Options;

/// A step of the script: who asks, for what.
enum Who {
    Nobody,
    Root,
}

/// Every text that etcd refuses a change of users or roles with. Each must come up.
const TEXTS: &[&str] = &[
    "etcdserver: root user does not exist",
    "etcdserver: root user does not have root role",
    "etcdserver: user name already exists",
    "etcdserver: user name is empty",
    "etcdserver: user name not found",
    "etcdserver: role name already exists",
    "etcdserver: role name not found",
    "etcdserver: role name is empty",
    "etcdserver: authentication failed, invalid user ID or password",
    "etcdserver: permission denied",
    "etcdserver: role is not granted to the user",
    "etcdserver: permission is not granted to the role",
    "etcdserver: permission not given",
    "etcdserver: authentication is not enabled",
    "etcdserver: invalid auth token",
    "etcdserver: invalid auth management",
    "auth: authentication failed, password was given for no password user",
    "bcrypt: password length exceeds 72 bytes",
];

/// The same script on both sides: texts, codes, answers and the revision after each step.
pub async fn run(options: &Options) -> Result<()> {
    let mut sides = Vec::new();
    for etcd in [true, false] {
        let cluster = Cluster::start(&stage::plan(options, etcd, &[])).await?;
        let channel = stage::connect(&cluster, 0).await?;
        sides.push(Stage {
            cluster,
            channel,
            root: String::new(),
        });
    }
    let mut seen = Vec::new();
    for (at, (who, step)) in script().into_iter().enumerate() {
        let mut found = Vec::new();
        for side in &mut sides {
            let token = matches!(who, Who::Root).then(|| side.root.clone());
            let answer = side.call(token.as_deref(), &step).await?;
            if step.path.ends_with("/Authenticate") && answer.body.len() > 1 {
                side.root = pb::AuthenticateResponse::decode(answer.body.clone())?.token;
            }
            let status = side.call(None, &stage::status()).await?;
            let status = pb::AuthStatusResponse::decode(status.body)?;
            let body = told(step.path, answer.body)?;
            found.push((answer.ended, body, status.enabled, status.auth_revision));
        }
        ensure!(
            found[0] == found[1],
            "step {at} {}: etcd {:?}, not {:?}",
            step.path,
            found[0],
            found[1]
        );
        seen.push(found[1].0.text().to_owned());
    }
    for text in TEXTS {
        ensure!(seen.iter().any(|seen| seen == text), "{text} never came up");
    }
    Ok(())
}

/// What an answer tells beside its header and a token.
pub fn told(path: &str, body: bytes::Bytes) -> Result<String> {
    Ok(match path.rsplit('/').next().unwrap_or_default() {
        "UserGet" => format!("{:?}", pb::AuthUserGetResponse::decode(body)?.roles),
        "UserList" => format!("{:?}", pb::AuthUserListResponse::decode(body)?.users),
        "RoleGet" => format!("{:?}", pb::AuthRoleGetResponse::decode(body)?.perm),
        "RoleList" => format!("{:?}", pb::AuthRoleListResponse::decode(body)?.roles),
        _ => String::new(),
    })
}

fn script() -> Vec<(Who, Call)> {
    let mut script = before();
    script.extend(passwords());
    script.extend(while_enabled());
    script
}

fn before() -> Vec<(Who, Call)> {
    let (read, both) = (Type::Read, Type::Readwrite);
    let odd = Permission {
        perm_type: 77,
        key: "odd".into(),
        range_end: Default::default(),
    };
    let steps = vec![
        stage::disable(),
        authenticate("root", "x"),
        stage::enable(),
        stage::user_add("", "x"),
        stage::user_add("root", "pw"),
        stage::user_add("root", "pw"),
        stage::enable(),
        stage::grant_role("root", "root"),
        stage::grant_role("root", "root"),
        stage::grant_role("nobody", "root"),
        stage::grant_role("root", "nothing"),
        stage::role_get("root"),
        stage::role_add(""),
        stage::role_add("r"),
        stage::role_add("r"),
        stage::role_get("missing"),
        stage::role_delete("missing"),
        stage::permit("missing", read, "k", ""),
        stage::permit("r", read, "", "\0"),
        stage::permit("r", read, "b", "a"),
        stage::permit("r", read, "b", "b"),
        stage::permit_with("r", None),
        stage::permit("r", read, "b", "d"),
        stage::permit("r", both, "b", "d"),
        stage::permit("r", read, "b", "\0"),
        stage::permit("r", read, "a", ""),
        stage::permit_with("r", Some(odd)),
        stage::role_get("r"),
        stage::forbid("r", "b", "c"),
        stage::forbid("r", "b", "d"),
        stage::forbid("missing", "b", "d"),
        stage::role_get("r"),
        stage::revoke_role("root", "r"),
        stage::revoke_role("nobody", "r"),
        stage::user_get("nobody"),
        stage::user_delete("nobody"),
        stage::change_password("nobody", "x"),
        stage::user_list(),
        stage::role_list(),
    ];
    steps.into_iter().map(|step| (Who::Nobody, step)).collect()
}

fn passwords() -> Vec<(Who, Call)> {
    let longest = "x".repeat(72);
    let longer = "x".repeat(73);
    let steps = vec![
        stage::user_add("long", &longer),
        stage::user_add("long", &longest),
        stage::change_password("long", &longer),
        stage::user_add("empty", ""),
        stage::user_add_with("certificate", "given", Some(true)),
        stage::user_add_with("plain", "given", Some(false)),
        stage::change_password("certificate", "given"),
        stage::enable(),
        stage::enable(),
        rpc::range("k", ""),
        authenticate("root", "wrong"),
        authenticate("nobody", "pw"),
        authenticate("", ""),
        authenticate("root", ""),
        authenticate("root", &"y".repeat(600)),
        authenticate("certificate", "given"),
        authenticate("certificate", ""),
        authenticate("empty", "x"),
        authenticate("long", &longest),
        authenticate("empty", ""),
        rpc::range("k", ""),
        authenticate("plain", "given"),
        authenticate("root", "pw"),
    ];
    steps.into_iter().map(|step| (Who::Nobody, step)).collect()
}

fn while_enabled() -> Vec<(Who, Call)> {
    let mut steps: Vec<(Who, Call)> = vec![
        stage::user_delete("root"),
        stage::revoke_role("root", "root"),
        stage::role_delete("root"),
        stage::role_add("root"),
        stage::role_get("root"),
        stage::role_delete("root"),
        stage::grant_role("plain", "r"),
        stage::user_get("plain"),
        stage::role_delete("r"),
        stage::user_get("plain"),
        stage::change_password("empty", ""),
        stage::grant_role("plain", "root"),
        stage::user_delete("plain"),
        stage::enable(),
        stage::user_list(),
    ]
    .into_iter()
    .map(|step| (Who::Root, step))
    .collect();
    // Nobody logs in by an empty password that a change has left.
    steps.push((Who::Nobody, authenticate("empty", "")));
    steps.push((Who::Root, rpc::put("k")));
    steps.push((Who::Nobody, authenticate("empty", "x")));
    steps.push((Who::Nobody, authenticate("long", &"x".repeat(72))));
    // Now as a user without a role.
    steps.push((Who::Root, rpc::put("k")));
    steps.push((Who::Root, stage::user_list()));
    steps.push((Who::Nobody, authenticate("root", "pw")));
    steps.push((Who::Root, stage::change_password("root", "other")));
    // Which ends the token.
    steps.push((Who::Root, stage::user_list()));
    steps.push((Who::Nobody, authenticate("root", "pw")));
    steps.push((Who::Nobody, authenticate("root", "other")));
    steps.push((Who::Root, stage::disable()));
    steps.push((Who::Nobody, authenticate("root", "other")));
    steps.push((Who::Nobody, stage::enable()));
    // A token does not outlive a time without authentication.
    steps.push((Who::Root, stage::user_list()));
    steps
}
