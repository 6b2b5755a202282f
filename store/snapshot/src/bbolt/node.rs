//! A page that is being filled.

use super::page::{BRANCH, BUCKET_FLAG, ELEMENT_BYTES, HEADER_BYTES, Header, LEAF, PAGE_BYTES};
use crate::Error;

/// Longest key and value bbolt holds.
const KEY_BYTES_MAX: usize = 32_768;
const VALUE_BYTES_MAX: usize = (1 << 31) - 2;

/// Elements in key order, with their data one after the other.
#[derive(Debug, Default)]
pub struct Node {
    elements: Vec<Element>,
    data: Vec<u8>,
}

#[derive(Debug)]
struct Element {
    kind: Kind,
    key_bytes: usize,
    value_bytes: usize,
}

#[derive(Debug)]
enum Kind {
    Row { flags: u32 },
    Child { page: u64 },
}

impl Node {
    pub fn row(&mut self, key: &[u8], value: &[u8], is_bucket: bool) -> Result<(), Error> {
        check(key, value)?;
        let flags = if is_bucket { BUCKET_FLAG } else { 0 };
        self.push(Kind::Row { flags }, key, value);
        Ok(())
    }

    pub fn child(&mut self, first_key: &[u8], page: u64) {
        self.push(Kind::Child { page }, first_key, &[]);
    }

    fn push(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        self.elements.push(Element {
            kind,
            key_bytes: key.len(),
            value_bytes: value.len(),
        });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Bytes of the page so far.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + ELEMENT_BYTES * self.elements.len() + self.data.len()
    }

    /// Whether a row more would need a second page.
    pub fn is_full_for(&self, key: &[u8], value: &[u8]) -> bool {
        self.bytes() + ELEMENT_BYTES + key.len() + value.len() > PAGE_BYTES
    }

    pub fn first_key(&self) -> &[u8] {
        let bytes = self.elements.first().map_or(0, |first| first.key_bytes);
        self.data.get(..bytes).unwrap_or_default()
    }

    /// The page of the only child, if there is but one.
    pub fn only_child(&self) -> Option<u64> {
        match self.elements.as_slice() {
            [
                Element {
                    kind: Kind::Child { page },
                    ..
                },
            ] => Some(*page),
            _ => None,
        }
    }

    /// Takes all elements but the last `keep` out into a node of their own.
    pub fn split_off_front(&mut self, keep: usize) -> Node {
        let at = self.elements.len().saturating_sub(keep);
        let rest = self.elements.split_off(at);
        let bytes: usize = self.elements.iter().map(Element::bytes).sum();
        let data = self.data.split_off(bytes.min(self.data.len()));
        let front = Node {
            elements: std::mem::take(&mut self.elements),
            data: std::mem::take(&mut self.data),
        };
        *self = Node {
            elements: rest,
            data,
        };
        front
    }

    /// Header, elements and data, not filled up to whole pages.
    pub fn encode(&self, id: u64, overflow: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes().next_multiple_of(PAGE_BYTES));
        let is_branch = matches!(
            self.elements.first(),
            Some(Element {
                kind: Kind::Child { .. },
                ..
            })
        );
        let header = Header {
            id,
            kind: if is_branch { BRANCH } else { LEAF },
            // A page of 4096 bytes has room for 239 elements, and only the last may be longer.
            count: u16::try_from(self.elements.len()).unwrap_or(u16::MAX),
            overflow,
        };
        header.write(&mut out);
        // Places count from the element itself to its data behind the last element.
        let mut place = ELEMENT_BYTES * self.elements.len();
        for element in &self.elements {
            let word = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
            match element.kind {
                Kind::Row { flags } => {
                    out.extend_from_slice(&flags.to_le_bytes());
                    out.extend_from_slice(&word(place));
                    out.extend_from_slice(&word(element.key_bytes));
                    out.extend_from_slice(&word(element.value_bytes));
                }
                Kind::Child { page } => {
                    out.extend_from_slice(&word(place));
                    out.extend_from_slice(&word(element.key_bytes));
                    out.extend_from_slice(&page.to_le_bytes());
                }
            }
            place = place - ELEMENT_BYTES + element.bytes();
        }
        out.extend_from_slice(&self.data);
        out
    }
}

impl Element {
    fn bytes(&self) -> usize {
        self.key_bytes + self.value_bytes
    }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Order);
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "key",
            bytes: key.len(),
        });
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "value",
            bytes: value.len(),
        });
    }
    Ok(())
}
