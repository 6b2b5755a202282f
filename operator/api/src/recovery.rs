//! What the operator may do on its own when members fail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator may do on its own when members fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoverySpec {
    /// Whether a member that has failed for `replaceAfterSeconds` is replaced, with its volume, as
    /// long as the others keep a quorum. A member whose volume is lost is replaced at once.
    #[serde(default = "automatic")]
    pub failed_member: Repair,
    /// How long a member must have failed: its node is gone, or it crashes again and again.
    #[serde(default = "default_replace_after")]
    #[schemars(range(min = 60, max = 86400))]
    pub replace_after_seconds: u32,
    /// What to do once a quorum is lost for good. `Manual` waits for the annotation
    /// `mainstay.dev/recover-quorum`; `Automatic` forms a cluster from the most advanced survivor
    /// when the volumes of a majority are gone. Writes that only the lost members held are lost.
    #[serde(default = "manual")]
    pub quorum_loss: Repair,
    /// What to do when a member's space is exhausted. `Automatic` compacts the history and lifts
    /// the alarm if that freed enough, at most every ten minutes.
    #[serde(default = "automatic")]
    pub no_space: Repair,
}

/// Who decides on a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Repair {
    /// The operator acts on its own.
    Automatic,
    /// The operator says what is wrong and waits.
    Manual,
}

fn automatic() -> Repair {
    Repair::Automatic
}

fn manual() -> Repair {
    Repair::Manual
}

fn default_replace_after() -> u32 {
    600
}

impl Default for RecoverySpec {
    fn default() -> RecoverySpec {
        RecoverySpec {
            failed_member: automatic(),
            replace_after_seconds: default_replace_after(),
            quorum_loss: manual(),
            no_space: automatic(),
        }
    }
}
