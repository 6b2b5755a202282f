//! The flags that were set, each to a value of its kind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::{FLAGS, Flag, Kind, Status, find};
use super::{Refusal, go};

/// What was set, by flag or by variable. Whoever reads a value names a flag of the table.
#[derive(Debug, Default)]
pub struct Values {
    set: BTreeMap<&'static str, String>,
    /// Lines for the log, once there is one.
    pub warnings: Vec<String>,
}

impl Values {
    /// Sets a flag; the last one counts.
    pub fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), Refusal> {
        go::check(flag.kind, value).map_err(|reason| {
            let kind = if flag.kind == Kind::Bool {
                "boolean value"
            } else {
                "value"
            };
            let name = flag.name;
            Refusal::new(format!(
                "invalid {kind} {value:?} for flag -{name}: {reason}"
            ))
        })?;
        self.set.insert(flag.name, value.to_owned());
        Ok(())
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// The flags that were set.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.set.keys().copied()
    }

    pub fn text(&self, name: &str) -> &str {
        match self.set.get(name) {
            Some(value) => value,
            None => find(name).map_or("", |flag| flag.default),
        }
    }

    pub fn boolean(&self, name: &str) -> bool {
        go::boolean(self.text(name)).unwrap_or_default()
    }

    pub fn integer(&self, name: &str) -> i64 {
        go::integer(self.text(name)).unwrap_or_default()
    }

    pub fn unsigned(&self, name: &str) -> u64 {
        go::unsigned(self.text(name)).unwrap_or_default()
    }

    pub fn duration(&self, name: &str) -> Duration {
        go::duration(self.text(name)).unwrap_or_default()
    }

    /// Notes what is set and has no effect.
    pub fn judge(&mut self) {
        for flag in FLAGS {
            let Some(value) = self.set.get(flag.name) else {
                continue;
            };
            if same(flag, value) {
                continue;
            }
            match flag.status {
                Status::Used => {}
                Status::Ignored => {
                    self.warnings
                        .push(format!("--{} has no effect here", flag.name));
                }
                Status::Instead(what) => {
                    self.warnings
                        .push(format!("--{} has no effect here: {what}", flag.name));
                }
            }
        }
    }
}

/// Whether a value says the same as the default.
fn same(flag: &Flag, value: &str) -> bool {
    match flag.kind {
        Kind::Bool => go::boolean(value) == go::boolean(flag.default),
        Kind::Int => go::integer(value) == go::integer(flag.default),
        Kind::Uint => go::unsigned(value) == go::unsigned(flag.default),
        Kind::Duration => go::duration(value) == go::duration(flag.default),
        Kind::Text | Kind::Anything => value == flag.default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, value: &str) -> Vec<String> {
        let mut values = Values::default();
        values.set(find(name).unwrap(), value).unwrap();
        values.judge();
        values.warnings
    }

    #[test]
    fn flags_without_effect_say_so() {
        let nothing: [&str; 0] = [];
        assert_eq!(judged("max-wals", "5"), nothing);
        assert_eq!(judged("max-wals", "7"), ["--max-wals has no effect here"]);
        assert_eq!(judged("raft-read-timeout", "5000ms"), nothing);
        assert_eq!(judged("cert-file", "/x"), nothing);
        let pprof = judged("enable-pprof", "true");
        assert!(pprof[0].contains("perf record"), "{pprof:?}");
    }

    #[test]
    fn values_must_be_of_their_kind() {
        let mut values = Values::default();
        let refusal = values
            .set(find("heartbeat-interval").unwrap(), "x")
            .unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "invalid value \"x\" for flag -heartbeat-interval: parse error"
        );
        let refusal = values.set(find("pre-vote").unwrap(), "maybe").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "invalid boolean value \"maybe\" for flag -pre-vote: parse error"
        );
    }
}
