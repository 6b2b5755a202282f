//! Which path under `/v3/` calls which RPC. Paths are etcd's; `RangeStream` has none there either.

use crate::rights::{Method, ROWS, Row};

/// Finds the RPC of a path, given without `/v3/`.
pub fn find(path: &str) -> Option<&'static Row> {
    let (_, method) = ROUTES.iter().find(|(route, _)| *route == path)?;
    ROWS.get(*method as usize)
}

#[rustfmt::skip]
const ROUTES: &[(&str, Method)] = &[
    ("kv/range", Method::Range),
    ("kv/put", Method::Put),
    ("kv/deleterange", Method::DeleteRange),
    ("kv/txn", Method::Txn),
    ("kv/compaction", Method::Compact),
    // Older clients look for these three below `kv`.
    ("kv/lease/revoke", Method::LeaseRevoke),
    ("kv/lease/timetolive", Method::LeaseTimeToLive),
    ("kv/lease/leases", Method::LeaseLeases),
    ("watch", Method::Watch),
    ("lease/grant", Method::LeaseGrant),
    ("lease/revoke", Method::LeaseRevoke),
    ("lease/keepalive", Method::LeaseKeepAlive),
    ("lease/timetolive", Method::LeaseTimeToLive),
    ("lease/leases", Method::LeaseLeases),
    ("cluster/member/add", Method::MemberAdd),
    ("cluster/member/remove", Method::MemberRemove),
    ("cluster/member/update", Method::MemberUpdate),
    ("cluster/member/list", Method::MemberList),
    ("cluster/member/promote", Method::MemberPromote),
    ("maintenance/alarm", Method::Alarm),
    ("maintenance/status", Method::Status),
    ("maintenance/defragment", Method::Defragment),
    ("maintenance/hash", Method::Hash),
    ("maintenance/hashkv", Method::HashKv),
    ("maintenance/snapshot", Method::Snapshot),
    ("maintenance/transfer-leadership", Method::MoveLeader),
    ("maintenance/downgrade", Method::Downgrade),
    ("auth/enable", Method::AuthEnable),
    ("auth/disable", Method::AuthDisable),
    ("auth/status", Method::AuthStatus),
    ("auth/authenticate", Method::Authenticate),
    ("auth/user/add", Method::UserAdd),
    ("auth/user/get", Method::UserGet),
    ("auth/user/list", Method::UserList),
    ("auth/user/delete", Method::UserDelete),
    ("auth/user/changepw", Method::UserChangePassword),
    ("auth/user/grant", Method::UserGrantRole),
    ("auth/user/revoke", Method::UserRevokeRole),
    ("auth/role/add", Method::RoleAdd),
    ("auth/role/get", Method::RoleGet),
    ("auth/role/list", Method::RoleList),
    ("auth/role/delete", Method::RoleDelete),
    ("auth/role/grant", Method::RoleGrantPermission),
    ("auth/role/revoke", Method::RoleRevokePermission),
    ("lock/lock", Method::Lock),
    ("lock/unlock", Method::Unlock),
    ("election/campaign", Method::Campaign),
    ("election/proclaim", Method::Proclaim),
    ("election/leader", Method::Leader),
    ("election/observe", Method::Observe),
    ("election/resign", Method::Resign),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::json::Shapes;

    #[test]
    fn every_rpc_of_the_contract_but_one_has_a_path() {
        let of_contract = ROWS.iter().filter(|row| !row.service.starts_with("grpc."));
        for row in of_contract {
            let has_path = ROUTES.iter().any(|(_, method)| *method == row.method);
            assert_eq!(has_path, row.method != Method::RangeStream, "{}", row.name);
        }
    }

    #[test]
    fn every_path_has_messages() {
        for (path, method) in ROUTES {
            let row = find(path).unwrap();
            assert_eq!(row.method, *method, "{path}");
            assert!(Shapes::of(row).is_some(), "{path}");
        }
        assert!(find("kv/range/").is_none());
    }
}
