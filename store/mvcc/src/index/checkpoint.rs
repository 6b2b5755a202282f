//! A sorted copy of the index on disk, so that a start need not read every record.
//!
//! It is written while writers go on: a key is copied as it is when its turn comes, and the
//! records after the revision at which the writing began are replayed over it at the next start.
//! That is sound as long as those records exist: the store is flushed before the copy takes its
//! name, and no tombstone after that revision is removed before the next copy (`compaction.rs`).

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::{
    Index, Latest,
    tree::Loader,
    versions::{Version, Versions},
};
use crate::{Error, directory, range::Bounds, revision::Revision, store::Inner, varint};

/// First bytes of the file; the last two are the version of the format.
const MAGIC: &[u8; 10] = b"MVCCINDX01";
/// Keys copied under one hold of the index lock, and in one block of the file.
const BLOCK_KEYS: usize = 2048;
/// Longest block that is read, in bytes: keys are limited by the size of requests, far below this.
const BLOCK_BYTES_MAX: u32 = 1 << 30;
/// Versions of one key in a list; only a bound for what a damaged file can make us reserve.
const LIST_MAX: usize = 1 << 32;

/// An index read back.
pub(crate) struct Loaded {
    pub index: Index,
    /// Records after this main revision are to be replayed.
    pub from: i64,
    /// Newest main revision it may contain.
    pub to: i64,
}

pub(crate) fn path(database: &Path) -> PathBuf {
    database.with_extension(directory::INDEX)
}

/// Writes the index and flushes the store. Returns the revision the copy holds for.
pub(crate) fn write(inner: &Inner, database: &Path) -> Result<i64, Error> {
    let target = path(database);
    let new = target.with_extension(directory::INDEX_NEW);
    let from = inner.revision();
    let mut file = BufWriter::new(File::create(&new)?);
    file.write_all(MAGIC)?;
    let mut head = from.to_le_bytes().to_vec();
    head.extend_from_slice(&inner.db.identity()?);
    put_block(&mut file, &head)?;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let (block, last) = encode_block(inner, &rest);
        let Some(last) = last else { break };
        put_block(&mut file, &block)?;
        rest = last;
        rest.push(0);
    }
    // An empty block ends the keys, then comes the newest revision any of them may have.
    put_block(&mut file, &[])?;
    put_block(&mut file, &inner.revision().to_le_bytes())?;
    file.into_inner()
        .map_err(|error| error.into_error())?
        .sync_all()?;
    inner.db.flush()?;
    fs::rename(&new, &target)?;
    if let Some(dir) = target.parent() {
        directory::sync_dir(dir)?;
    }
    Ok(from)
}

/// Encodes the keys from `from` on; also returns the last of them.
fn encode_block(inner: &Inner, from: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut block, mut last, mut keys) = (Vec::new(), None::<Vec<u8>>, 0);
    let shared = inner.shared.read();
    let index = &shared.index;
    index.walk(&Bounds::Span { from, end: None }, false, |key, latest| {
        encode(
            &mut block,
            last.as_deref().unwrap_or_default(),
            key,
            latest,
            &index.versions,
        );
        let previous = last.get_or_insert_default();
        previous.clear();
        previous.extend_from_slice(key);
        keys += 1;
        match keys < BLOCK_KEYS {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    (block, last)
}

/// A key is stored as what it adds to the one before it in its block.
fn encode(out: &mut Vec<u8>, previous: &[u8], key: &[u8], latest: &Latest, versions: &Versions) {
    let common = previous.iter().zip(key).take_while(|(a, b)| a == b).count();
    let added = key.get(common..).unwrap_or_default();
    varint::put(out, common as u64);
    varint::put(out, added.len() as u64);
    out.extend_from_slice(added);
    varint::put(out, latest.main.unsigned_abs());
    varint::put(out, latest.create.unsigned_abs());
    varint::put(out, latest.version.unsigned_abs());
    varint::put(out, latest.lease as u64);
    varint::put(out, latest.sub.into());
    varint::put(out, latest.value_len.into());
    varint::put(out, latest.chain.into());
    varint::put(out, versions.list(key).count() as u64);
    for version in versions.list(key) {
        varint::put(out, version.revision.main.unsigned_abs());
        varint::put(
            out,
            u64::from(version.revision.sub) << 1 | u64::from(version.tombstone),
        );
    }
}

fn put_block(file: &mut impl Write, block: &[u8]) -> Result<(), Error> {
    let len = u32::try_from(block.len()).map_err(|_| Error::corrupt("an index block too long"))?;
    file.write_all(&len.to_le_bytes())?;
    file.write_all(&crc32c::crc32c(block).to_le_bytes())?;
    Ok(file.write_all(block)?)
}

fn take_block(file: &mut impl Read) -> Result<Vec<u8>, Error> {
    let (mut len, mut crc) = ([0; 4], [0; 4]);
    file.read_exact(&mut len)?;
    file.read_exact(&mut crc)?;
    let len = u32::from_le_bytes(len);
    if len > BLOCK_BYTES_MAX {
        return Err(Error::corrupt("a block of the index copy is too long"));
    }
    let mut block = Vec::new();
    file.take(len.into()).read_to_end(&mut block)?;
    if block.len() as u64 != u64::from(len) || crc32c::crc32c(&block) != u32::from_le_bytes(crc) {
        return Err(Error::corrupt("a block of the index copy is damaged"));
    }
    Ok(block)
}

/// Reads the copy beside `database`, if there is one of this very database. Tombstones below
/// `removed` are left out: their records are gone and nothing would ever take them out again.
pub(crate) fn read(
    database: &Path,
    identity: &[u8],
    removed: i64,
) -> Result<Option<Loaded>, Error> {
    let mut file = match File::open(path(database)) {
        Ok(file) => BufReader::with_capacity(1 << 20, file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(Error::corrupt("the index copy has an unknown format"));
    }
    let head = take_block(&mut file)?;
    let mut head = head.as_slice();
    let from = take_fixed(&mut head)?;
    if head != identity {
        return Err(Error::corrupt("the index copy is of another database"));
    }
    let (mut loader, mut versions, mut last) = (Loader::default(), Versions::default(), None);
    loop {
        let block = take_block(&mut file)?;
        if block.is_empty() {
            break;
        }
        let mut input = block.as_slice();
        let mut key = Vec::new();
        while !input.is_empty() {
            let (latest, list) = decode(&mut input, &mut key)?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(Error::corrupt("the index copy is out of order"));
            }
            last = Some(key.clone());
            if !(latest.tombstone() && latest.main < removed) {
                loader.push(&key, latest);
                versions.restore(&key, list);
            }
        }
    }
    let to = take_fixed(&mut take_block(&mut file)?.as_slice())?;
    Ok(Some(Loaded {
        index: Index {
            tree: loader.finish(),
            versions,
        },
        from,
        to,
    }))
}

fn decode(input: &mut &[u8], key: &mut Vec<u8>) -> Result<(Latest, VecDeque<Version>), Error> {
    let common = usize::try_from(varint::take(input)?).unwrap_or(usize::MAX);
    let added = usize::try_from(varint::take(input)?).unwrap_or(usize::MAX);
    if common > key.len() {
        return Err(Error::corrupt("a key of the index copy has no beginning"));
    }
    key.truncate(common);
    key.extend_from_slice(varint::take_bytes(input, added)?);
    let latest = Latest {
        main: varint::take_i64(input)?,
        create: varint::take_i64(input)?,
        version: varint::take_i64(input)?,
        lease: varint::take(input)? as i64,
        sub: varint::take_u32(input)?,
        value_len: varint::take_u32(input)?,
        chain: varint::take_u32(input)?,
    };
    let mut list = VecDeque::new();
    for _ in 0..usize::try_from(varint::take(input)?).unwrap_or(LIST_MAX) {
        let main = varint::take_i64(input)?;
        let packed = varint::take(input)?;
        let sub = u32::try_from(packed >> 1).unwrap_or(u32::MAX);
        let revision = Revision::new(main, sub);
        list.push_back(Version {
            revision,
            tombstone: packed & 1 == 1,
        });
    }
    Ok((latest, list))
}

fn take_fixed(input: &mut &[u8]) -> Result<i64, Error> {
    let bytes = varint::take_bytes(input, 8)?;
    let bytes = bytes
        .first_chunk::<8>()
        .ok_or_else(|| Error::corrupt("a number is cut"))?;
    Ok(i64::from_le_bytes(*bytes))
}
