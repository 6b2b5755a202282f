//! From what is there and what is asked for to the steps between: functions, without a client or a
//! clock. Done twice they ask for nothing the second time.
//!
//! What is asked for is all there is to be, so whatever was granted beside it is revoked. Grants come
//! before revocations: what is permitted before and after is so in between.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_client::access::{Permission, Rights};

/// One change of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleStep {
    Add,
    Grant(Permission),
    Revoke(Permission),
}

/// `found` is what the role permits; `None` if there is no such role.
pub fn role(asked: &[Permission], found: Option<&[Permission]>) -> Vec<RoleStep> {
    let mut steps = Vec::new();
    if found.is_none() {
        steps.push(RoleStep::Add);
    }
    let wanted = merged(asked);
    let found = found.unwrap_or_default();
    let missing = wanted.iter().filter(|wanted| !found.contains(wanted));
    steps.extend(missing.cloned().map(RoleStep::Grant));
    let on = |one: &Permission, other: &Permission| one.key == other.key && one.end == other.end;
    // A range that has other rights than it is to have was granted anew, which takes their place.
    let beside = found
        .iter()
        .filter(|found| !wanted.iter().any(|wanted| on(wanted, found)));
    steps.extend(beside.cloned().map(RoleStep::Revoke));
    steps
}

/// Each range once: the store has one kind of rights for each, so reads and writes of one range that
/// are asked for apart are both.
fn merged(asked: &[Permission]) -> Vec<Permission> {
    let mut ranges: BTreeMap<_, Rights> = BTreeMap::new();
    for permission in asked {
        let range = (permission.key.clone(), permission.end.clone());
        let rights = ranges.entry(range).or_insert(permission.rights);
        if *rights != permission.rights {
            *rights = Rights::ReadWrite;
        }
    }
    let rows = ranges.into_iter();
    rows.map(|((key, end), rights)| Permission { rights, key, end })
        .collect()
}

/// What a user is to log in by, besides a certificate, for which the store needs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// A password that is at hand.
    Password,
    /// A password that is not there yet: until then whatever opens the user is left as it is, and no
    /// user is made that another could open.
    Later,
    /// No password opens it.
    Nothing,
}

/// What is known of what opens a user that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    AsAsked,
    /// By another password, or it is not known by which.
    Otherwise,
    /// It was made for the other kind of log-in, and a user cannot be changed from one to the other.
    ByOtherKind,
}

/// A user that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFound {
    pub roles: BTreeSet<String>,
    pub opened: Opened,
}

/// One change of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserStep {
    Delete,
    Add,
    AddWithoutPassword,
    SetPassword,
    Grant(String),
    Revoke(String),
}

pub fn user(login: Login, roles: &BTreeSet<String>, found: Option<&UserFound>) -> Vec<UserStep> {
    let mut steps = Vec::new();
    let add = match login {
        Login::Password => UserStep::Add,
        Login::Nothing => UserStep::AddWithoutPassword,
        Login::Later if found.is_none() => return steps,
        Login::Later => {
            change_roles(&mut steps, roles, found);
            return steps;
        }
    };
    match found.map(|found| found.opened) {
        None => steps.push(add),
        Some(Opened::ByOtherKind) => {
            // Its roles go with it.
            steps.extend([UserStep::Delete, add]);
            change_roles(&mut steps, roles, None);
            return steps;
        }
        Some(Opened::Otherwise) => steps.push(UserStep::SetPassword),
        Some(Opened::AsAsked) => {}
    }
    change_roles(&mut steps, roles, found);
    steps
}

fn change_roles(steps: &mut Vec<UserStep>, roles: &BTreeSet<String>, found: Option<&UserFound>) {
    let none = BTreeSet::new();
    let held = found.map_or(&none, |found| &found.roles);
    steps.extend(roles.difference(held).cloned().map(UserStep::Grant));
    steps.extend(held.difference(roles).cloned().map(UserStep::Revoke));
}

#[cfg(test)]
mod tests;
