//! Pages: their header and elements, read with every bound checked.

use crate::Error;

/// Bytes of a page in the files written here; what bbolt takes on the usual machine.
pub const PAGE_BYTES: usize = 4096;
/// Bytes before the elements of a page.
pub const HEADER_BYTES: usize = 16;
/// Bytes of an element of a leaf or a branch.
pub const ELEMENT_BYTES: usize = 16;

pub const BRANCH: u16 = 0x01;
pub const LEAF: u16 = 0x02;
pub const META: u16 = 0x04;

/// Flag of a leaf's element whose value is a bucket.
pub const BUCKET_FLAG: u32 = 0x01;
/// Bytes of a bucket's own header.
pub const BUCKET_BYTES: usize = 16;

/// The head of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub id: u64,
    pub kind: u16,
    pub count: u16,
    /// Pages after this one that belong to it.
    pub overflow: u32,
}

/// One row of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    pub is_bucket: bool,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl Header {
    pub fn read(page: &[u8]) -> Result<Header, Error> {
        Ok(Header {
            id: u64_at(page, 0)?,
            kind: u16_at(page, 8)?,
            count: u16_at(page, 10)?,
            overflow: u32_at(page, 12)?,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.overflow.to_le_bytes());
    }
}

/// The row at a place of a leaf page; `page` is the page with all that belongs to it.
pub fn row(page: &[u8], at: u16) -> Result<Row<'_>, Error> {
    let element = element_place(at);
    let flags = u32_at(page, element)?;
    let place = u32_at(page, element + 4)?;
    let key_bytes = u32_at(page, element + 8)?;
    let value_bytes = u32_at(page, element + 12)?;
    let key = data(page, element, place, 0, key_bytes)?;
    let value = data(page, element, place, key_bytes, value_bytes)?;
    not_empty(key)?;
    Ok(Row {
        is_bucket: flags & BUCKET_FLAG != 0,
        key,
        value,
    })
}

/// First key and page of the child at a place of a branch page.
pub fn child(page: &[u8], at: u16) -> Result<(&[u8], u64), Error> {
    let element = element_place(at);
    let place = u32_at(page, element)?;
    let key_bytes = u32_at(page, element + 4)?;
    let id = u64_at(page, element + 8)?;
    let key = data(page, element, place, 0, key_bytes)?;
    not_empty(key)?;
    Ok((key, id))
}

fn element_place(at: u16) -> usize {
    HEADER_BYTES + ELEMENT_BYTES * usize::from(at)
}

/// Bytes that an element points at: `place` counts from the element, `skip` from there.
fn data(page: &[u8], element: usize, place: u32, skip: u32, bytes: u32) -> Result<&[u8], Error> {
    let wide = |number: u32| usize::try_from(number).ok();
    let slice = || {
        let start = element
            .checked_add(wide(place)?)?
            .checked_add(wide(skip)?)?;
        page.get(start..start.checked_add(wide(bytes)?)?)
    };
    slice().ok_or_else(|| Error::damaged("an element points outside of its page"))
}

fn not_empty(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::damaged("an element has no key"));
    }
    Ok(())
}

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Error> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or_else(|| Error::damaged("a page ends before its elements do"))
}

pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Error> {
    fixed(bytes, at).map(u16::from_le_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Error> {
    fixed(bytes, at).map(u32::from_le_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Error> {
    fixed(bytes, at).map(u64::from_le_bytes)
}
