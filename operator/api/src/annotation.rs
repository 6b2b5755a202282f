//! Annotations on a `MainstayCluster` that ask for something once.
//!
//! Each carries a text of the caller's choice; what was asked is done when the text is another one
//! than at the last time.

/// Rotates both CAs, then all certificates.
pub const ROTATE_CA: &str = "mainstay.dev/rotate-ca";
/// Issues the certificates anew under the CAs that are there.
pub const ROTATE_CERTIFICATES: &str = "mainstay.dev/rotate-certificates";
/// Restarts the members one by one, as a changed template would.
pub const RESTART: &str = "mainstay.dev/restart";
/// Moves the leadership to the member of this name, e.g. `db-2`.
pub const MOVE_LEADER: &str = "mainstay.dev/move-leader";
/// Replaces one member and its volume: `<ordinal>:<incarnation>` as the status shows them, so that
/// an annotation that stays behind never acts twice.
pub const REPLACE_MEMBER: &str = "mainstay.dev/replace-member";
/// Makes a cluster without a quorum out of one survivor: the number that the status shows as
/// `recoveries`, with `:<ordinal>` to name the survivor. What only the lost members knew is lost.
/// Without effect while a quorum serves; its number is used up then.
pub const RECOVER_QUORUM: &str = "mainstay.dev/recover-quorum";

/// On pods: changed when a Secret or the intents have, so that the kubelet looks at once.
pub const POD_REFRESH: &str = "mainstay.dev/refresh";
/// On pods: `leader`, `follower` or `learner`.
pub const ROLE_LABEL: &str = "mainstay.dev/role";
