//! A tree of pages that grows from sorted rows, bottom-up: one page of each level is in memory.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::node::Node;
use super::page::PAGE_BYTES;
use crate::Error;

/// Rows of a leaf, however long they are (bbolt): alone, a value of a page and a half would take
/// two.
const LEAF_ROWS_MIN: usize = 2;
/// Children that stay behind when a branch is written, so that none is ever left alone.
const CHILDREN_KEPT: usize = 2;

/// Pages on their way to the file, numbered as they are written.
pub struct Pages {
    pub out: BufWriter<File>,
    pub next: u64,
}

impl Pages {
    /// Writes a node and returns its page.
    pub fn write(&mut self, node: &Node) -> Result<u64, Error> {
        let count = node.bytes().div_ceil(PAGE_BYTES);
        let id = self.next;
        let overflow = u32::try_from(count.saturating_sub(1)).map_err(|_| Error::TooLarge {
            what: "page",
            bytes: node.bytes(),
        })?;
        let mut page = node.encode(id, overflow);
        page.resize(count * PAGE_BYTES, 0);
        self.out.write_all(&page)?;
        self.next += count as u64;
        Ok(id)
    }
}

/// What a tree came to.
pub enum Grown {
    /// Nothing was written: all of it is in this node.
    Small(Node),
    /// The root's page.
    Root(u64),
}

#[derive(Default)]
pub struct Tree {
    leaf: Node,
    branches: Vec<Node>,
    last_key: Vec<u8>,
}

impl Tree {
    /// Adds a row, whose key must be after all before it.
    pub fn row(
        &mut self,
        pages: &mut Pages,
        key: &[u8],
        value: &[u8],
        is_bucket: bool,
    ) -> Result<(), Error> {
        if key <= self.last_key.as_slice() {
            return Err(Error::Order);
        }
        if self.leaf.len() >= LEAF_ROWS_MIN && self.leaf.is_full_for(key, value) {
            let leaf = std::mem::take(&mut self.leaf);
            self.write(pages, &leaf, 0)?;
        }
        self.leaf.row(key, value, is_bucket)?;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Writes a node and tells the level above it.
    fn write(&mut self, pages: &mut Pages, node: &Node, level: usize) -> Result<(), Error> {
        let page = pages.write(node)?;
        if self.branches.len() <= level {
            self.branches.push(Node::default());
        }
        let Some(branch) = self.branches.get_mut(level) else {
            return Ok(());
        };
        branch.child(node.first_key(), page);
        if branch.bytes() > PAGE_BYTES && branch.len() > 2 * CHILDREN_KEPT {
            let full = branch.split_off_front(CHILDREN_KEPT);
            self.write(pages, &full, level + 1)?;
        }
        Ok(())
    }

    pub fn finish(mut self, pages: &mut Pages) -> Result<Grown, Error> {
        if self.branches.is_empty() {
            return Ok(Grown::Small(self.leaf));
        }
        let leaf = std::mem::take(&mut self.leaf);
        self.write(pages, &leaf, 0)?;
        let mut level = 0;
        loop {
            let Some(branch) = self.branches.get_mut(level) else {
                return Err(Error::Order);
            };
            let branch = std::mem::take(branch);
            let is_top = level + 1 == self.branches.len();
            match branch.only_child() {
                Some(root) if is_top => return Ok(Grown::Root(root)),
                _ => self.write(pages, &branch, level + 1)?,
            }
            level += 1;
        }
    }
}
