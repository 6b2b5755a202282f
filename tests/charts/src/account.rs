//! What the operator's account may do, by the word of a real API server.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::helm::{Helm, NAMESPACE};
use crate::install::restricted;
use crate::kubernetes::Kubernetes;
use crate::rights::{self, Right};
use crate::samples::{self, PLACE};

const TEAMS: &[&str] = &["team-a", "team-b"];

/// What the operator must not be able to do: namespace, group, resource, name and verb.
const DENIED: &[(&str, &str, &str, &str, &str)] = &[
    (PLACE, "", "secrets", "", "delete"),
    (PLACE, "", "pods", "", "create"),
    (PLACE, "", "pods/exec", "", "create"),
    (PLACE, "", "serviceaccounts", "", "impersonate"),
    (PLACE, "", "serviceaccounts/token", "", "create"),
    (PLACE, "", "nodes", "", "list"),
    (PLACE, "", "nodes", "", "delete"),
    (PLACE, "", "persistentvolumes", "", "list"),
    (PLACE, "", "configmaps", "", "delete"),
    (PLACE, "rbac.authorization.k8s.io", "roles", "", "create"),
    (
        PLACE,
        "rbac.authorization.k8s.io",
        "clusterroles",
        "",
        "bind",
    ),
    (PLACE, "mainstay.dev", "mainstayclusters", "", "delete"),
    (PLACE, "mainstay.dev", "mainstayclusters", "", "create"),
    (PLACE, "cert-manager.io", "certificates", "", "create"),
    (PLACE, "coordination.k8s.io", "leases", RELEASED, "get"),
    (PLACE, "coordination.k8s.io", "leases", "", "create"),
    (NAMESPACE, "coordination.k8s.io", "leases", "other", "get"),
    (
        NAMESPACE,
        "coordination.k8s.io",
        "leases",
        RELEASED,
        "delete",
    ),
];
const RELEASED: &str = "mainstay-operator";

/// Whether an account may do something.
struct Question {
    namespace: String,
    right: Right,
    /// Of the one object that is asked about, or empty for all.
    name: String,
    wanted: bool,
}

impl Question {
    fn review(&self, account: &str) -> Value {
        let (group, resource, verb) = &self.right;
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{account}"),
                "resourceAttributes": {
                    "namespace": self.namespace,
                    "group": group,
                    "resource": resource,
                    "subresource": part,
                    "verb": verb,
                    "name": self.name,
                },
            },
        })
    }
}

/// Asks all of it at once; an error names the first answer that is not the one wanted.
fn ask(server: &Kubernetes, account: &str, questions: &[Question]) -> Result<()> {
    let reviews = questions.iter().map(|question| question.review(account));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews.collect::<Vec<_>>()});
    let answer = server.ask(&["create", "-f", "-", "-o", "json"], &list.to_string())?;
    if !answer.succeeded {
        bail!("{}", answer.complaint);
    }
    // kubectl prints one after the other.
    let answers = serde_json::Deserializer::from_str(&answer.output).into_iter::<Value>();
    let answers = answers.collect::<Result<Vec<_>, _>>()?;
    if answers.len() != questions.len() {
        bail!("{} answers to {} questions", answers.len(), questions.len());
    }
    for (question, answer) in questions.iter().zip(&answers) {
        let allowed = answer["status"]["allowed"].as_bool().context("no answer")?;
        if allowed != question.wanted {
            let word = if question.wanted { "may not" } else { "may" };
            bail!(
                "{account} {word} do {:?} {} in {}",
                question.right,
                question.name,
                question.namespace
            );
        }
    }
    Ok(())
}

/// A row of the page, where it holds or does not.
fn row(right: &Right, namespace: &str, wanted: bool) -> Question {
    Question {
        namespace: namespace.to_owned(),
        right: right.clone(),
        name: String::new(),
        wanted,
    }
}

/// Rows that are about the Lease: it lies with the operator, under the release's name.
fn lease(right: &Right, namespace: &str, name: &str) -> Question {
    let name = if right.2 == "create" { "" } else { name };
    Question {
        name: name.to_owned(),
        ..row(right, namespace, true)
    }
}

/// The account may do what the page lists, in any namespace, and nothing that would make it more.
pub fn everywhere(server: &Kubernetes) -> Result<()> {
    samples::place(server)?;
    let page = rights::page()?;
    let mut questions = Vec::new();
    for right in page.own.iter().chain(&page.clusterwide) {
        questions.push(if right.1 == "leases" {
            lease(right, NAMESPACE, RELEASED)
        } else {
            row(right, PLACE, true)
        });
    }
    for (namespace, group, resource, name, verb) in DENIED {
        let right = (
            (*group).to_owned(),
            (*resource).to_owned(),
            (*verb).to_owned(),
        );
        questions.push(Question {
            name: (*name).to_owned(),
            ..row(&right, namespace, false)
        });
    }
    ask(server, "mainstay-system:mainstay-operator", &questions)?;
    // Controllers, which do not run here, merge such roles into those that people are given.
    let role = server.run(&["get", "clusterrole", "mainstay-operator-edit", "-o", "json"])?;
    let role: Value = serde_json::from_str(&role)?;
    let label = "rbac.authorization.k8s.io/aggregate-to-edit";
    if role["metadata"]["labels"][label] != "true" {
        bail!("editors of a namespace may not make clusters in it");
    }
    Ok(())
}

/// With namespaces named the account may work in them and nowhere else.
pub fn in_named_namespaces(helm: &Helm, server: &Kubernetes) -> Result<()> {
    for name in ["narrow", "team-a", "team-b"] {
        restricted(server, name)?;
    }
    let chart = helm.chart.display().to_string();
    let values = [
        "watchNamespaces={team-a,team-b}",
        "crds.install=false",
        "rbac.clusterWideReads=false",
        "rbac.aggregate=false",
    ];
    let mut words = vec!["install", "narrow", &chart, "--namespace", "narrow"];
    let sets = crate::helm::sets(&values);
    words.extend(sets.iter().map(String::as_str));
    let notes = server.helm(helm, &words)?;
    if !notes.contains("namespaces team-a, team-b") || !notes.contains("crds.install=false") {
        bail!("the notes do not say what is special: {notes}");
    }
    let page = rights::page()?;
    let mut questions = Vec::new();
    for right in &page.own {
        if right.1 == "leases" {
            questions.push(lease(right, "narrow", "narrow-mainstay-operator"));
            continue;
        }
        questions.extend(TEAMS.iter().map(|team| row(right, team, true)));
        questions.push(row(right, PLACE, false));
        questions.push(row(right, "narrow", false));
    }
    questions.extend(page.clusterwide.iter().map(|right| row(right, "", false)));
    ask(server, "narrow:narrow-mainstay-operator", &questions)?;
    server
        .helm(helm, &["uninstall", "narrow", "--namespace", "narrow"])
        .map(drop)
}
