//! Events as they go over the wire, encoded once for all watches.

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_mvcc::Change;
use mainstay_proto::mvccpb::KeyValue;
use prost::{
    Message,
    encoding::{encode_varint, encoded_len_varint},
};

/// Bookkeeping of one event beside its encoded bytes, for the ring's budget.
const EVENT_OVERHEAD: usize = 160;

/// Tag of `WatchResponse.events`: field 11, length-delimited.
const EVENTS_TAG: u8 = 11 << 3 | 2;
/// Tags of `Event`: `type` (varint), `kv` and `prev_kv` (length-delimited).
const TYPE_TAG: u8 = 1 << 3;
const KV_TAG: u8 = 2 << 3 | 2;
const PREV_KV_TAG: u8 = 3 << 3 | 2;
/// `Event.type` of a delete; a put is 0 and so not on the wire.
const TYPE_DELETE: u8 = 1;

/// All changes of one main revision, in the order of the operations.
#[derive(Debug)]
pub(crate) struct Revision {
    pub main: i64,
    pub events: Vec<Event>,
    /// What it costs to keep, in bytes.
    pub bytes: usize,
}

/// One change, ready to be appended to an encoded `WatchResponse`: tag and length are in front.
#[derive(Debug)]
pub(crate) struct Event {
    pub delete: bool,
    /// A slice of `plain`.
    pub key: Bytes,
    plain: Bytes,
    with_prev: WithPrev,
}

#[derive(Debug)]
enum WithPrev {
    /// There was no record before, or it is compacted.
    Absent,
    Encoded(Bytes),
    /// Nobody wanted it when the change was applied: the history of the store knows.
    Unknown,
}

/// Groups changes by revision and encodes them. With `prev_known`, a change without a record
/// before it has none; otherwise only the creation of a key has surely none.
pub(crate) fn encode(mut changes: Vec<Change>, prev_known: bool) -> Vec<Revision> {
    before_their_revision(&mut changes);
    let mut revisions: Vec<Revision> = Vec::new();
    for change in changes {
        let main = change.revision;
        let event = Event::encode(&change, prev_known);
        let bytes = event.bytes();
        match revisions.last_mut() {
            Some(last) if last.main == main => {
                last.events.push(event);
                last.bytes += bytes;
            }
            _ => revisions.push(Revision {
                main,
                events: vec![event],
                bytes,
            }),
        }
    }
    revisions
}

/// The record before an event is the one before its whole revision (etcd): where a txn changes a
/// key twice, the second change is shown with what was there before the first.
fn before_their_revision(changes: &mut [Change]) {
    for at in 1..changes.len() {
        let (earlier, rest) = changes.split_at_mut(at);
        let Some(change) = rest.first_mut() else {
            return;
        };
        let inside = |prev: &KeyValue| prev.mod_revision == change.revision;
        if change.prev.as_ref().is_some_and(inside) {
            change.prev = earlier
                .iter()
                .find(|first| first.revision == change.revision && first.kv.key == change.kv.key)
                .and_then(|first| first.prev.clone());
        }
    }
}

impl Revision {
    /// Whether a watch that wants the record before would find it missing here.
    pub(crate) fn lacks_prev(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event.with_prev, WithPrev::Unknown))
    }
}

impl Event {
    fn encode(change: &Change, prev_known: bool) -> Event {
        let plain = body(change, None);
        let with_prev = match &change.prev {
            Some(prev) => WithPrev::Encoded(body(change, Some(prev))),
            None if prev_known || is_creation(change) => WithPrev::Absent,
            None => WithPrev::Unknown,
        };
        let key = key_within(&plain, change);
        Event {
            delete: change.delete,
            key,
            plain,
            with_prev,
        }
    }

    /// The bytes for a watch; `None` if it wants the record before and that is not known here.
    pub(crate) fn wire(&self, want_prev: bool) -> Option<&Bytes> {
        match &self.with_prev {
            _ if !want_prev => Some(&self.plain),
            WithPrev::Absent => Some(&self.plain),
            WithPrev::Encoded(bytes) => Some(bytes),
            WithPrev::Unknown => None,
        }
    }

    fn bytes(&self) -> usize {
        let with_prev = match &self.with_prev {
            WithPrev::Encoded(bytes) => bytes.len(),
            WithPrev::Absent | WithPrev::Unknown => 0,
        };
        EVENT_OVERHEAD + self.plain.len() + with_prev
    }
}

fn is_creation(change: &Change) -> bool {
    !change.delete && change.kv.version <= 1
}

fn body(change: &Change, prev: Option<&KeyValue>) -> Bytes {
    let nested = |kv: &KeyValue| {
        let len = kv.encoded_len();
        1 + encoded_len_varint(len as u64) + len
    };
    let kind = if change.delete { 2 } else { 0 };
    let len = kind + nested(&change.kv) + prev.map_or(0, nested);
    let mut out = BytesMut::with_capacity(1 + encoded_len_varint(len as u64) + len);
    out.put_u8(EVENTS_TAG);
    encode_varint(len as u64, &mut out);
    if change.delete {
        out.put_slice(&[TYPE_TAG, TYPE_DELETE]);
    }
    put_nested(&mut out, KV_TAG, &change.kv);
    if let Some(prev) = prev {
        put_nested(&mut out, PREV_KV_TAG, prev);
    }
    out.freeze()
}

fn put_nested(out: &mut BytesMut, tag: u8, kv: &KeyValue) {
    out.put_u8(tag);
    encode_varint(kv.encoded_len() as u64, out);
    kv.encode_raw(out);
}

/// The key inside the encoded event: the first field of `kv`, so no second copy is kept.
fn key_within(plain: &Bytes, change: &Change) -> Bytes {
    let key_len = change.kv.key.len();
    let kv_len = change.kv.encoded_len();
    if key_len == 0 {
        return Bytes::new();
    }
    let into_kv = 1 + encoded_len_varint(key_len as u64);
    let end = plain.len() - (kv_len - into_kv - key_len);
    plain.slice(end - key_len..end)
}

#[cfg(test)]
mod tests {
    use mainstay_proto::{etcdserverpb::WatchResponse, mvccpb};

    use super::*;

    fn kv(key: &'static [u8], value: usize, version: i64) -> KeyValue {
        KeyValue {
            key: Bytes::from_static(key),
            create_revision: 3,
            mod_revision: 9,
            version,
            value: vec![7; value].into(),
            lease: 0,
        }
    }

    fn decoded(bytes: &Bytes) -> mvccpb::Event {
        let mut response = WatchResponse::decode(bytes.clone()).expect("a watch response");
        response.events.remove(0)
    }

    #[test]
    fn an_encoded_event_is_what_prost_would_make_of_it() {
        for (value, key) in [(0, &b"k"[..]), (200, b"key"), (20_000, &[b'x'; 300])] {
            let prev = kv(b"k", value, 1);
            let change = Change {
                revision: 9,
                sub: 0,
                delete: false,
                kv: KeyValue {
                    key: Bytes::copy_from_slice(key),
                    ..kv(b"", value, 2)
                },
                prev: Some(prev.clone()),
            };
            let event = Event::encode(&change, false);
            assert_eq!(event.key, key);
            let plain = decoded(event.wire(false).expect("plain"));
            assert_eq!((plain.kv, plain.prev_kv), (Some(change.kv.clone()), None));
            let full = decoded(event.wire(true).expect("with prev"));
            assert_eq!((full.kv, full.prev_kv), (Some(change.kv), Some(prev)));
        }
    }

    #[test]
    fn the_second_change_of_a_key_in_a_revision_shows_what_was_before_the_first() {
        let old = KeyValue {
            mod_revision: 4,
            ..kv(b"k", 1, 1)
        };
        let put = |sub, version, prev| Change {
            revision: 9,
            sub,
            delete: false,
            kv: kv(b"k", 2, version),
            prev,
        };
        let changes = vec![
            put(0, 2, Some(old.clone())),
            put(1, 3, Some(kv(b"k", 2, 2))),
        ];
        let revisions = encode(changes, true);
        for event in &revisions[0].events {
            let shown = decoded(event.wire(true).expect("known")).prev_kv;
            assert_eq!(shown, Some(old.clone()));
        }
    }

    #[test]
    fn a_delete_says_so_and_an_unknown_record_before_is_not_passed_off_as_none() {
        let gone = KeyValue {
            key: "k".into(),
            mod_revision: 9,
            ..KeyValue::default()
        };
        let change = Change {
            revision: 9,
            sub: 0,
            delete: true,
            kv: gone.clone(),
            prev: None,
        };
        let event = Event::encode(&change, false);
        assert_eq!(event.key, "k");
        let plain = decoded(event.wire(false).expect("plain"));
        assert_eq!(plain.r#type, mvccpb::event::EventType::Delete as i32);
        assert_eq!(plain.kv, Some(gone));
        assert!(event.wire(true).is_none());
        assert!(Event::encode(&change, true).wire(true).is_some());
    }
}
