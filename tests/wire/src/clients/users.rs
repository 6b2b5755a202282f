use anyhow::Result;
use mainstay_proto::authpb::{Permission, permission};
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use mainstay_proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserGrantRoleRequest,
};

use crate::tls::client::{channel, config};
use crate::tls::site::Site;

/// The restricted user, and its role of another name.
pub const USER: (&str, &str) = ("app", "app's secret");
const ROLE: &str = "clients";
pub const ROOT: (&str, &str) = ("root", "root's secret");

/// What the programs are told of users.
pub const SETTINGS: [(&str, &str); 4] = [
    ("CLIENT_USER", USER.0),
    ("CLIENT_PASSWORD", USER.1),
    ("CLIENT_ROOT", ROOT.0),
    ("CLIENT_ROOT_PASSWORD", ROOT.1),
];

/// The keys of the programs, and those that the Python libraries give locks and elections.
const RANGES: [(&str, &str); 3] = [
    ("clients/", "clients0"),
    ("/locks/", "/locks0"),
    ("__etcd3aio:", "__etcd3aio;"),
];

/// Makes root and a user that may read and write only the ranges above, then asks for users.
pub async fn set_up(site: &Site) -> Result<()> {
    let port = site.peers.first().map_or(0, |peer| peer.client_port);
    let tls = config(&site.trusted(), None, &[b"h2"])?;
    let mut auth = AuthClient::new(channel(port, tls).await?);
    auth.role_add(AuthRoleAddRequest { name: ROLE.into() })
        .await?;
    for (key, end) in RANGES {
        auth.role_grant_permission(AuthRoleGrantPermissionRequest {
            name: ROLE.into(),
            perm: Some(Permission {
                perm_type: permission::Type::Readwrite.into(),
                key: key.into(),
                range_end: end.into(),
            }),
        })
        .await?;
    }
    for ((name, password), role) in [(ROOT, "root"), (USER, ROLE)] {
        auth.user_add(AuthUserAddRequest {
            name: name.into(),
            password: password.into(),
            ..AuthUserAddRequest::default()
        })
        .await?;
        auth.user_grant_role(AuthUserGrantRoleRequest {
            user: name.into(),
            role: role.into(),
        })
        .await?;
    }
    auth.auth_enable(AuthEnableRequest {}).await?;
    Ok(())
}
