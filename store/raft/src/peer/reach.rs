//! What the log says of a member that cannot be reached: a line when it begins, another when it is
//! for another reason, and one when it is over. Diallers try several times a second, so not more.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Between two lines about one member, where several reasons take turns.
const AGAIN: Duration = Duration::from_secs(30);

/// Shared by all who dial one member.
#[derive(Clone, Debug, Default)]
pub struct Reach(Arc<Mutex<Option<Trouble>>>);

#[derive(Debug)]
struct Trouble {
    reason: String,
    told: Instant,
}

impl Reach {
    pub fn is_reached(&self, member: u64) {
        if self.over() {
            tracing::info!(
                member = format_args!("{member:x}"),
                "a member can be reached"
            );
        }
    }

    pub fn is_not_reached(&self, member: u64, urls: &[String], reason: &str) {
        if self.is_news(reason, Instant::now()) {
            tracing::warn!(
                member = format_args!("{member:x}"),
                urls = urls.join(","),
                reason,
                "a member cannot be reached"
            );
        }
    }

    fn over(&self) -> bool {
        self.0.lock().take().is_some()
    }

    fn is_news(&self, reason: &str, now: Instant) -> bool {
        let mut trouble = self.0.lock();
        let known = trouble.as_ref().is_some_and(|trouble| {
            trouble.reason == reason || now.duration_since(trouble.told) < AGAIN
        });
        if !known {
            *trouble = Some(Trouble {
                reason: reason.to_owned(),
                told: now,
            });
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_and_another_after_a_while() {
        let reach = Reach::default();
        let start = Instant::now();
        let later = start + AGAIN;
        assert!(!reach.over(), "nothing has failed");
        assert!(reach.is_news("refused", start));
        assert!(!reach.is_news("refused", later));
        assert!(!reach.is_news("no answer", start), "they would take turns");
        assert!(reach.is_news("no answer", later));
        assert!(!reach.is_news("refused", later));
        assert!(reach.over());
        assert!(reach.is_news("no answer", later), "it begins anew");
    }
}
