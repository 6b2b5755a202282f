//! Flags from the environment: `ETCD_` and the flag's name in capitals.

use super::Refusal;
use super::table::FLAGS;
use super::values::Values;

const PREFIX: &str = "ETCD_";

/// Adds what the environment sets. A flag and its variable exclude each other, even if they agree
/// or the variable is empty (etcd).
pub fn read(
    values: &mut Values,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), Refusal> {
    for (variable, value) in environment.filter(|(name, _)| name.starts_with(PREFIX)) {
        let Some(flag) = FLAGS.iter().find(|flag| variable_of(flag.name) == variable) else {
            values
                .warnings
                .push(format!("unrecognized environment variable {variable}"));
            continue;
        };
        if values.is_set(flag.name) {
            return Err(Refusal::new(format!(
                "conflicting environment variable {variable:?} is shadowed by corresponding \
                 command-line flag --{} (either unset environment variable or disable flag)",
                flag.name
            )));
        }
        if !value.is_empty() {
            values.set(flag, &value).map_err(|refusal| {
                Refusal::new(format!("environment variable {variable}: {refusal}"))
            })?;
        }
    }
    Ok(())
}

/// The variable that stands for a flag.
pub fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Values, String> {
        let mut values = Values::default();
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        read(&mut values, pairs).map_err(|refusal| refusal.to_string())?;
        Ok(values)
    }

    #[test]
    fn names_are_in_capitals() {
        let values = from(&[
            ("ETCD_MAX_TXN_OPS", "5"),
            ("PATH", "/bin"),
            ("ETCD_NAME", ""),
        ]);
        let values = values.unwrap();
        assert_eq!(values.unsigned("max-txn-ops"), 5);
        assert_eq!(values.text("name"), "default");
        assert!(values.warnings.is_empty());
    }

    #[test]
    fn strangers_warn_and_wrong_values_are_refused() {
        let values = from(&[("ETCD_NMAE", "x"), ("ETCDCTL_API", "3")]).unwrap();
        assert_eq!(
            values.warnings,
            ["unrecognized environment variable ETCD_NMAE"]
        );
        let refusal = from(&[("ETCD_PRE_VOTE", "x")]).unwrap_err();
        assert!(
            refusal.contains("ETCD_PRE_VOTE") && refusal.contains("-pre-vote"),
            "{refusal}"
        );
    }
}
