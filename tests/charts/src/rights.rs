//! What the operator may do: the chart's Roles are the tables of `operator/RBAC.md`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::places;

use crate::helm::{Helm, NAMESPACE};
use crate::manifest;

/// Group, resource and verb.
pub type Right = (String, String, String);
type Rights = BTreeSet<Right>;

/// The page's tables: with its clusters, with cert-manager, and cluster-wide.
#[derive(Debug)]
pub struct Page {
    pub own: Rights,
    pub cert_manager: Rights,
    pub clusterwide: Rights,
}

/// A row of the page.
struct Row {
    group: String,
    resource: String,
    verbs: Vec<String>,
}

/// The rows of each table.
fn tables() -> Result<[Vec<Row>; 3]> {
    let text = std::fs::read_to_string(places::checkout()?.join("operator/RBAC.md"))?;
    let mut tables: Vec<Vec<Row>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("| group ") {
            tables.push(Vec::new());
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (Some(table), [_, group, resource, verbs, ..]) = (tables.last_mut(), cells.as_slice())
        else {
            continue;
        };
        let quoted = resource.strip_prefix('`');
        let Some(resource) = quoted.and_then(|rest| rest.strip_suffix('`')) else {
            continue;
        };
        let group = if *group == "(core)" {
            ""
        } else {
            group.trim_matches('`')
        };
        table.push(Row {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verbs: verbs
                .split(',')
                .map(|verb| verb.trim().to_owned())
                .collect(),
        });
    }
    tables.try_into().map_err(|found: Vec<_>| {
        anyhow::anyhow!("operator/RBAC.md has {} tables and not three", found.len())
    })
}

/// Reads the page. Which table is which follows from their order.
pub fn page() -> Result<Page> {
    let [own, cert_manager, clusterwide] = tables()?.map(|rows| {
        let each = |row: Row| {
            let right = move |verb| (row.group.clone(), row.resource.clone(), verb);
            row.verbs.into_iter().map(right)
        };
        rows.into_iter().flat_map(each).collect::<Rights>()
    });
    Ok(Page {
        own,
        cert_manager,
        clusterwide,
    })
}

/// The page as templates of the chart.
pub fn templates() -> Result<String> {
    let [own, cert_manager, clusterwide] = tables()?;
    let mut text = String::from(
        "{{- /* Written by `cargo xtask charts render` from operator/RBAC.md, which says what for. */ -}}\n",
    );
    let rule = |row: &Row| {
        let verbs = row.verbs.join(", ");
        let group = if row.group.is_empty() {
            "\"\""
        } else {
            &row.group
        };
        format!(
            "- apiGroups: [{group}]\n  resources: [{}]\n  verbs: [{verbs}]\n",
            row.resource
        )
    };
    text.push_str("\n{{- define \"operator.rules\" -}}\n");
    // The Lease has a Role of its own, limited to its name.
    let own = own.iter().filter(|row| row.resource != "leases");
    text.extend(own.map(rule));
    text.push_str("{{- if .Values.certManager.enabled }}\n");
    text.extend(cert_manager.iter().map(rule));
    text.push_str("{{- end }}\n{{- end -}}\n\n{{- define \"operator.clusterWideReads\" -}}\n");
    text.extend(clusterwide.iter().map(rule));
    text.push_str("{{- end -}}\n");
    Ok(text)
}

/// Roles and ClusterRoles hold the page's rows and nothing else, in both modes.
pub fn check(helm: &Helm) -> Result<()> {
    let page = page()?;
    let (lease, own): (Rights, Rights) = page
        .own
        .into_iter()
        .partition(|(_, resource, _)| resource == "leases");
    let all = |more: &Rights| own.union(more).cloned().collect::<Rights>();
    let name = "mainstay-operator";
    let plain = helm.template(&[])?;
    equal(&plain, "ClusterRole", name, None, &own)?;
    equal(
        &plain,
        "Role",
        &format!("{name}-lease"),
        Some(NAMESPACE),
        &lease,
    )?;
    equal(
        &plain,
        "ClusterRole",
        &format!("{name}-reads"),
        None,
        &page.clusterwide,
    )?;
    let issuing = helm.template(&["certManager.enabled=true"])?;
    equal(
        &issuing,
        "ClusterRole",
        name,
        None,
        &all(&page.cert_manager),
    )?;
    let named = helm.template(&[
        "watchNamespaces={team-a,team-b}",
        "rbac.clusterWideReads=false",
    ])?;
    for namespace in ["team-a", "team-b"] {
        equal(&named, "Role", name, Some(namespace), &own)?;
    }
    let clusterwide = named.iter().filter(|object| {
        manifest::kind(object) == "ClusterRoleBinding"
            || (manifest::kind(object) == "ClusterRole" && manifest::name(object) == name)
    });
    if clusterwide.count() != 0 {
        bail!("with namespaces named, something is still granted in all of them");
    }
    bound(&plain)?;
    bound(&named)
}

fn equal(
    objects: &[Value],
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    wanted: &Rights,
) -> Result<()> {
    let role = objects.iter().find(|object| {
        manifest::kind(object) == kind
            && manifest::name(object) == name
            && manifest::namespace(object) == namespace
    });
    let role = role.with_context(|| format!("no {kind} {name} in {namespace:?}"))?;
    let granted = rights(role)?;
    let more: Vec<_> = granted.difference(wanted).collect();
    let less: Vec<_> = wanted.difference(&granted).collect();
    if !more.is_empty() || !less.is_empty() {
        bail!(
            "{kind} {name} and operator/RBAC.md differ: the chart alone has {more:?}, the page alone {less:?}"
        );
    }
    Ok(())
}

fn rights(role: &Value) -> Result<Rights> {
    let mut found = Rights::new();
    for rule in role["rules"].as_array().context("a role without rules")? {
        for group in manifest::texts(&rule["apiGroups"]) {
            for resource in manifest::texts(&rule["resources"]) {
                for verb in manifest::texts(&rule["verbs"]) {
                    if [&group, &resource, &verb]
                        .iter()
                        .any(|word| word.contains('*'))
                    {
                        bail!("a wildcard in {rule}");
                    }
                    found.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    Ok(found)
}

/// Every binding names a role that is rendered too, and the operator's account.
fn bound(objects: &[Value]) -> Result<()> {
    let account = manifest::name(manifest::the(objects, "ServiceAccount")?);
    let bindings = objects
        .iter()
        .filter(|object| manifest::kind(object).ends_with("RoleBinding"));
    for binding in bindings {
        let role = &binding["roleRef"];
        let found = objects.iter().any(|object| {
            role["kind"] == manifest::kind(object)
                && role["name"] == manifest::name(object)
                && manifest::namespace(object) == manifest::namespace(binding)
        });
        let subject = &binding["subjects"][0];
        if !found || subject["name"] != account || subject["namespace"] != NAMESPACE {
            bail!("{} binds what is not there", manifest::name(binding));
        }
    }
    Ok(())
}
