//! The table of rights: one row for every RPC of every service, and nothing is dispatched that has
//! none.
//!
//! A row also says what the rest of the crate needs to know of a method before looking into its
//! request: its shape, and whether a learner serves it. What is asked of the caller once
//! authentication is on the column of rights says: `Token` and `Root` are seen to before the handler
//! is reached, and again at apply where an entry is made; for the others the handler asks, as it
//! takes the request to know.

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Unary,
    ServerStream,
    Bidi,
}

impl Shape {
    /// The value of the `grpc_type` label.
    pub fn label(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::Bidi => "bidi_stream",
        }
    }
}

/// What a caller needs once authentication is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// No credentials at all.
    Nobody,
    /// Any valid token.
    Token,
    /// Read or write on every key range the request names, nested ones included.
    Keys,
    /// Rights on the keys attached to the lease it names.
    LeaseKeys,
    /// The role root.
    Root,
    /// The role root, or the very user or role asked about.
    RootOrOwn,
}

/// What a learner does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    Serves,
    /// Only with `serializable`.
    Serializable,
    Refuses,
}

/// One RPC.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub method: Method,
    /// Full name, `package.Service`.
    pub service: &'static str,
    pub name: &'static str,
    pub shape: Shape,
    pub right: Right,
    pub learner: Learner,
}

macro_rules! rows {
    ($($service:literal { $($method:ident $name:literal $shape:ident $right:ident $learner:ident;)*
    })*) => {
        /// Every RPC the server knows by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method { $($($method,)*)* }

        /// The table, in the order of [`Method`].
        pub const ROWS: &[Row] = &[$($(Row {
            method: Method::$method,
            service: $service,
            name: $name,
            shape: Shape::$shape,
            right: Right::$right,
            learner: Learner::$learner,
        },)*)*];

        /// Finds a method by the path of its HTTP/2 request.
        pub fn find(path: &str) -> Option<&'static Row> {
            let method = match path {
                $($(concat!("/", $service, "/", $name) => Method::$method,)*)*
                _ => return None,
            };
            ROWS.get(method as usize)
        }
    };
}

rows! {
    "etcdserverpb.KV" {
        Range "Range" Unary Keys Serializable;
        RangeStream "RangeStream" ServerStream Keys Refuses;
        Put "Put" Unary Keys Refuses;
        DeleteRange "DeleteRange" Unary Keys Refuses;
        Txn "Txn" Unary Keys Refuses;
        Compact "Compact" Unary Root Refuses;
    }
    "etcdserverpb.Watch" {
        Watch "Watch" Bidi Keys Refuses;
    }
    "etcdserverpb.Lease" {
        LeaseGrant "LeaseGrant" Unary Token Refuses;
        LeaseRevoke "LeaseRevoke" Unary LeaseKeys Refuses;
        LeaseKeepAlive "LeaseKeepAlive" Bidi LeaseKeys Refuses;
        LeaseTimeToLive "LeaseTimeToLive" Unary LeaseKeys Refuses;
        LeaseLeases "LeaseLeases" Unary LeaseKeys Refuses;
    }
    "etcdserverpb.Cluster" {
        MemberAdd "MemberAdd" Unary Root Refuses;
        MemberRemove "MemberRemove" Unary Root Refuses;
        MemberUpdate "MemberUpdate" Unary Root Refuses;
        MemberList "MemberList" Unary Token Refuses;
        MemberPromote "MemberPromote" Unary Root Refuses;
    }
    "etcdserverpb.Maintenance" {
        Alarm "Alarm" Unary Token Refuses;
        Status "Status" Unary Token Serves;
        Defragment "Defragment" Unary Root Refuses;
        Hash "Hash" Unary Root Refuses;
        HashKv "HashKV" Unary Root Refuses;
        Snapshot "Snapshot" ServerStream Root Serves;
        MoveLeader "MoveLeader" Unary Root Refuses;
        Downgrade "Downgrade" Unary Root Refuses;
    }
    "etcdserverpb.Auth" {
        AuthEnable "AuthEnable" Unary Root Refuses;
        AuthDisable "AuthDisable" Unary Root Refuses;
        AuthStatus "AuthStatus" Unary Nobody Refuses;
        Authenticate "Authenticate" Unary Nobody Refuses;
        UserAdd "UserAdd" Unary Root Refuses;
        UserGet "UserGet" Unary RootOrOwn Refuses;
        UserList "UserList" Unary Root Refuses;
        UserDelete "UserDelete" Unary Root Refuses;
        UserChangePassword "UserChangePassword" Unary Root Refuses;
        UserGrantRole "UserGrantRole" Unary Root Refuses;
        UserRevokeRole "UserRevokeRole" Unary Root Refuses;
        RoleAdd "RoleAdd" Unary Root Refuses;
        RoleGet "RoleGet" Unary RootOrOwn Refuses;
        RoleList "RoleList" Unary Root Refuses;
        RoleDelete "RoleDelete" Unary Root Refuses;
        RoleGrantPermission "RoleGrantPermission" Unary Root Refuses;
        RoleRevokePermission "RoleRevokePermission" Unary Root Refuses;
    }
    "v3lockpb.Lock" {
        Lock "Lock" Unary Keys Refuses;
        Unlock "Unlock" Unary Keys Refuses;
    }
    "v3electionpb.Election" {
        Campaign "Campaign" Unary Keys Refuses;
        Proclaim "Proclaim" Unary Keys Refuses;
        Leader "Leader" Unary Keys Refuses;
        Observe "Observe" ServerStream Keys Refuses;
        Resign "Resign" Unary Keys Refuses;
    }
    "grpc.health.v1.Health" {
        HealthCheck "Check" Unary Nobody Serves;
        HealthWatch "Watch" ServerStream Nobody Serves;
    }
    "grpc.reflection.v1.ServerReflection" {
        Reflection "ServerReflectionInfo" Bidi Nobody Serves;
    }
    "grpc.reflection.v1alpha.ServerReflection" {
        ReflectionAlpha "ServerReflectionInfo" Bidi Nobody Serves;
    }
}

/// The text for a path that names nothing here, as grpc-go words it.
pub fn unknown(path: &str) -> String {
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let Some((service, name)) = trimmed.rsplit_once('/') else {
        return format!("malformed method name: {path:?}");
    };
    if ROWS.iter().any(|row| row.service == service) {
        format!("unknown method {name} for service {service}")
    } else {
        format!("unknown service {service}")
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_rpc_of_the_contract_has_a_row() {
        let files = FileDescriptorSet::decode(mainstay_proto::FILE_DESCRIPTORS).unwrap();
        let mut seen = 0;
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let row = find(&path).unwrap_or_else(|| panic!("{path} has no row"));
                    let shape = match (method.client_streaming(), method.server_streaming()) {
                        (false, false) => Shape::Unary,
                        (false, true) => Shape::ServerStream,
                        _ => Shape::Bidi,
                    };
                    assert_eq!(row.shape, shape, "{path}");
                    seen += 1;
                }
            }
        }
        let ours = ROWS
            .iter()
            .filter(|row| !row.service.starts_with("grpc."))
            .count();
        assert_eq!(seen, ours);
    }

    #[test]
    fn rows_stand_in_the_order_of_methods() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.method as usize, at);
            let path = format!("/{}/{}", row.service, row.name);
            assert_eq!(find(&path).map(|found| found.method), Some(row.method));
        }
    }

    #[test]
    fn only_two_methods_need_no_credentials_besides_health_and_reflection() {
        let open: Vec<_> = ROWS
            .iter()
            .filter(|row| row.right == Right::Nobody && !row.service.starts_with("grpc."))
            .map(|row| row.name)
            .collect();
        assert_eq!(open, ["AuthStatus", "Authenticate"]);
    }

    #[test]
    fn unknown_names_are_worded_as_grpc_go_words_them() {
        assert_eq!(
            unknown("/etcdserverpb.KV/Rename"),
            "unknown method Rename for service etcdserverpb.KV"
        );
        assert_eq!(
            unknown("/v2lockpb.Lock/Lock"),
            "unknown service v2lockpb.Lock"
        );
        assert_eq!(unknown("/nothing"), "malformed method name: \"/nothing\"");
    }
}
