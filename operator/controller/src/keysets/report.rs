//! What is told of a set: its condition, and what has become of its keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mainstay_client::Error as StoreError;
use mainstay_client::access::Refusal;
use mainstay_operator_api::MainstayKeySet;
use mainstay_operator_api::keyset::{KeySetReason, MainstayKeySetStatus};

use super::compare::Difference;
use super::wanted::Wanted;
use crate::passes::condition;

/// How many names a message holds.
const NAMED: usize = 5;
/// How much of a key it holds.
const CHARACTERS: usize = 128;

/// The condition `Ready` before it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub ready: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    pub fn not(reason: KeySetReason, message: impl Into<String>) -> Verdict {
        Verdict {
            ready: false,
            reason: reason.text(),
            message: message.into(),
        }
    }

    /// Of what the store said.
    pub fn of_error(error: &StoreError, set: &MainstayKeySet) -> Verdict {
        let reason = reason(error);
        let message = match (reason, &set.spec.user) {
            (KeySetReason::PermissionDenied, Some(user)) => format!(
                "{error}: MainstayUser {user} needs a role with ReadWrite on the prefix {}",
                set.spec.prefix
            ),
            _ => error.to_string(),
        };
        Verdict::not(reason, message)
    }

    /// Of changes that the store refuses, while others are carried out; `None` if there are none.
    /// What is not permitted is told before the rest.
    pub fn of_refused(
        refused: &BTreeMap<Bytes, StoreError>,
        set: &MainstayKeySet,
    ) -> Option<Verdict> {
        let is_first = |error: &StoreError| reason(error) != KeySetReason::PermissionDenied;
        let first = refused.values().min_by_key(|error| is_first(error))?;
        let mut verdict = Verdict::of_error(first, set);
        let alike = |error: &StoreError| reason(error) == reason(first);
        let (told, others): (Vec<_>, Vec<_>) = refused.iter().partition(|(_, error)| alike(error));
        let keys: Vec<String> = told.iter().map(|(key, _)| shown(key)).collect();
        verdict.message = format!("{}: {}", some(&keys), verdict.message);
        if !others.is_empty() {
            let more = format!(
                "; {} more keys were refused for other reasons",
                others.len()
            );
            verdict.message.push_str(&more);
        }
        Some(verdict)
    }

    /// Of a pass that the store has answered.
    pub fn of_pass(wanted: &Wanted, difference: &Difference, lost: usize) -> Verdict {
        let conflicts = &difference.conflicts;
        if difference.resting > 0 {
            let message = format!(
                "{} keys are changed by another whenever they are put right; they are left alone for \
                 a while. Find who writes under the prefix",
                difference.resting
            );
            return Verdict::not(KeySetReason::Contested, message);
        }
        if !wanted.refused.is_empty() {
            return Verdict::not(KeySetReason::DeclarationRefused, some(&wanted.refused));
        }
        if !wanted.missing.is_empty() {
            let missing: Vec<String> = wanted.missing.iter().cloned().collect();
            let message = format!("{}. Nothing is deleted until it is there", some(&missing));
            return Verdict::not(KeySetReason::SourceMissing, message);
        }
        if !wanted.failed.is_empty() {
            return Verdict::not(KeySetReason::TemplateFailed, some(&wanted.failed));
        }
        if !conflicts.is_empty() {
            let words = conflicts.iter();
            let words =
                words.map(|conflict| format!("{} belongs to {}", conflict.key, conflict.held_by));
            return Verdict::not(KeySetReason::Conflict, some(&words.collect::<Vec<_>>()));
        }
        if lost > 0 {
            let message = format!("{lost} keys were changed again before they were put right");
            return Verdict::not(KeySetReason::Drifting, message);
        }
        Verdict {
            ready: true,
            reason: KeySetReason::InSync.text(),
            message: String::new(),
        }
    }

    /// As a condition; its time is that of the last change of its truth.
    pub fn condition(&self, before: &MainstayKeySetStatus, set: &MainstayKeySet) -> Condition {
        let truth = if self.ready { "True" } else { "False" };
        let message = self.message.clone();
        condition(
            &before.conditions,
            set,
            "Ready",
            (truth, self.reason),
            message,
        )
    }
}

fn reason(error: &StoreError) -> KeySetReason {
    match error {
        StoreError::Refused { .. } => match error.refusal() {
            Some(Refusal::PermissionDenied | Refusal::WrongPassword) => {
                KeySetReason::PermissionDenied
            }
            _ => KeySetReason::WriteRefused,
        },
        _ => KeySetReason::StoreUnreachable,
    }
}

/// A key in a message. Others may have written any bytes, and many of them.
fn shown(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

fn some(words: &[String]) -> String {
    let shown = words
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match words.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refused_keys_are_named_and_not_without_end() {
        let set: MainstayKeySet = serde_json::from_value(json!({
            "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayKeySet", "metadata": {},
            "spec": { "cluster": "db", "prefix": "p/", "user": "u" },
        }))
        .unwrap();
        let refused = |message: &str| StoreError::Refused {
            call: "Txn",
            code: mainstay_client::Code::InvalidArgument,
            message: format!("etcdserver: {message}"),
        };
        assert_eq!(Verdict::of_refused(&BTreeMap::new(), &set), None);
        let large = "request is too large";
        let mut all: BTreeMap<Bytes, StoreError> = [
            (Bytes::from_static(b"a"), refused(large)),
            (Bytes::from("k".repeat(1000)), refused("permission denied")),
        ]
        .into();
        let told = Verdict::of_refused(&all, &set).unwrap();
        assert_eq!(told.reason, "PermissionDenied");
        assert!(!told.ready && told.message.starts_with("kkk"), "{told:?}");
        assert!(told.message.contains("MainstayUser u needs"), "{told:?}");
        assert!(told.message.contains("1 more keys"), "{told:?}");
        assert!(told.message.len() < 500, "{told:?}");
        all.retain(|key, _| key.len() == 1);
        all.extend((0..9).map(|at| (Bytes::from(format!("b{at}")), refused(large))));
        let told = Verdict::of_refused(&all, &set).unwrap();
        assert_eq!(told.reason, "WriteRefused");
        let words = "a; b0; b1; b2; b3; and 5 more: Txn: etcdserver: request is too large";
        assert_eq!(told.message, words);
    }
}
