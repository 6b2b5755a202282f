use super::*;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn found(roles: &[&str], opened: Opened) -> UserFound {
    UserFound {
        roles: names(roles),
        opened,
    }
}

#[test]
fn a_role_is_made_with_all_that_it_permits() {
    let orders = Permission::read_write().prefix("orders/");
    let steps = role(std::slice::from_ref(&orders), None);
    assert_eq!(steps, [RoleStep::Add, RoleStep::Grant(orders)]);
    assert_eq!(role(&[], None), [RoleStep::Add]);
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let asked = [Permission::read().key("b"), Permission::write().key("a")];
    let other_order = [asked[1].clone(), asked[0].clone()];
    assert!(role(&asked, Some(&other_order)).is_empty());
    assert!(role(&[], Some(&[])).is_empty());
    let there = found(&["x"], Opened::AsAsked);
    assert!(user(Login::Password, &names(&["x"]), Some(&there)).is_empty());
    assert!(user(Login::Nothing, &names(&["x"]), Some(&there)).is_empty());
}

#[test]
fn other_rights_on_a_range_take_the_place_of_the_former() {
    let asked = [Permission::read().prefix("a/")];
    let wider = [Permission::read_write().prefix("a/")];
    assert_eq!(
        role(&asked, Some(&wider)),
        [RoleStep::Grant(asked[0].clone())]
    );
}

#[test]
fn what_somebody_has_added_is_revoked_after_what_is_missing_is_granted() {
    let asked = [Permission::read().key("a")];
    let there = [Permission::read_write()];
    assert_eq!(
        role(&asked, Some(&there)),
        [
            RoleStep::Grant(asked[0].clone()),
            RoleStep::Revoke(there[0].clone()),
        ]
    );
}

#[test]
fn reads_and_writes_of_one_range_are_both() {
    let asked = [Permission::read().key("a"), Permission::write().key("a")];
    let both = Permission::read_write().key("a");
    assert_eq!(role(&asked, Some(&[])), [RoleStep::Grant(both.clone())]);
    assert!(role(&asked, Some(&[both])).is_empty());
}

#[test]
fn a_user_is_made_for_what_it_logs_in_by() {
    let roles = names(&["b", "a"]);
    let grants = ["a", "b"].map(|role| UserStep::Grant(role.to_owned()));
    let by_password = user(Login::Password, &roles, None);
    assert_eq!(by_password[0], UserStep::Add);
    assert_eq!(by_password[1..], grants);
    let without = user(Login::Nothing, &roles, None);
    assert_eq!(without[0], UserStep::AddWithoutPassword);
    assert_eq!(without[1..], grants);
}

#[test]
fn without_its_password_no_user_is_made_and_none_is_opened_otherwise() {
    assert!(user(Login::Later, &names(&["a"]), None).is_empty());
    let there = found(&["b"], Opened::Otherwise);
    assert_eq!(
        user(Login::Later, &names(&["a"]), Some(&there)),
        [UserStep::Grant("a".into()), UserStep::Revoke("b".into())]
    );
}

#[test]
fn another_password_is_set_and_roles_stay() {
    let there = found(&["a"], Opened::Otherwise);
    let steps = user(Login::Password, &names(&["a"]), Some(&there));
    assert_eq!(steps, [UserStep::SetPassword]);
}

#[test]
fn a_user_of_the_other_kind_is_made_anew_with_all_its_roles() {
    let there = found(&["a", "c"], Opened::ByOtherKind);
    for (login, add) in [
        (Login::Password, UserStep::Add),
        (Login::Nothing, UserStep::AddWithoutPassword),
    ] {
        let steps = user(login, &names(&["a", "b"]), Some(&there));
        let grants = ["a", "b"].map(|role| UserStep::Grant(role.to_owned()));
        assert_eq!(steps[..2], [UserStep::Delete, add]);
        assert_eq!(steps[2..], grants);
    }
}

/// Whatever was found, carrying the steps out leads to what is asked for, and then there are none.
#[test]
fn steps_lead_to_what_is_asked_for() {
    let all = [
        Permission::read().key("a"),
        Permission::write().key("a"),
        Permission::read().prefix("b/"),
        Permission::read_write(),
    ];
    let subset = |bits: usize| -> Vec<Permission> {
        let chosen = all.iter().enumerate();
        let chosen = chosen.filter(|(at, _)| bits & (1 << at) != 0);
        chosen.map(|(_, permission)| permission.clone()).collect()
    };
    for asked in 0..16 {
        for start in 0..16 {
            // The store has each range once.
            let mut there = merged(&subset(start));
            let asked = subset(asked);
            for step in role(&asked, Some(&there.clone())) {
                match step {
                    RoleStep::Add => panic!("the role is there"),
                    RoleStep::Grant(permission) => {
                        there.retain(|held| {
                            (&held.key, &held.end) != (&permission.key, &permission.end)
                        });
                        there.push(permission);
                    }
                    RoleStep::Revoke(permission) => there.retain(|held| *held != permission),
                }
            }
            assert!(role(&asked, Some(&there)).is_empty());
            there.sort();
            let mut wanted = merged(&asked);
            wanted.sort();
            assert_eq!(there, wanted);
        }
    }
}
