//! The writer against the reader.

use mainstay_snapshot::Error;
use mainstay_snapshot::bbolt::Writer;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::support::{Buckets, read, rows, write};

/// Values around the sizes at which a page is full, and some that need several.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..60),
        4 => vec(any::<u8>(), 900..1100),
        2 => vec(any::<u8>(), 4000..4200),
        1 => vec(any::<u8>(), 8000..20_000),
    ]
}

fn buckets() -> impl Strategy<Value = Buckets> {
    let key = vec(any::<u8>(), 1..40);
    let rows = btree_map(key, value(), 0..120);
    btree_map(vec(any::<u8>(), 1..12), rows, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_written_is_read(buckets in buckets()) {
        let bytes = write(&buckets);
        prop_assert_eq!(bytes.len() % 4096, 0);
        prop_assert_eq!(read(&bytes).unwrap(), buckets);
    }
}

#[test]
fn trees_of_every_height_are_read() {
    // With values of a quarter page a leaf has three rows, so levels come soon.
    for count in [0, 1, 2, 3, 4, 500, 501, 502, 503, 3000, 40_000] {
        let rows = rows(count, 1200);
        let one = Buckets::from([(b"key".to_vec(), rows)]);
        assert!(read(&write(&one)).unwrap() == one, "{count} rows");
    }
}

#[test]
fn keys_as_long_as_bbolt_holds_are_read() {
    let long = |at: u8| (vec![at; 32_768], vec![at]);
    let rows = (0..40).map(long).collect();
    let one = Buckets::from([(b"b".to_vec(), rows)]);
    assert!(read(&write(&one)).unwrap() == one);
}

#[test]
fn what_bbolt_cannot_hold_is_refused() {
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    let mut bucket = writer.bucket(b"b");
    assert!(matches!(bucket.put(b"", b""), Err(Error::Order)));
    bucket.put(b"k", b"").unwrap();
    assert!(matches!(bucket.put(b"k", b""), Err(Error::Order)));
    assert!(matches!(bucket.put(b"j", b""), Err(Error::Order)));
    let long = bucket.put(&[b'z'; 32_769], b"");
    assert!(matches!(long, Err(Error::TooLarge { what: "key", .. })));
}
