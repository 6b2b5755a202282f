//! The lines a suite prints.

use std::time::Instant;

use anyhow::Result;

/// Counts what passed and what failed, and prints each with its time.
#[derive(Debug)]
pub struct Tally {
    passed: usize,
    failed: usize,
    since: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            passed: 0,
            failed: 0,
            since: Instant::now(),
        }
    }
}

impl Tally {
    /// Runs a case; true if it passed.
    pub fn case(&mut self, name: &str, case: impl FnOnce() -> Result<()>) -> bool {
        let since = Instant::now();
        let result = case();
        match &result {
            Ok(()) => self.pass(name, since),
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
        result.is_ok()
    }

    /// Notes a case that began at `since` and passed.
    pub fn pass(&mut self, name: &str, since: Instant) {
        self.passed += 1;
        println!("ok    {name} ({:.1} s)", since.elapsed().as_secs_f64());
    }

    /// Notes a case that failed, with all that is to be said of it.
    pub fn fail(&mut self, name: &str, report: &str) {
        self.failed += 1;
        println!("FAIL  {name}\n{report}");
    }

    /// Prints the last line of the suite; true when nothing failed and something passed.
    pub fn close(&self) -> bool {
        println!("time {:.1} s", self.since.elapsed().as_secs_f64());
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}
