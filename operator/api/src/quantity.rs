//! Amounts of bytes as Kubernetes writes them: a whole number with a binary or decimal suffix.

use std::fmt;

const SUFFIXES: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

/// The bytes that `text` stands for. Fractions (`1.5Gi`) and exponents are not taken: the resource's
/// pattern does not either.
pub fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (digits, suffix) = text.split_at(split.unwrap_or(text.len()));
    let number: u64 = digits.parse().ok()?;
    if suffix.is_empty() {
        return Some(number);
    }
    let (_, unit) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    number.checked_mul(*unit)
}

/// Bytes as people read them, rounded down to the largest binary unit.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SUFFIXES.iter().filter(|(name, _)| name.ends_with('i'));
        match binary.rev().find(|(_, unit)| self.0 >= *unit) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_does() {
        assert_eq!(bytes("8Gi"), Some(8 << 30));
        assert_eq!(bytes("500M"), Some(500_000_000));
        assert_eq!(bytes("1024"), Some(1024));
        for wrong in ["", "Gi", "1.5Gi", "-1", "8gi", "99999999999Pi"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts_are_written_short() {
        assert_eq!(Bytes(8 << 30).to_string(), "8Gi");
        assert_eq!(Bytes(1500).to_string(), "1Ki");
        assert_eq!(Bytes(0).to_string(), "0");
    }
}
