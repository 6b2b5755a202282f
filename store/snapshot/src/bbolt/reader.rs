//! Reads a file that may come from anywhere: every number in it is checked before it is used, a
//! page is visited at most once, so that reading ends, and one page of each level is in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::meta::{META_BYTES, Meta, PAGE_BYTES_MAX, PAGE_BYTES_MIN};
use super::page::{self, BRANCH, BUCKET_BYTES, HEADER_BYTES, Header, LEAF, u64_at};
use crate::Error;

/// Levels of a tree; with 4096-byte pages six hold more than any disk.
const DEPTH_MAX: usize = 32;
/// Bytes of one page with all that belongs to it. The largest value is a request's size, of which
/// bbolt puts at least two on a page.
const NODE_BYTES_MAX: u64 = 1 << 30;
/// Buckets of a file; etcd has ten.
const BUCKETS_MAX: usize = 256;

/// An open file.
pub struct Db {
    file: File,
    meta: Meta,
}

/// A bucket found in a file.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub name: Vec<u8>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Root(u64),
    /// A leaf page of its own, inside its parent's value.
    Inline(Vec<u8>),
}

/// One way through a file. Buckets may be read in any order, each once.
pub struct Pass<'a> {
    db: &'a Db,
    seen: Seen,
}

impl Db {
    /// Opens a file of which the first `bytes` are bbolt's.
    pub fn open(file: File, bytes: u64) -> Result<Db, Error> {
        let meta = newest_meta(&file, bytes)?;
        let needed = meta.pages.checked_mul(u64::from(meta.page_bytes));
        match needed {
            Some(needed) if needed <= bytes => {}
            _ => {
                return Err(Error::damaged(format!(
                    "it has {bytes} bytes but says it has {} pages of {}",
                    meta.pages, meta.page_bytes
                )));
            }
        }
        Ok(Db { file, meta })
    }

    /// Bytes of all pages in use, as etcd counts a database's size.
    pub fn bytes(&self) -> u64 {
        self.meta.pages.saturating_mul(self.meta.page_bytes.into())
    }

    /// Begins a pass over the file.
    pub fn pass(&self) -> Pass<'_> {
        Pass {
            db: self,
            seen: Seen::new(self.meta.pages),
        }
    }

    /// Reads a page with all that belongs to it.
    fn node(&self, id: u64) -> Result<(Header, Vec<u8>), Error> {
        let outside = || Error::damaged(format!("page {id} is outside of the file"));
        let page_bytes = u64::from(self.meta.page_bytes);
        let start = id.checked_mul(page_bytes).ok_or_else(outside)?;
        if id >= self.meta.pages {
            return Err(outside());
        }
        let mut head = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut head, start)?;
        let header = Header::read(&head)?;
        if header.id != id {
            return Err(Error::damaged(format!(
                "page {id} says that it is page {}",
                header.id
            )));
        }
        let count = u64::from(header.overflow) + 1;
        let bytes = count * page_bytes;
        if id.saturating_add(count) > self.meta.pages || bytes > NODE_BYTES_MAX {
            return Err(Error::damaged(format!("page {id} has no end")));
        }
        let mut node = vec![0; usize::try_from(bytes).map_err(|_| outside())?];
        self.file.read_exact_at(&mut node, start)?;
        Ok((header, node))
    }
}

/// The valid meta with the higher transaction. The second stands one page after the first; where
/// the first is broken nobody knows how long a page is, so every size is tried (as in bbolt).
fn newest_meta(file: &File, bytes: u64) -> Result<Meta, Error> {
    let read = |start: u64| -> Result<Option<Meta>, Error> {
        let mut page = [0; META_BYTES];
        if start.saturating_add(META_BYTES as u64) > bytes {
            return Ok(None);
        }
        file.read_exact_at(&mut page, start)?;
        Meta::read(&page)
    };
    let first = read(0)?;
    let mut second = None;
    let mut size = first.map_or(PAGE_BYTES_MIN, |meta| meta.page_bytes);
    let last = first.map_or(PAGE_BYTES_MAX, |meta| meta.page_bytes);
    while second.is_none() && size <= last {
        second = read(size.into())?.filter(|meta| meta.page_bytes == size);
        size = size.saturating_mul(2);
    }
    let newest = [first, second]
        .into_iter()
        .flatten()
        .max_by_key(|meta| meta.transaction);
    newest.ok_or_else(|| Error::damaged("it is no bbolt database"))
}

impl Pass<'_> {
    /// The buckets of the file, by name.
    pub fn buckets(&mut self) -> Result<Vec<Bucket>, Error> {
        let mut buckets = Vec::new();
        let root = Place::Root(self.db.meta.root);
        self.walk(&root, &mut |row| {
            if !row.is_bucket {
                return Err(Error::damaged("a row stands outside of all buckets"));
            }
            if buckets.len() >= BUCKETS_MAX {
                return Err(Error::damaged("it has too many buckets"));
            }
            buckets.push(Bucket {
                name: row.key.to_vec(),
                place: place(row.value)?,
            });
            Ok(())
        })?;
        Ok(buckets)
    }

    /// Hands over the rows of a bucket in the order of their keys. An error of `take` ends it.
    pub fn rows(
        &mut self,
        bucket: &Bucket,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.walk(&bucket.place, &mut |row| match row.is_bucket {
            true => Err(Error::damaged("a bucket stands inside of another")),
            false => take(row.key, row.value),
        })
    }

    fn walk(
        &mut self,
        place: &Place,
        take: &mut dyn FnMut(page::Row<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut order = Order::default();
        let root = match place {
            Place::Inline(leaf) => return leaf_rows(leaf, Header::read(leaf)?, &mut order, take),
            Place::Root(root) => *root,
        };
        let mut above: Vec<Branch> = Vec::new();
        let mut next = Some(root);
        loop {
            let id = match next.take() {
                Some(id) => id,
                None => match above.last_mut() {
                    None => return Ok(()),
                    Some(branch) => match branch.next(&mut order)? {
                        Some(id) => id,
                        None => {
                            above.pop();
                            continue;
                        }
                    },
                },
            };
            let (header, node) = self.db.node(id)?;
            self.seen.visit(id, header.overflow)?;
            match header.kind {
                LEAF => leaf_rows(&node, header, &mut order, take)?,
                BRANCH if above.len() < DEPTH_MAX => above.push(Branch {
                    node,
                    count: header.count,
                    at: 0,
                }),
                BRANCH => return Err(Error::damaged("its tree is too deep")),
                _ => return Err(Error::damaged(format!("page {id} is no part of a tree"))),
            }
        }
    }
}

fn leaf_rows(
    node: &[u8],
    header: Header,
    order: &mut Order,
    take: &mut dyn FnMut(page::Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if header.kind != LEAF {
        return Err(Error::damaged("a bucket without a page is no leaf"));
    }
    for at in 0..header.count {
        let row = page::row(node, at)?;
        order.row(row.key)?;
        take(row)?;
    }
    Ok(())
}

fn place(bucket: &[u8]) -> Result<Place, Error> {
    match u64_at(bucket, 0)? {
        0 => {
            let leaf = bucket.get(BUCKET_BYTES..).unwrap_or_default();
            Header::read(leaf)?;
            Ok(Place::Inline(leaf.to_vec()))
        }
        root => Ok(Place::Root(root)),
    }
}

/// A branch that is being walked.
struct Branch {
    node: Vec<u8>,
    count: u16,
    at: u16,
}

impl Branch {
    fn next(&mut self, order: &mut Order) -> Result<Option<u64>, Error> {
        if self.at >= self.count {
            return Ok(None);
        }
        let (key, id) = page::child(&self.node, self.at)?;
        order.child(key)?;
        self.at += 1;
        Ok(Some(id))
    }
}

/// Keys only ever grow, and no child holds one before the first that its parent names.
#[derive(Default)]
struct Order {
    last: Vec<u8>,
    least: Vec<u8>,
}

impl Order {
    fn row(&mut self, key: &[u8]) -> Result<(), Error> {
        if key <= self.last.as_slice() || key < self.least.as_slice() {
            return Err(Error::damaged("its keys are out of order"));
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }

    fn child(&mut self, key: &[u8]) -> Result<(), Error> {
        if key <= self.last.as_slice() || key < self.least.as_slice() {
            return Err(Error::damaged("its branches are out of order"));
        }
        self.least.clear();
        self.least.extend_from_slice(key);
        Ok(())
    }
}

/// One bit for each page: a page that is reached twice would let a walk go on for ever.
struct Seen(Vec<u64>);

impl Seen {
    fn new(pages: u64) -> Seen {
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(0);
        Seen(vec![0; words])
    }

    fn visit(&mut self, id: u64, overflow: u32) -> Result<(), Error> {
        for page in id..=id.saturating_add(overflow.into()) {
            let word = usize::try_from(page / 64).ok();
            let Some(word) = word.and_then(|word| self.0.get_mut(word)) else {
                return Err(Error::damaged(format!(
                    "page {page} is outside of the file"
                )));
            };
            let bit = 1 << (page % 64);
            if *word & bit != 0 {
                return Err(Error::damaged(format!("page {page} is used twice")));
            }
            *word |= bit;
        }
        Ok(())
    }
}
