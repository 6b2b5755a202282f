//! The file format of bbolt 1.5, as far as etcd uses it: pages of a B+tree, buckets of rows.
//!
//! A writer that streams sorted rows bottom-up into a new file, and a reader that checks every
//! bound. No crate does both: the port of bbolt maps the file into memory and trusts what it finds
//! there, others have formats of their own. Numbers are little-endian, as on every machine that
//! etcd supports.
//!
//! ```text
//! page      id (8), kind (2), elements (2), further pages (4), elements, data
//! meta      magic, version, page size, flags (4 each), root bucket (16), freelist (8),
//!           pages in the file (8), transaction (8), FNV-1a of all before (8)
//! leaf      per row: flags, place of its key counted from here, key length, value length (4 each)
//! branch    per child: place of its first key (4), key length (4), page (8)
//! bucket    root page (8), sequence (8); with root page 0 a small leaf page follows
//! ```

mod meta;
mod node;
mod page;
mod reader;
mod tree;
mod writer;

pub use reader::{Bucket, Db, Pass};
pub use writer::{BucketWriter, Writer};
