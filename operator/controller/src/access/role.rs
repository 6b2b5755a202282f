//! One pass over one role.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mainstay_client::access::{Access, Permission, Refusal, Rights};
use mainstay_operator_api::MainstayRole;
use mainstay_operator_api::access::{Access as Asked, MainstayRoleStatus, PermissionSpec};
use mainstay_operator_api::storage::Retention;

use super::claim::{Claim, LOOK, Room, Verdict, WAIT, Ward};
use super::decide::{self, RoleStep};
use super::{Error, reason};
use crate::metrics::Object;

impl Claim for MainstayRole {
    const KIND: &'static str = "MainstayRole";
    type Status = MainstayRoleStatus;

    fn cluster(&self) -> &str {
        &self.spec.cluster
    }

    fn claimed(&self) -> &str {
        self.role_name()
    }

    fn retention(&self) -> Retention {
        self.spec.when_deleted
    }

    fn status(&self) -> Option<&MainstayRoleStatus> {
        self.status.as_ref()
    }

    fn conditions(status: &MainstayRoleStatus) -> &[Condition] {
        &status.conditions
    }

    fn stamp(&self, status: &mut MainstayRoleStatus, condition: Condition) {
        status.observed_generation = self.metadata.generation;
        status.name = Some(self.role_name().to_owned());
        status.conditions = vec![condition];
    }

    fn count(status: &mut MainstayRoleStatus) {
        status.drifts = status.drifts.saturating_add(1);
    }

    async fn remove(&self, access: &Access) -> Result<(), Error> {
        match access.delete_role(self.role_name()).await {
            Err(error) if error.refusal() == Some(Refusal::RoleMissing) => Ok(()),
            other => Ok(other?),
        }
    }
}

pub async fn pass(room: &Room<MainstayRole>, named: &Object) -> Result<Option<Duration>, Error> {
    let api = room.context.api::<MainstayRole>(Some(&named.namespace));
    let found = api.get_opt(&named.name).await;
    let Some(role) = found.map_err(Error::api("the role cannot be read"))? else {
        room.seen.lock().remove(named);
        room.show(named, None);
        return Ok(None);
    };
    let ward = Ward {
        room,
        named,
        object: &role,
    };
    if role.metadata.deletion_timestamp.is_some() {
        return ward.depart().await;
    }
    let mut status = role.status.clone().unwrap_or_default();
    if let Some(rival) = ward.rival() {
        let verdict = Verdict::new(
            reason::CONFLICT,
            format!(
                "MainstayRole {rival} is older and has the role {} already",
                role.role_name()
            ),
        );
        ward.tell(status, &verdict).await?;
        return Ok(Some(WAIT));
    }
    ward.finalizer(true).await?;
    let session = match ward.session().await {
        Ok(session) => session,
        Err(unready) => {
            ward.tell(status, &unready.into()).await?;
            return Ok(Some(WAIT));
        }
    };
    let is_seen = ward.was_good() && ward.is_seen(&session);
    let outcome = match is_seen {
        true => Ok(Vec::new()),
        false => put_right(&session.client.access(), &role).await,
    };
    match outcome {
        Ok(steps) => {
            if steps.is_empty() && !is_seen {
                ward.see(&session);
            }
            if !steps.is_empty() && ward.was_good() {
                ward.drifted(&mut status, &told(&steps)).await;
            }
            let good = Verdict::new(reason::AS_ASKED, "the role permits what is asked for");
            ward.tell(status, &good).await?;
            Ok(Some(LOOK))
        }
        Err(error) => {
            ward.tell(status, &error.verdict()).await?;
            Err(error)
        }
    }
}

async fn put_right(access: &Access, role: &MainstayRole) -> Result<Vec<RoleStep>, Error> {
    let name = role.role_name();
    let asked = role.spec.permissions.iter();
    let asked: Vec<Permission> = asked.filter_map(permission).collect();
    let found = access.role(name).await?;
    let steps = decide::role(&asked, found.as_deref());
    for step in &steps {
        match step {
            RoleStep::Add => access.add_role(name).await?,
            RoleStep::Grant(permission) => {
                access.grant_permission(name, permission.clone()).await?;
            }
            RoleStep::Revoke(permission) => access.revoke_permission(name, permission).await?,
        }
    }
    Ok(steps)
}

/// `None` if it names no keys, which a rule of the resource refuses.
fn permission(spec: &PermissionSpec) -> Option<Permission> {
    let all = Permission::new(match spec.access {
        Asked::Read => Rights::Read,
        Asked::Write => Rights::Write,
        Asked::ReadWrite => Rights::ReadWrite,
    });
    Some(match (&spec.key, &spec.prefix, &spec.from, &spec.to) {
        (Some(key), ..) => all.key(key),
        (_, Some(prefix), ..) => all.prefix(prefix),
        (_, _, Some(from), Some(to)) => all.range(from, to),
        _ if spec.all => all,
        _ => return None,
    })
}

fn told(steps: &[RoleStep]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let steps = steps.iter().map(|step| match step {
        RoleStep::Add => "the role was made again".to_owned(),
        RoleStep::Grant(of) => format!("permitted again from {:?} on", text(&of.key)),
        RoleStep::Revoke(of) => format!("no longer permitted from {:?} on", text(&of.key)),
    });
    steps.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn permissions_are_ranges_of_the_store() {
        let of = |spec| permission(&serde_json::from_value(spec).unwrap()).unwrap();
        let read = |rest: serde_json::Value| {
            let mut spec = json!({"access": "Read"});
            spec.as_object_mut()
                .unwrap()
                .extend(rest.as_object().unwrap().clone());
            of(spec)
        };
        assert_eq!(read(json!({"key": "a"})), Permission::read().key("a"));
        assert_eq!(
            read(json!({"prefix": "a/"})),
            Permission::read().prefix("a/")
        );
        assert_eq!(
            read(json!({"from": "a", "to": "c"})),
            Permission::read().range("a", "c")
        );
        assert_eq!(read(json!({"all": true})), Permission::read());
        let write = of(json!({"access": "ReadWrite", "key": "a"}));
        assert_eq!(write, Permission::read_write().key("a"));
        let nothing = serde_json::from_value(json!({"access": "Read"})).unwrap();
        assert_eq!(permission(&nothing), None);
    }
}
