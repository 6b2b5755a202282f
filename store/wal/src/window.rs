//! Forward reading of a segment through one reused buffer.

use crate::Error;
use crate::segment::Segment;

/// Bytes read at a time.
const STEP: u64 = 1 << 20;

/// A buffer that slides over a segment.
pub(crate) struct Window<'a> {
    segment: &'a Segment,
    /// Where the segment ends: its capacity, or the file's length if that is less.
    pub end: u64,
    start: u64,
    buf: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(segment: &'a Segment) -> Result<Self, Error> {
        let len = segment
            .file
            .len()
            .map_err(|e| Error::io("measure", &segment.path, e))?;
        let end = len.min(segment.header.capacity);
        Ok(Self {
            segment,
            end,
            start: 0,
            buf: Vec::new(),
        })
    }

    /// The bytes at `offset`, or as many of them as there are before the end.
    pub fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        let stop = offset.saturating_add(len as u64).min(self.end);
        let held = self.start..self.start + self.buf.len() as u64;
        if offset < held.start || stop > held.end {
            let upto = stop.max(offset.saturating_add(STEP).min(self.end));
            let bytes = usize::try_from(upto.saturating_sub(offset)).unwrap_or(0);
            self.buf.resize(bytes, 0);
            self.start = offset;
            let read = self.segment.file.read_at(&mut self.buf, offset);
            if let Err(error) = read {
                self.buf.clear();
                return Err(Error::io("read", &self.segment.path, error));
            }
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let to = usize::try_from(stop.saturating_sub(self.start)).unwrap_or(0);
        Ok(self.buf.get(from..to).unwrap_or_default())
    }
}
