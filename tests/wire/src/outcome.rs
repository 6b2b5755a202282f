use tonic::{Code, Status};

use crate::normalise::{Ids, Normalise};

/// Seconds by which two clocks of the same lease may differ.
const CLOCK_TOLERANCE: i64 = 2;

/// What one request ended in, in a form that two servers can be compared by.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The whole normalised answer; an error is its code and text.
    pub text: String,
    /// Numbers that count time and may differ by [`CLOCK_TOLERANCE`].
    pub clocks: Vec<i64>,
    /// Revision of the header, 0 when there was none.
    pub revision: i64,
    /// Code and text, when the request failed.
    pub error: Option<(Code, String)>,
    /// Canonical id of a granted lease.
    pub lease: i64,
}

impl Outcome {
    pub fn response<T: Normalise>(mut response: T, ids: &mut Ids) -> Self {
        response.normalise(ids);
        let clocks = response.clocks();
        Self {
            revision: response.header().map_or(0, |header| header.revision),
            text: format!("{response:?}"),
            clocks,
            ..Self::default()
        }
    }

    pub fn status(status: &Status, ids: &Ids) -> Self {
        let message = ids.text(status.message());
        let mut text = format!("error {:?} {message:?}", status.code());
        // etcd attaches none to any error, so one that appears is a difference.
        if !status.details().is_empty() {
            text.push_str(" with details");
        }
        Self {
            text,
            error: Some((status.code(), message)),
            ..Self::default()
        }
    }

    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    pub fn succeeded(&self) -> bool {
        self.error.is_none()
    }

    pub fn equals(&self, other: &Self) -> bool {
        let near = |(a, b): (&i64, &i64)| a.abs_diff(*b) <= CLOCK_TOLERANCE as u64;
        self.text == other.text
            && self.clocks.len() == other.clocks.len()
            && self.clocks.iter().zip(&other.clocks).all(near)
    }
}

/// Shortens a long text around the place where it stops being equal to `other`.
pub fn excerpt(text: &str, other: &str) -> String {
    const BEFORE: usize = 160;
    const LENGTH: usize = 700;
    if text.len() <= LENGTH {
        return text.to_owned();
    }
    let equal = text
        .bytes()
        .zip(other.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let start = equal.saturating_sub(BEFORE);
    let cut = text.bytes().skip(start).take(LENGTH).collect::<Vec<_>>();
    format!(
        "({} bytes, from {start}) …{}…",
        text.len(),
        String::from_utf8_lossy(&cut)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little_and_texts_not_at_all() {
        let outcome = |text: &str, clock| Outcome {
            text: text.to_owned(),
            clocks: vec![clock],
            ..Outcome::default()
        };
        assert!(outcome("a", 100).equals(&outcome("a", 102)));
        assert!(!outcome("a", 100).equals(&outcome("a", 103)));
        assert!(!outcome("a", 100).equals(&outcome("b", 100)));
    }

    #[test]
    fn an_excerpt_shows_the_first_difference() {
        let long = "x".repeat(3000);
        let other = format!("{}y", "x".repeat(2000));
        assert!(excerpt(&long, &other).contains("from 1840"));
    }
}
