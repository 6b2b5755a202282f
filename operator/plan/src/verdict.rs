//! What one room of the planner answers: a step, or that one must wait, or (`None`) that it is the
//! next room's turn.

use mainstay_operator_api::condition::Reason;
use mainstay_operator_api::status::Phase;

use crate::step::Step;

pub(crate) type Next = Option<Verdict>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub step: Option<Step>,
    /// What is going on, for people.
    pub activity: Option<Activity>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activity {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    /// It does not get on without help.
    pub stalled: bool,
}

pub(crate) fn activity(phase: Phase, reason: Reason, message: impl Into<String>) -> Activity {
    Activity {
        phase,
        reason,
        message: message.into(),
        stalled: false,
    }
}

impl Activity {
    pub fn stalled(mut self, reason: Reason) -> Activity {
        self.stalled = true;
        self.reason = reason;
        self
    }

    pub fn with(self, step: Step) -> Next {
        Some(Verdict {
            step: Some(step),
            activity: Some(self),
        })
    }

    pub fn wait(self) -> Next {
        Some(Verdict {
            step: None,
            activity: Some(self),
        })
    }
}

/// A step that people need not hear of.
pub(crate) fn quietly(step: Step) -> Next {
    Some(Verdict {
        step: Some(step),
        activity: None,
    })
}
