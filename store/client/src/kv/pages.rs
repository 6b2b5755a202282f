//! A range read page by page, all pages at the revision of the first: what a list of many keys
//! needs so that neither side holds it twice.

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;
use tonic::Code;

use super::Get;
use crate::error::Error;

/// Keys of a page unless the read has a limit of its own.
const KEYS_OF_A_PAGE: i64 = 1000;

/// The pages of a range, in the order of keys.
#[derive(Debug)]
pub struct Pages {
    next: Option<Get>,
    revision: i64,
    size: i64,
}

impl Get {
    /// The same read in pages of `limit` keys, by default 1,000. It must not be sorted otherwise
    /// than by key.
    pub fn pages(mut self) -> Pages {
        if self.request.limit <= 0 {
            self.request.limit = KEYS_OF_A_PAGE;
        }
        let (revision, size) = (self.request.revision, self.request.limit);
        Pages {
            next: Some(self),
            revision,
            size,
        }
    }
}

impl Pages {
    /// The revision that every page shows; 0 before the first has come.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the revision was compacted between two pages; and what a read may
    /// end in.
    pub async fn next(&mut self) -> Result<Option<Vec<KeyValue>>, Error> {
        let Some(get) = self.next.clone() else {
            return Ok(None);
        };
        let found = match get.clone().at_revision(self.revision).await {
            Err(Error::Refused {
                code: Code::OutOfRange,
                message,
                ..
            }) if message.contains("compacted") => {
                return Err(Error::Compacted {
                    revision: self.revision,
                });
            }
            answer => answer?,
        };
        if self.revision == 0 {
            self.revision = found.revision;
        }
        let last = found.kvs.last().filter(|_| found.more);
        self.next = last.map(|kv| get.after(&kv.key).limit(self.size));
        Ok(Some(found.kvs))
    }
}

impl Get {
    /// The same range without `key` and what is before it.
    fn after(mut self, key: &[u8]) -> Get {
        self.keys.key = Bytes::from([key, &[0]].concat());
        self
    }
}
