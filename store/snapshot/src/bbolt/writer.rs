//! Writes a new file: buckets in the order of their names, rows in the order of their keys.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use super::meta::Meta;
use super::page::{BUCKET_BYTES, PAGE_BYTES};
use super::tree::{Grown, Pages, Tree};
use crate::Error;

/// Bytes gathered before they go to the file.
const BUFFER_BYTES: usize = 256 * 1024;
/// The first two pages are metas.
const FIRST_PAGE: u64 = 2;
/// A bucket of at most this many bytes stands in its parent's leaf, as bbolt writes it.
const INLINE_BYTES_MAX: usize = PAGE_BYTES / 4;

/// A file on its way. It is not one that bbolt opens before [`Writer::finish`].
pub struct Writer {
    pages: Pages,
    buckets: Tree,
}

/// The rows of one bucket.
pub struct BucketWriter<'a> {
    writer: &'a mut Writer,
    name: &'a [u8],
    rows: Tree,
}

impl Writer {
    /// Writes into an empty file.
    pub fn new(file: File) -> Result<Writer, Error> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        out.write_all(&[0; PAGE_BYTES * FIRST_PAGE as usize])?;
        let next = FIRST_PAGE;
        Ok(Writer {
            pages: Pages { out, next },
            buckets: Tree::default(),
        })
    }

    /// Begins a bucket, whose name must be after all before it.
    pub fn bucket<'a>(&'a mut self, name: &'a [u8]) -> BucketWriter<'a> {
        BucketWriter {
            writer: self,
            name,
            rows: Tree::default(),
        }
    }

    /// Writes root and metas and returns the file, which nothing has synced.
    pub fn finish(mut self) -> Result<File, Error> {
        let root = match self.buckets.finish(&mut self.pages)? {
            Grown::Root(root) => root,
            Grown::Small(leaf) => self.pages.write(&leaf)?,
        };
        let Pages { mut out, next } = self.pages;
        out.seek(SeekFrom::Start(0))?;
        for transaction in [2, 1] {
            let meta = Meta {
                page_bytes: PAGE_BYTES as u32,
                root,
                pages: next,
                transaction,
            };
            out.write_all(&meta.page())?;
        }
        out.into_inner()
            .map_err(|error| Error::Io(error.into_error()))
    }
}

impl BucketWriter<'_> {
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.rows.row(&mut self.writer.pages, key, value, false)
    }

    pub fn finish(self) -> Result<(), Error> {
        let BucketWriter { writer, name, rows } = self;
        let (root, inline) = match rows.finish(&mut writer.pages)? {
            Grown::Root(root) => (root, Vec::new()),
            Grown::Small(leaf) if leaf.bytes() <= INLINE_BYTES_MAX => (0, leaf.encode(0, 0)),
            Grown::Small(leaf) => (writer.pages.write(&leaf)?, Vec::new()),
        };
        let mut value = Vec::with_capacity(BUCKET_BYTES + inline.len());
        value.extend_from_slice(&root.to_le_bytes());
        value.extend_from_slice(&0_u64.to_le_bytes());
        value.extend_from_slice(&inline);
        writer.buckets.row(&mut writer.pages, name, &value, true)
    }
}
