//! How long each story took, for people: nothing passes or fails by it.

use std::time::Duration;

use super::load::Verdict;

#[derive(Default)]
pub struct Times(Vec<String>);

impl Times {
    pub fn note(&mut self, what: &str, took: Duration) {
        self.0.push(format!("{what}: {:.1} s", took.as_secs_f64()));
    }

    /// Something that is not a time.
    pub fn say(&mut self, line: String) {
        self.0.push(line);
    }

    /// How long the same took many times.
    pub fn spread(&mut self, what: &str, mut took: Vec<Duration>) {
        took.sort_unstable();
        let at = |share: usize| {
            let place = (took.len() * share).div_ceil(100).saturating_sub(1);
            took.get(place).copied().unwrap_or_default().as_millis()
        };
        self.0.push(format!(
            "{what}: n {}, p50 {} ms, p99 {} ms",
            took.len(),
            at(50),
            at(99)
        ));
    }

    /// What clients noticed of a story.
    pub fn clients(&mut self, story: &str, verdict: &Verdict) {
        self.0.push(format!(
            "clients during {story}: {} requests, {} failed, {} of unknown outcome; longest time \
             without an answered write {:.1} s",
            verdict.requests,
            verdict.refused,
            verdict.unknown,
            verdict.longest_gap.as_secs_f64()
        ));
    }

    pub fn print(&self) {
        self.0.iter().for_each(|line| println!("      {line}"));
    }
}
