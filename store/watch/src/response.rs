//! Responses of a stream, encoded.

use bytes::{Bytes, BytesMut};
use mainstay_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use prost::Message;

use crate::HeaderIds;

/// One complete encoded `WatchResponse`.
pub type Frame = Bytes;

/// Frames are cut from buffers of this many bytes, so that small ones need no allocation each.
const BUFFER_BYTES: usize = 32 << 10;

/// A watch id that stands for none (etcd's).
pub(crate) const NO_WATCH: i64 = -1;

/// What waits to be pulled.
#[derive(Debug)]
pub(crate) enum Out {
    Control(WatchResponse),
    Events(Due),
}

/// Events of one watch. They are shared bytes; the response is put together when it is pulled.
#[derive(Debug)]
pub(crate) struct Due {
    pub watch_id: i64,
    pub revision: i64,
    pub events: Vec<Bytes>,
    /// How many of them have been sent in earlier fragments.
    pub sent: usize,
    pub fragment: bool,
}

/// A response without ids and events.
pub(crate) fn bare(watch_id: i64, revision: i64) -> WatchResponse {
    let header = Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    });
    WatchResponse {
        header,
        watch_id,
        ..WatchResponse::default()
    }
}

/// Puts frames together.
#[derive(Debug)]
pub(crate) struct Encoder {
    buffer: BytesMut,
    fragment_bytes_max: usize,
}

impl Encoder {
    pub(crate) fn new(fragment_bytes_max: usize) -> Encoder {
        Encoder {
            buffer: BytesMut::new(),
            fragment_bytes_max,
        }
    }

    pub(crate) fn control(&mut self, ids: HeaderIds, mut response: WatchResponse) -> Frame {
        fill(&mut response, ids);
        self.frame(&response, &[])
    }

    /// The next frame, and how many events it holds: all that are left, or as many as stay below
    /// the fragment limit, though at least one.
    pub(crate) fn events(&mut self, ids: HeaderIds, due: &mut Due) -> (Frame, usize) {
        let mut response = bare(due.watch_id, due.revision);
        fill(&mut response, ids);
        let left = due.events.get(due.sent..).unwrap_or(&[]);
        let mut count = left.len();
        if due.fragment {
            // The mark of a fragment takes two bytes more.
            count = fitting(left, response.encoded_len() + 2, self.fragment_bytes_max);
            response.fragment = count < left.len();
        }
        let frame = self.frame(&response, left.get(..count).unwrap_or(left));
        due.sent += count;
        (frame, count)
    }

    fn frame(&mut self, response: &WatchResponse, events: &[Bytes]) -> Frame {
        let len = response.encoded_len() + events.iter().map(Bytes::len).sum::<usize>();
        if self.buffer.capacity() < len {
            self.buffer = BytesMut::with_capacity(len.max(BUFFER_BYTES));
        }
        response.encode_raw(&mut self.buffer);
        for event in events {
            self.buffer.extend_from_slice(event);
        }
        self.buffer.split().freeze()
    }
}

fn fill(response: &mut WatchResponse, ids: HeaderIds) {
    if let Some(header) = &mut response.header {
        header.cluster_id = ids.cluster_id;
        header.member_id = ids.member_id;
        header.raft_term = ids.raft_term;
    }
}

/// How many events stay below the limit together with `size` bytes; one if not even that does.
fn fitting(events: &[Bytes], mut size: usize, limit: usize) -> usize {
    for (count, event) in events.iter().enumerate() {
        size += event.len();
        if size >= limit {
            return count.max(1);
        }
    }
    events.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(sizes: &[usize], fragment: bool) -> Due {
        let event = |size: &usize| {
            // An event with nothing but a value of that many bytes.
            let value = vec![1; *size].into();
            let kv = Some(mainstay_proto::mvccpb::KeyValue {
                value,
                ..Default::default()
            });
            let event = mainstay_proto::mvccpb::Event {
                kv,
                ..Default::default()
            };
            let response = WatchResponse {
                events: vec![event],
                ..WatchResponse::default()
            };
            Bytes::from(response.encode_to_vec())
        };
        let events = sizes.iter().map(event).collect();
        Due {
            watch_id: 3,
            revision: 8,
            events,
            sent: 0,
            fragment,
        }
    }

    fn frames(encoder: &mut Encoder, mut due: Due) -> Vec<(WatchResponse, usize)> {
        let ids = HeaderIds {
            cluster_id: 1,
            member_id: 2,
            raft_term: 4,
        };
        let mut frames = Vec::new();
        while due.sent < due.events.len() {
            let (frame, _) = encoder.events(ids, &mut due);
            frames.push((
                WatchResponse::decode(frame.clone()).expect("own frame"),
                frame.len(),
            ));
        }
        frames
    }

    #[test]
    fn fragments_stay_below_the_limit_and_all_but_the_last_say_so() {
        let mut encoder = Encoder::new(1000);
        let sizes = [300, 300, 300, 300, 5000, 10];
        let sent = frames(&mut encoder, due(&sizes, true));
        let counts: Vec<_> = sent.iter().map(|(r, _)| r.events.len()).collect();
        assert_eq!(counts, [3, 1, 1, 1]);
        let marks: Vec<_> = sent.iter().map(|(r, _)| r.fragment).collect();
        assert_eq!(marks, [true, true, true, false]);
        assert!(
            sent.iter()
                .all(|(r, len)| *len < 1000 || r.events.len() == 1)
        );
        let header = sent[0].0.header.as_ref().expect("a header");
        assert_eq!((header.cluster_id, header.member_id), (1, 2));
        assert_eq!(
            (header.revision, header.raft_term, sent[0].0.watch_id),
            (8, 4, 3)
        );
    }

    #[test]
    fn without_fragments_a_response_has_no_limit() {
        let sent = frames(&mut Encoder::new(1000), due(&[900, 900, 900], false));
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0.events.len(), 3);
        assert!(!sent[0].0.fragment);
    }
}
