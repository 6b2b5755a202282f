//! Reading entries: from memory if they are still there, else from disk, checked.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::{self, Mismatch, RECORD_HEADER, Record};
use crate::segment::Segment;
use crate::shared::{LogState, Shared};
use crate::{Entry, EntryId, Error};

/// Bytes read from disk at a time, unless one record is larger. The positions are gathered under
/// the lock that appends need, so it is no more than some hundreds of entries.
const SPAN_BYTES_MAX: u64 = 256 << 10;

/// Entries of one segment that lie close together, read at once.
struct Span {
    segment: Arc<Segment>,
    start: u64,
    end: u64,
    /// Each entry's offset in the segment and its id.
    entries: Vec<(u64, EntryId)>,
}

/// See [`crate::Wal::read`].
pub(crate) fn read(
    shared: &Shared,
    from: u64,
    to_exclusive: u64,
    bytes_max: usize,
) -> Result<Vec<Entry>, Error> {
    let mut out: Vec<Entry> = Vec::new();
    let (mut at, mut bytes) = (from, 0);
    loop {
        let state = shared.state.lock();
        state.healthy()?;
        let range = state.view.range();
        let to = to_exclusive.min(range.end);
        if !range.contains(&at) || at >= to {
            return Ok(out);
        }
        if state.view.tail.first().is_some_and(|first| first <= at) {
            for entry in state
                .view
                .tail
                .from(at)
                .take_while(|entry| entry.id.index < to)
            {
                bytes += entry.payload.len();
                if bytes > bytes_max && !out.is_empty() {
                    break;
                }
                out.push(entry.clone());
            }
            return Ok(out);
        }
        let Some(span) = plan(&state, at, to, &mut bytes, bytes_max, !out.is_empty()) else {
            return Ok(out);
        };
        drop(state);
        match fetch(&span) {
            Ok(entries) => out.extend(entries),
            // The segment was recycled under the reader if its entries were purged meanwhile.
            Err(_) if !shared.state.lock().view.range().contains(&at) => return Ok(out),
            Err(error) => return Err(error),
        }
        at = out.last().map_or(to, |entry| entry.id.index + 1);
    }
}

/// What to read next from disk; `None` if the next entry would exceed `bytes_max`.
fn plan(
    state: &LogState,
    from: u64,
    to: u64,
    bytes: &mut usize,
    bytes_max: usize,
    has_some: bool,
) -> Option<Span> {
    let to = state.view.tail.first().map_or(to, |first| first.min(to));
    let mut span: Option<Span> = None;
    for index in from..to {
        let (Some(place), Some(id)) = (state.index.get(index), state.view.id_of(index)) else {
            break;
        };
        let end = place.offset + (RECORD_HEADER + place.payload) as u64;
        *bytes += place.payload;
        if *bytes > bytes_max && (has_some || span.is_some()) {
            break;
        }
        match &mut span {
            None => {
                let entries = vec![(place.offset, id)];
                span = Some(Span {
                    segment: Arc::clone(place.segment),
                    start: place.offset,
                    end,
                    entries,
                });
            }
            Some(span)
                if Arc::ptr_eq(&span.segment, place.segment)
                    && end - span.start <= SPAN_BYTES_MAX =>
            {
                span.end = end;
                span.entries.push((place.offset, id));
            }
            Some(_) => {
                *bytes -= place.payload;
                break;
            }
        }
    }
    span
}

/// Reads and checks; no byte that fails its checksum leaves this function.
fn fetch(span: &Span) -> Result<Vec<Entry>, Error> {
    let Segment { path, file, header } = &*span.segment;
    let mut buf = vec![0; usize::try_from(span.end - span.start).unwrap_or(0)];
    file.read_at(&mut buf, span.start)
        .map_err(|e| Error::io("read", path, e))?;
    let buf = Bytes::from(buf);
    let mut out = Vec::with_capacity(span.entries.len());
    for &(offset, id) in &span.entries {
        let at = usize::try_from(offset - span.start).unwrap_or(usize::MAX);
        let bytes = buf.get(at..).unwrap_or_default();
        record::verify(bytes, header.generation, offset).map_err(
            |Mismatch { expected, actual }| Error::Checksum {
                file: path.clone(),
                offset,
                expected,
                actual,
            },
        )?;
        match record::decode(bytes) {
            Some(Record::Entry {
                id: found,
                kind,
                payload,
            }) if found == id => {
                out.push(Entry {
                    id,
                    kind,
                    payload: buf.slice_ref(payload),
                });
            }
            _ => {
                let what = "another record is where an entry was written";
                return Err(Error::Malformed {
                    file: path.clone(),
                    offset,
                    what,
                });
            }
        }
    }
    Ok(out)
}
