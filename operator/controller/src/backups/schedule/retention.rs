//! Which backups of a schedule are kept.

use kube::ResourceExt;
use mainstay_operator_api::MainstayBackup;
use mainstay_operator_api::backup::BackupPhase;

pub fn phase(backup: &MainstayBackup) -> Option<BackupPhase> {
    backup.status.as_ref()?.phase
}

pub fn is_over(backup: &MainstayBackup) -> bool {
    matches!(
        phase(backup),
        Some(BackupPhase::Complete | BackupPhase::Failed)
    )
}

/// The names of those that are too many; `made` is ordered, the newest first.
///
/// So many good ones are kept, and as many that failed for whoever looks into them. One that failed
/// takes no good one's place, and one that is under way counts once it is over.
pub fn excess(made: &[MainstayBackup], keep: u32) -> Vec<String> {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let of = |kind| {
        let found = made.iter().filter(move |made| phase(made) == Some(kind));
        found.skip(keep).map(ResourceExt::name_any)
    };
    of(BackupPhase::Complete)
        .chain(of(BackupPhase::Failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup(name: &str, phase: Option<&str>) -> MainstayBackup {
        let status = phase.map(|phase| json!({"phase": phase}));
        serde_json::from_value(json!({
            "apiVersion": "mainstay.dev/v1alpha1",
            "kind": "MainstayBackup",
            "metadata": {"name": name},
            "spec": {"cluster": "db", "destination": {"volume": {"claimName": "c"}}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_good_ones_go() {
        let made = [
            backup("f", Some("Running")),
            backup("e", Some("Complete")),
            backup("d", Some("Failed")),
            backup("c", Some("Complete")),
            backup("b", Some("Complete")),
            backup("a", Some("Complete")),
        ];
        assert_eq!(excess(&made, 2), ["b", "a"]);
        assert_eq!(excess(&made, 4), [""; 0]);
    }

    #[test]
    fn failures_never_push_a_good_one_out() {
        let mut made: Vec<_> = ["z", "y", "x"]
            .map(|name| backup(name, Some("Failed")))
            .to_vec();
        made.push(backup("w", None));
        made.push(backup("good", Some("Complete")));
        assert_eq!(excess(&made, 1), ["y", "x"]);
        assert!(!is_over(&made[3]) && is_over(&made[4]));
    }
}
