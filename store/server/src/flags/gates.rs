//! `--feature-gates`: etcd's names, checked. Those that say how etcd works inside switch nothing
//! here.

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

/// The gates that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    pub initial_corrupt_check: bool,
    pub compact_hash_check: bool,
}

/// Refuses names and values etcd would refuse, and notes what is asked for in vain.
pub fn read(values: &mut Values) -> Result<Gates, Refusal> {
    // A gate's own setting counts more than that of all gates of its kind.
    let (mut alpha, mut initial, mut compactions) = (false, None, None);
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
        match name {
            "AllAlpha" => alpha = value,
            "InitialCorruptCheck" => initial = Some(value),
            "CompactHashCheck" => compactions = Some(value),
            _ if value != *default => {
                let vain = format!("--feature-gates {name}={value} has no effect here");
                values.warnings.push(vain);
            }
            _ => {}
        }
    }
    Ok(Gates {
        initial_corrupt_check: initial.unwrap_or(alpha),
        compact_hash_check: compactions.unwrap_or(alpha),
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::find;
    use super::*;

    fn checked(value: &str) -> Result<Vec<String>, String> {
        let mut values = Values::default();
        values.set(find("feature-gates").unwrap(), value).unwrap();
        read(&mut values).map_err(|refusal| refusal.to_string())?;
        Ok(values.warnings)
    }

    #[test]
    fn a_gate_of_its_own_counts_more_than_all() {
        let read = |value: &str| {
            let mut values = Values::default();
            values.set(find("feature-gates").unwrap(), value).unwrap();
            super::read(&mut values).unwrap()
        };
        let both = Gates {
            initial_corrupt_check: true,
            compact_hash_check: true,
        };
        assert_eq!(read("AllAlpha=true"), both);
        let one = read("InitialCorruptCheck=false,AllAlpha=true");
        assert!(!one.initial_corrupt_check && one.compact_hash_check);
        assert_eq!(read(""), Gates::default());
    }

    #[test]
    fn known_gates_pass() {
        assert_eq!(checked("FastLeaseKeepAlive=true"), Ok(vec![]));
        assert_eq!(checked("InitialCorruptCheck=true"), Ok(vec![]));
        assert_eq!(checked("LeaseCheckpoint=true").unwrap().len(), 1);
        assert!(
            checked("Nonsense=true")
                .unwrap_err()
                .contains("feature gate: Nonsense")
        );
        assert!(checked("AllBeta").is_err());
        assert!(checked("AllBeta=2").is_err());
    }
}
