//! `--feature-gates`: etcd's names, checked; none of them switches anything here.

use super::values::Values;
use super::{Refusal, go};

/// The gates of etcd 3.7 with their defaults.
const GATES: &[(&str, bool)] = &[
    ("AllAlpha", false),
    ("AllBeta", false),
    ("StopGRPCServiceOnDefrag", false),
    ("InitialCorruptCheck", false),
    ("CompactHashCheck", false),
    ("TxnModeWriteWithSharedBuffer", true),
    ("LeaseCheckpoint", false),
    ("LeaseCheckpointPersist", false),
    ("SetMemberLocalAddr", false),
    ("FastLeaseKeepAlive", true),
    ("PriorityRequest", false),
];

/// Refuses names and values etcd would refuse, and notes what is asked for in vain.
pub fn check(values: &mut Values) -> Result<(), Refusal> {
    let given = values.text("feature-gates").to_owned();
    for entry in given
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let wrong = |reason: String| {
            Refusal::new(format!(
                "invalid value {given:?} for flag -feature-gates: {reason}"
            ))
        };
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => return Err(wrong(format!("missing bool value for {entry}"))),
        };
        let Some((_, default)) = GATES.iter().find(|(gate, _)| *gate == name) else {
            return Err(wrong(format!("unrecognized feature gate: {name}")));
        };
        let value = go::boolean(value).map_err(|_| {
            wrong(format!(
                "invalid value of {name}={value}, err: not a boolean"
            ))
        })?;
        if value != *default {
            values
                .warnings
                .push(format!("--feature-gates {name}={value} has no effect here"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::table::find;
    use super::*;

    fn checked(value: &str) -> Result<Vec<String>, String> {
        let mut values = Values::default();
        values.set(find("feature-gates").unwrap(), value).unwrap();
        check(&mut values).map_err(|refusal| refusal.to_string())?;
        Ok(values.warnings)
    }

    #[test]
    fn known_gates_pass() {
        assert_eq!(checked("FastLeaseKeepAlive=true"), Ok(vec![]));
        assert_eq!(checked("InitialCorruptCheck=true").unwrap().len(), 1);
        assert!(
            checked("Nonsense=true")
                .unwrap_err()
                .contains("feature gate: Nonsense")
        );
        assert!(checked("AllBeta").is_err());
        assert!(checked("AllBeta=2").is_err());
    }
}
