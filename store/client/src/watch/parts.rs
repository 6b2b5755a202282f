//! The messages of a watch stream, and what each of them means. Fragments of one message are put
//! together before they are told.

use mainstay_proto::etcdserverpb::WatchResponse;
use mainstay_proto::mvccpb::Event;
use tonic::{Code, Status, Streaming};

use crate::calls::told;
use crate::verdict::Verdict;

/// A member's word that it has lost its leader (etcd's `ErrNoLeader`): another may have one.
const NO_LEADER: &str = "etcdserver: no leader";
const TOKEN_TEXTS: [&str; 2] = ["invalid auth token", "revision of auth store is old"];
const PERMISSION_DENIED: &str = "permission denied";

#[derive(Debug)]
pub(super) struct Parts {
    answers: Streaming<WatchResponse>,
    /// Of a message whose last fragment has not come.
    pending: Vec<Event>,
}

/// One whole message.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Events {
        events: Vec<Event>,
    },
    Progress {
        revision: i64,
    },
    /// Everything before `revision` is gone.
    Compacted {
        revision: i64,
    },
    Refused {
        code: Code,
        message: String,
    },
    TokenStale {
        reason: String,
    },
    /// The stream is over; another may go on.
    Ended {
        reason: String,
    },
}

impl Part {
    pub(super) fn of_status(status: &Status) -> Part {
        match Verdict::of(status) {
            Verdict::TokenStale => Part::TokenStale {
                reason: told(status),
            },
            Verdict::Refused => Part::Refused {
                code: status.code(),
                message: status.message().to_owned(),
            },
            Verdict::NotTaken | Verdict::Unknown => Part::Ended {
                reason: told(status),
            },
        }
    }

    /// What a member's cancelling means; etcd gives its reason in words only.
    fn of_cancel(response: WatchResponse) -> Part {
        let reason = response.cancel_reason;
        if response.compact_revision > 0 {
            let revision = response.compact_revision;
            return Part::Compacted { revision };
        }
        if TOKEN_TEXTS.iter().any(|text| reason.contains(text)) {
            return Part::TokenStale { reason };
        }
        if reason.is_empty() || reason.contains(NO_LEADER) {
            return Part::Ended { reason };
        }
        let code = match reason.contains(PERMISSION_DENIED) {
            true => Code::PermissionDenied,
            false => Code::Unknown,
        };
        Part::Refused {
            code,
            message: reason,
        }
    }
}

impl Parts {
    pub(super) fn new(answers: Streaming<WatchResponse>) -> Parts {
        Parts {
            answers,
            pending: Vec::new(),
        }
    }

    /// Waits for the word that the watch has begun and tells the store's revision.
    pub(super) async fn begun(&mut self) -> Result<i64, Part> {
        match self.answers.message().await {
            Ok(Some(response)) if response.canceled => Err(Part::of_cancel(response)),
            Ok(Some(response)) if response.created => Ok(revision(&response)),
            Ok(Some(response)) => Err(Part::Progress {
                revision: revision(&response),
            }),
            Ok(None) => Err(ended()),
            Err(status) => Err(Part::of_status(&status)),
        }
    }

    /// The next whole message. It may be dropped while it waits, and nothing is lost.
    pub(super) async fn next(&mut self) -> Part {
        loop {
            let response = match self.answers.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return ended(),
                Err(status) => return Part::of_status(&status),
            };
            if response.canceled {
                return Part::of_cancel(response);
            }
            let revision = revision(&response);
            let fragment = response.fragment;
            self.pending.extend(response.events);
            match (fragment, self.pending.is_empty()) {
                (true, _) => {}
                (false, true) => return Part::Progress { revision },
                (false, false) => {
                    let events = std::mem::take(&mut self.pending);
                    return Part::Events { events };
                }
            }
        }
    }
}

fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().map_or(0, |header| header.revision)
}

fn ended() -> Part {
    Part::Ended {
        reason: "the member has ended the stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancelled(reason: &str, compacted: i64) -> Part {
        Part::of_cancel(WatchResponse {
            canceled: true,
            cancel_reason: reason.to_owned(),
            compact_revision: compacted,
            ..WatchResponse::default()
        })
    }

    #[test]
    fn a_cancel_is_told_by_its_reason() {
        assert_eq!(cancelled("", 7), Part::Compacted { revision: 7 });
        let leaderless = "rpc error: code = Unavailable desc = etcdserver: no leader";
        assert!(matches!(cancelled(leaderless, 0), Part::Ended { .. }));
        let stale = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
        assert!(matches!(cancelled(stale, 0), Part::TokenStale { .. }));
        let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        let Part::Refused { code, .. } = cancelled(denied, 0) else {
            panic!("a watch that is not allowed must end");
        };
        assert_eq!(code, Code::PermissionDenied);
    }
}
