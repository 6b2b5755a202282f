//! What the tests share.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use mainstay_snapshot::Error;
use mainstay_snapshot::bbolt::{Db, Writer};

/// Buckets with their rows.
pub type Buckets = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

pub fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn bytes(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn write(buckets: &Buckets) -> Vec<u8> {
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    for (name, rows) in buckets {
        let mut bucket = writer.bucket(name);
        for (key, value) in rows {
            bucket.put(key, value).unwrap();
        }
        bucket.finish().unwrap();
    }
    bytes(writer.finish().unwrap())
}

pub fn read(bytes: &[u8]) -> Result<Buckets, Error> {
    let db = Db::open(file(bytes), bytes.len() as u64)?;
    let mut pass = db.pass();
    let mut all = Buckets::new();
    for bucket in pass.buckets()? {
        let mut rows = BTreeMap::new();
        pass.rows(&bucket, |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(())
        })?;
        all.insert(bucket.name, rows);
    }
    Ok(all)
}

/// Rows of equal size, `count` of them.
pub fn rows(count: usize, value_bytes: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let row = |at: usize| (format!("{at:08}").into_bytes(), vec![at as u8; value_bytes]);
    (0..count).map(row).collect()
}
