//! What passed and what failed, printed as it becomes known.

use std::fmt::Display;

/// Lines printed of one failed check; the rest is in the directory that the run leaves.
const MAX_LINES: usize = 5;

/// Characters printed of one line.
const MAX_LINE: usize = 900;

/// Counts checks. A run has passed when nothing failed and something was checked.
#[derive(Debug, Default)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
    /// Failures are what this run is for; they are printed as such.
    pub wants_failure: bool,
}

impl Tally {
    /// A tally for a run that is expected to fail.
    #[must_use]
    pub fn wanting_failure() -> Tally {
        Tally {
            wants_failure: true,
            ..Tally::default()
        }
    }

    /// Notes one check with what was found wrong.
    pub fn check<T: Display>(&mut self, name: &str, wrong: &[T]) -> bool {
        if wrong.is_empty() {
            self.passed += 1;
            println!("ok      {name}");
            return true;
        }
        self.failed += 1;
        let (word, lines) = if self.wants_failure {
            ("broken", 1)
        } else {
            ("FAILED", MAX_LINES)
        };
        println!("{word}  {name}: {} found", wrong.len());
        for one in wrong.iter().take(lines) {
            let line: String = one.to_string().chars().take(MAX_LINE).collect();
            println!("        {line}");
        }
        false
    }

    /// Notes one check that either holds or has one reason not to.
    pub fn outcome<E: Display>(&mut self, name: &str, outcome: Result<(), E>) -> bool {
        match outcome {
            Ok(()) => self.check::<&str>(name, &[]),
            Err(reason) => self.check(name, &[reason]),
        }
    }

    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// The last line of every command.
    pub fn print(&self) {
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}
