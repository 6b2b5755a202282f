//! Rebuilds the log's state from the records, in the order in which they were written.

use std::sync::Arc;

use bytes::Bytes;

use crate::Error;
use crate::batch::{self, BATCH_HEADER, BadBody, BatchHeader};
use crate::index::Index;
use crate::record::{Mismatch, Record};
use crate::segment::{FIRST_BATCH, Segment};
use crate::view::View;
use crate::window::Window;
use crate::writer::Meta;

/// The state so far.
#[derive(Default)]
pub(crate) struct Replay {
    pub view: View,
    pub index: Index,
    pub meta: Meta,
    top: Option<u64>,
}

/// Where the good part of a segment ends, and what comes after it.
pub(crate) struct Stop {
    pub end: u64,
    /// The newest offset that a good batch claims durable; the end, if the log was closed.
    pub claimed: u64,
    /// Why the next batch is not good, unless the segment is full.
    pub bad: Option<Error>,
    /// Bytes of the next batch if its header is good.
    pub torn: u64,
}

impl Replay {
    /// Applies the batches of a segment until the first that is not good, or until `limit`, where
    /// the next segment says that they end.
    pub fn segment(
        &mut self,
        segment: &Arc<Segment>,
        window: &mut Window<'_>,
        limit: Option<u64>,
    ) -> Result<Stop, Error> {
        let generation = segment.header.generation;
        let mut stop = Stop {
            end: FIRST_BATCH,
            claimed: 0,
            bad: None,
            torn: 0,
        };
        while limit.is_none_or(|limit| stop.end < limit) {
            let offset = stop.end;
            if limit.is_none() && offset + BATCH_HEADER as u64 > segment.header.capacity {
                return Ok(stop);
            }
            let header = match batch::header(window.get(offset, BATCH_HEADER)?, generation, offset)
            {
                Ok(header) => header,
                Err(mismatch) => {
                    stop.bad = Some(checksum(segment, offset, mismatch));
                    return Ok(stop);
                }
            };
            let bytes = window.get(offset, BATCH_HEADER + header.body)?;
            if let Err(bad) = check(segment, bytes, header, offset) {
                stop.bad = Some(bad);
                stop.torn = batch::padded(header.body) as u64;
                return Ok(stop);
            }
            self.batch(segment, bytes, offset)?;
            stop.end = offset + batch::padded(header.body) as u64;
            stop.claimed = if header.count == 0 {
                stop.end
            } else {
                header.durable
            };
        }
        if limit.is_some_and(|limit| stop.end != limit) {
            let what = "the batches do not end where the next segment says";
            return Err(malformed(segment, stop.end, what));
        }
        Ok(stop)
    }

    fn batch(&mut self, segment: &Arc<Segment>, bytes: &[u8], at: u64) -> Result<(), Error> {
        for (from, record) in batch::records(bytes) {
            let offset = at + from as u64;
            let Some(record) = record else {
                return Err(malformed(
                    segment,
                    offset,
                    "a record of a kind not known here",
                ));
            };
            match record {
                Record::Entry { id, payload, .. } => {
                    let fits = self.view.replay(id).is_ok()
                        && self.index.put(id.index, segment, offset, payload.len());
                    if !fits {
                        return Err(malformed(
                            segment,
                            offset,
                            "an entry does not follow the last",
                        ));
                    }
                    self.top = self.top.max(Some(id.index));
                }
                Record::Vote(vote) => self.meta.vote = Some(Bytes::copy_from_slice(vote)),
                Record::Committed(hint) => self.meta.committed = Some(Bytes::copy_from_slice(hint)),
                Record::Truncate(index) => {
                    self.index.truncate_after(index);
                    let truncated = self.view.truncate_after(index);
                    truncated
                        .map_err(|_| malformed(segment, offset, "truncated below the purge"))?;
                }
                Record::Purge(upto) => {
                    if self.view.purge(upto) {
                        self.index.purge(upto.index);
                        self.meta.purged = Some(upto);
                    }
                }
            }
        }
        Ok(())
    }

    /// The highest entry index since the last call.
    pub fn take_top(&mut self) -> Option<u64> {
        self.top.take()
    }

    /// Checks what only the whole log can tell: that no entry is missing at its start.
    pub fn finish(&self, segments: &[Arc<Segment>]) -> Result<(), Error> {
        let Some(first) = segments.first() else {
            return Ok(());
        };
        let range = self.view.range();
        let whole = match self.view.purged() {
            Some(purged) => range.is_empty() || purged.index.checked_add(1) == Some(range.start),
            None => first.header.sequence == 1,
        };
        if whole {
            Ok(())
        } else {
            Err(malformed(
                first,
                0,
                "entries before the first segment are missing",
            ))
        }
    }
}

/// Checks the body of a batch; `bytes` may be cut short by the end of the file.
fn check(segment: &Segment, bytes: &[u8], header: BatchHeader, offset: u64) -> Result<(), Error> {
    match batch::check_body(bytes, header, segment.header.generation, offset) {
        Err(BadBody::Record(at, mismatch)) => Err(checksum(segment, offset + at as u64, mismatch)),
        Err(BadBody::Count) => Err(malformed(segment, offset, "records are missing in a batch")),
        Ok(()) if bytes.len() < BATCH_HEADER + header.body => {
            Err(malformed(segment, offset, "a batch is cut short"))
        }
        Ok(()) => Ok(()),
    }
}

fn checksum(segment: &Segment, offset: u64, Mismatch { expected, actual }: Mismatch) -> Error {
    Error::Checksum {
        file: segment.path.clone(),
        offset,
        expected,
        actual,
    }
}

fn malformed(segment: &Segment, offset: u64, what: &'static str) -> Error {
    Error::Malformed {
        file: segment.path.clone(),
        offset,
        what,
    }
}
