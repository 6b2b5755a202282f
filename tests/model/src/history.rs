//! The history: one JSON line per operation, watcher, fault or member log.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    key_value::Event,
    request::Request,
    response::{Outcome, Response},
};

/// Everything a run has seen. Times are monotonic nanoseconds since the start of the run, all
/// taken by one process, so they can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub operations: Vec<Operation>,
    pub watchers: Vec<Watcher>,
    pub members: Vec<MemberLog>,
    pub faults: Vec<Fault>,
    /// When the cluster had converged after the last fault.
    pub end: u64,
}

/// One line of a history file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    Operation(Operation),
    Watcher(Watcher),
    Member(MemberLog),
    Fault(Fault),
    End { time: u64 },
}

/// One call of one client. A client has at most one call in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub client: u32,
    /// Index of the member that was asked.
    pub member: u32,
    pub call: u64,
    pub ret: u64,
    pub request: Request,
    pub outcome: Outcome,
}

/// One watch, from its creation to its end. A client that resumes records a new watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    pub client: u32,
    pub member: u32,
    pub key: String,
    pub range_end: String,
    /// 0: from now on.
    pub start_revision: i64,
    pub prev_kv: bool,
    pub no_put: bool,
    pub no_delete: bool,
    pub replies: Vec<WatchReply>,
}

/// One response on a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchReply {
    pub time: u64,
    pub revision: i64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub created: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub canceled: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compact_revision: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// The events that one member tells, in its order: all of them with `from <= revision <= through`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLog {
    pub member: u32,
    /// How it was taken: while the run went on, or read again at its end.
    pub label: String,
    pub from: i64,
    pub through: i64,
    pub events: Vec<Event>,
}

/// A fault that was injected. From `start` to `end` a leader may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: String,
    pub start: u64,
    pub end: u64,
}

#[derive(Debug, Error)]
pub enum HistoryError {
    #[error("cannot read the history: {0}")]
    Read(#[from] io::Error),
    #[error("line {line} is not a record: {source}")]
    Parse {
        line: usize,
        source: serde_json::Error,
    },
}

impl Operation {
    /// The answer, if the operation is known to have succeeded.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match &self.outcome {
            Outcome::Ok(response) => Some(response),
            _ => None,
        }
    }

    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown { .. })
    }

    /// Who, when and what, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "client {} on member {} at {:.3}..{:.3} s: {:?} -> {:?}",
            self.client,
            self.member,
            self.call as f64 / 1e9,
            self.ret as f64 / 1e9,
            self.request,
            self.outcome
        )
    }
}

impl WatchReply {
    /// A response that only says how far the watcher is.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.events.is_empty() && !self.created && !self.canceled
    }
}

impl History {
    /// Writes one JSON object per line.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let records = (self.faults.iter().cloned().map(Record::Fault))
            .chain(self.operations.iter().cloned().map(Record::Operation))
            .chain(self.watchers.iter().cloned().map(Record::Watcher))
            .chain(self.members.iter().cloned().map(Record::Member))
            .chain([Record::End { time: self.end }]);
        for record in records {
            serde_json::to_writer(&mut *out, &record)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads what [`History::write`] wrote.
    ///
    /// # Errors
    /// [`HistoryError::Parse`] names the first line that is no record.
    pub fn read(input: impl BufRead) -> Result<History, HistoryError> {
        let mut history = History::default();
        for (index, line) in input.lines().enumerate() {
            let record = serde_json::from_str(&line?).map_err(|source| HistoryError::Parse {
                line: index + 1,
                source,
            })?;
            match record {
                Record::Operation(operation) => history.operations.push(operation),
                Record::Watcher(watcher) => history.watchers.push(watcher),
                Record::Member(member) => history.members.push(member),
                Record::Fault(fault) => history.faults.push(fault),
                Record::End { time } => history.end = time,
            }
        }
        Ok(history)
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_written_history_reads_back_equal() {
        let history = samples::good();
        let mut file = Vec::new();
        history.write(&mut file).unwrap();
        assert_eq!(History::read(file.as_slice()).unwrap(), history);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = History::read(b"{\"record\":\"end\",\"time\":1}\n{\n".as_slice()).unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 is not a record"),
            "{error}"
        );
    }
}
