//! How many members must stay when nodes are drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Subject;
use crate::labels;

/// `least` members stay.
pub fn render(subject: &Subject<'_>, least: u32) -> PodDisruptionBudget {
    let least = i32::try_from(least).unwrap_or(i32::MAX);
    PodDisruptionBudget {
        metadata: subject.owned(subject.name),
        spec: Some(PodDisruptionBudgetSpec {
            // An integer, so that no controller has to look up how large the set is meant to be.
            min_available: Some(IntOrString::Int(least)),
            selector: Some(LabelSelector {
                match_labels: Some(labels::of(subject.name)),
                ..LabelSelector::default()
            }),
            // Pods of a cluster that lost its quorum hold the only data: they are not drained away.
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
