//! What is told of a set: its condition, and what has become of its keys.

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
        let reason = match error {
            StoreError::Refused { .. } => match error.refusal() {
                Some(Refusal::PermissionDenied | Refusal::WrongPassword) => {
                    KeySetReason::PermissionDenied
                }
                _ => KeySetReason::WriteRefused,
            },
            _ => KeySetReason::StoreUnreachable,
        };
        let message = match (reason, &set.spec.user) {
            (KeySetReason::PermissionDenied, Some(user)) => format!(
                "{error}: MainstayUser {user} needs a role with ReadWrite on the prefix {}",
                set.spec.prefix
            ),
            _ => error.to_string(),
        };
        Verdict::not(reason, message)
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
