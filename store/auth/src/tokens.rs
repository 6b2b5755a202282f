//! Tokens of users that have logged in: on this member only, in memory only, and only as hashes.
//!
//! Every member learns of a token by the entry of its log-in, so a client may take it to any of
//! them. How long one lasts each member counts for itself, outside apply: since it was last used
//! there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Tokens kept at a time; above that the one nearest to its end makes room.
pub const TOKENS_MAX: usize = 100_000;

/// Tokens that are kept before those past their end are looked for the first time.
const SWEEP_FROM: usize = 1024;

/// SHA-256 of a token's secret part.
pub type TokenHash = [u8; 32];

/// Monotonic time since any fixed moment.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

pub struct Tokens {
    now: Now,
    ttl: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    tokens: HashMap<TokenHash, Token>,
    /// Expired ones are looked for when there are so many.
    sweep_at: usize,
}

struct Token {
    user: Arc<str>,
    ends: Duration,
}

impl Tokens {
    pub(crate) fn new(now: Now, ttl: Duration) -> Tokens {
        let table = Table {
            tokens: HashMap::new(),
            sweep_at: SWEEP_FROM,
        };
        Tokens {
            now,
            ttl,
            table: Mutex::new(table),
        }
    }

    /// Whose token it is; it then lasts for its whole time again.
    pub fn user(&self, hash: &TokenHash) -> Option<Arc<str>> {
        let now = (self.now)();
        let mut table = self.table.lock();
        let token = table.tokens.get_mut(hash)?;
        if token.ends <= now {
            table.tokens.remove(hash);
            return None;
        }
        token.ends = now.saturating_add(self.ttl);
        Some(token.user.clone())
    }

    /// How many there are, those past their end included until they are looked for.
    pub fn len(&self) -> usize {
        self.table.lock().tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn add(&self, hash: TokenHash, user: &str) {
        let now = (self.now)();
        let mut table = self.table.lock();
        table.make_room(now);
        let token = Token {
            user: user.into(),
            ends: now.saturating_add(self.ttl),
        };
        table.tokens.insert(hash, token);
    }

    pub(crate) fn drop_user(&self, user: &str) {
        let mut table = self.table.lock();
        table.tokens.retain(|_, token| token.user.as_ref() != user);
    }

    pub(crate) fn clear(&self) {
        self.table.lock().tokens.clear();
    }
}

impl Table {
    /// Each sweep waits for as many tokens as the one before has left, so that a token costs the
    /// same however many there are.
    fn make_room(&mut self, now: Duration) {
        if self.tokens.len() < self.sweep_at.min(TOKENS_MAX) {
            return;
        }
        self.tokens.retain(|_, token| token.ends > now);
        self.sweep_at = self.tokens.len().saturating_mul(2).max(SWEEP_FROM);
        if self.tokens.len() >= TOKENS_MAX {
            let first = self.tokens.iter().min_by_key(|(_, token)| token.ends);
            if let Some(hash) = first.map(|(hash, _)| *hash) {
                self.tokens.remove(&hash);
            }
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn tokens(ttl: u64) -> (Arc<AtomicU64>, Tokens) {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = seconds.clone();
        let now: Now = Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        (seconds, Tokens::new(now, Duration::from_secs(ttl)))
    }

    fn hash(number: usize) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn a_token_lasts_while_it_is_used() {
        let (seconds, tokens) = tokens(10);
        tokens.add(hash(1), "a");
        for at in [9, 18, 27] {
            seconds.store(at, Ordering::Relaxed);
            assert_eq!(tokens.user(&hash(1)).as_deref(), Some("a"));
        }
        seconds.store(37, Ordering::Relaxed);
        assert_eq!(tokens.user(&hash(1)), None);
        assert!(tokens.is_empty());
    }

    #[test]
    fn a_user_takes_its_tokens_along() {
        let (_, tokens) = tokens(10);
        for (number, user) in [(1, "a"), (2, "b"), (3, "a")] {
            tokens.add(hash(number), user);
        }
        tokens.drop_user("a");
        assert_eq!(tokens.user(&hash(1)), None);
        assert_eq!(tokens.user(&hash(2)).as_deref(), Some("b"));
        tokens.clear();
        assert_eq!(tokens.user(&hash(2)), None);
    }

    #[test]
    fn they_are_bounded_and_those_past_their_end_make_room() {
        let (seconds, tokens) = tokens(10);
        for number in 0..SWEEP_FROM {
            tokens.add(hash(number), "old");
        }
        seconds.store(11, Ordering::Relaxed);
        tokens.add(hash(SWEEP_FROM), "new");
        assert_eq!(tokens.len(), 1);
        for number in 0..TOKENS_MAX + 9 {
            tokens.add(hash(number), "many");
        }
        assert_eq!(tokens.len(), TOKENS_MAX);
    }
}
