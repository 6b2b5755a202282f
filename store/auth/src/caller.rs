//! On whose behalf something is asked for.

/// Who asks, as verified by the member that took the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Caller {
    /// A client that has shown no credentials.
    #[default]
    Nobody,
    User {
        /// Empty for a certificate that names nobody.
        name: String,
        /// The revision of users and roles at which the credentials were verified, or which a
        /// signed token states.
        revision: u64,
    },
    /// The member itself: an expired lease, a compaction by its schedule, its own name.
    Member,
}

impl Caller {
    /// The user's name, `None` unless there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Caller::User { name, .. } => Some(name),
            Caller::Nobody | Caller::Member => None,
        }
    }
}
