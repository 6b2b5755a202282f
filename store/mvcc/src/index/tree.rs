//! An ordered map from key to [`Latest`] that counts: a B+tree whose inner nodes know how many
//! living keys lie under each child, so that counting a range costs its height.

use std::ops::ControlFlow;

use super::{
    keys::{Keys, separator},
    leaf::{LEAF_KEYS_MAX, Latest, Leaf},
};

/// Children of an inner node before it is split.
const CHILDREN_MAX: usize = 64;
/// A node below this is merged with its neighbour if both fit in one with room to spare.
const SMALL: usize = LEAF_KEYS_MAX / 4;
/// Keys of a leaf made by a bulk load: room for a few more before the first split.
const LOAD_KEYS: usize = 56;

#[derive(Debug)]
pub(crate) struct Tree {
    root: Node,
    len: u64,
}

#[derive(Debug)]
enum Node {
    Leaf(Leaf),
    Inner(Inner),
}

#[derive(Debug, Default)]
struct Inner {
    /// Separator i is a lower bound of child i + 1 and above everything before it.
    separators: Keys,
    children: Vec<Node>,
    /// Living keys under each child.
    live: Vec<u64>,
}

/// What became of a subtree in which one key was set.
struct Set {
    before: Option<Latest>,
    now_live: bool,
    split: Option<(Box<[u8]>, Node)>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree {
            root: Node::Leaf(Leaf::default()),
            len: 0,
        }
    }
}

impl Tree {
    /// Keys, tombstones included.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn live(&self) -> u64 {
        self.root.live()
    }

    pub fn get(&self, key: &[u8]) -> Option<&Latest> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.get(leaf.find(key).ok()?),
                Node::Inner(inner) => node = inner.children.get(inner.child_of(key))?,
            }
        }
    }

    /// Sets a key to what `next` makes of its present state, which is returned.
    pub fn set(
        &mut self,
        key: &[u8],
        next: impl FnOnce(Option<&Latest>) -> Latest,
    ) -> Option<Latest> {
        let set = self.root.set(key, next);
        if let Some((separator, right)) = set.split {
            let left = std::mem::replace(&mut self.root, Node::Inner(Inner::default()));
            let live = vec![left.live(), right.live()];
            let children = vec![left, right];
            let mut separators = Keys::default();
            separators.insert(0, &separator);
            self.root = Node::Inner(Inner {
                separators,
                children,
                live,
            });
        }
        self.len += u64::from(set.before.is_none());
        set.before
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Latest> {
        let removed = self.root.remove(key)?;
        self.len -= 1;
        while let Node::Inner(inner) = &mut self.root {
            match inner.children.len() {
                0 => self.root = Node::Leaf(Leaf::default()),
                1 => match inner.children.pop() {
                    Some(only) => self.root = only,
                    None => break,
                },
                _ => break,
            }
        }
        Some(removed)
    }

    /// Living keys below `key`.
    pub fn rank(&self, key: &[u8]) -> u64 {
        let (mut node, mut below) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let (Ok(at) | Err(at)) = leaf.find(key);
                    let alive = |i: &usize| leaf.get(*i).is_some_and(|l| !l.tombstone());
                    return below + (0..at).filter(alive).count() as u64;
                }
                Node::Inner(inner) => {
                    let at = inner.child_of(key);
                    below += inner.live.iter().take(at).sum::<u64>();
                    match inner.children.get(at) {
                        Some(child) => node = child,
                        None => return below,
                    }
                }
            }
        }
    }

    /// Living keys in `from..end`, or from `from` on.
    pub fn count(&self, from: &[u8], end: Option<&[u8]>) -> u64 {
        let top = end.map_or_else(|| self.live(), |end| self.rank(end));
        top.saturating_sub(self.rank(from))
    }

    /// The living key that has `rank` living keys below it.
    pub fn nth(&self, mut rank: u64) -> Option<&[u8]> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => {
                    let alive = |i: &usize| leaf.get(*i).is_some_and(|l| !l.tombstone());
                    let at = (0..leaf.len())
                        .filter(alive)
                        .nth(usize::try_from(rank).ok()?)?;
                    return Some(leaf.key(at));
                }
                Node::Inner(inner) => {
                    let at = inner
                        .live
                        .iter()
                        .position(|&live| match rank.checked_sub(live) {
                            Some(rest) => {
                                rank = rest;
                                false
                            }
                            None => true,
                        })?;
                    node = inner.children.get(at)?;
                }
            }
        }
    }

    /// Visits keys in order from `from` on and below `end`, until told to stop. With `live_only`
    /// tombstones are left out, whole subtrees of them at once.
    pub fn walk(
        &self,
        from: &[u8],
        end: Option<&[u8]>,
        live_only: bool,
        mut visit: impl FnMut(&[u8], &Latest) -> ControlFlow<()>,
    ) {
        let _ = self.root.walk(from, end, live_only, &mut visit);
    }

    #[cfg(test)]
    /// Memory of the tree without the allocator's own overhead, in bytes.
    pub fn allocated(&self) -> usize {
        self.root.allocated()
    }
}

type Visit<'a> = dyn FnMut(&[u8], &Latest) -> ControlFlow<()> + 'a;

impl Node {
    fn live(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.live(),
            Node::Inner(inner) => inner.live.iter().sum(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    fn set(&mut self, key: &[u8], next: impl FnOnce(Option<&Latest>) -> Latest) -> Set {
        match self {
            Node::Leaf(leaf) => leaf_set(leaf, key, next),
            Node::Inner(inner) => inner.set(key, next),
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Latest> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.find(key).ok()?;
                Some(leaf.remove(at))
            }
            Node::Inner(inner) => inner.remove(key),
        }
    }

    fn walk(
        &self,
        from: &[u8],
        end: Option<&[u8]>,
        live_only: bool,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        match self {
            Node::Leaf(leaf) => {
                let (Ok(first) | Err(first)) = leaf.find(from);
                for at in first..leaf.len() {
                    let key = leaf.key(at);
                    if end.is_some_and(|end| key >= end) {
                        return ControlFlow::Break(());
                    }
                    match leaf.get(at) {
                        Some(latest) if !(live_only && latest.tombstone()) => visit(key, latest)?,
                        _ => {}
                    }
                }
                ControlFlow::Continue(())
            }
            Node::Inner(inner) => inner.walk(from, end, live_only, visit),
        }
    }

    /// Takes over the content of the node to the right.
    fn merge(&mut self, separator: &[u8], right: Node) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => left.append(&right),
            (Node::Inner(left), Node::Inner(right)) => {
                left.separators.insert(left.separators.len(), separator);
                left.separators.append(&right.separators);
                left.children.extend(right.children);
                left.live.extend(right.live);
            }
            // All leaves have the same depth, so neighbours are of one kind.
            _ => unreachable!("neighbours of different depth"),
        }
    }

    #[cfg(test)]
    fn allocated(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.allocated(),
            Node::Inner(inner) => {
                inner.children.iter().map(|c| c.allocated()).sum::<usize>()
                    + inner.separators.allocated()
                    + inner.live.capacity() * 8
                    + inner.children.capacity() * size_of::<Node>()
            }
        }
    }
}

fn leaf_set(leaf: &mut Leaf, key: &[u8], next: impl FnOnce(Option<&Latest>) -> Latest) -> Set {
    let at = match leaf.find(key) {
        Ok(at) => {
            let before = leaf.get(at).copied();
            let latest = next(before.as_ref());
            if let Some(slot) = leaf.get_mut(at) {
                *slot = latest;
            }
            return Set {
                before,
                now_live: !latest.tombstone(),
                split: None,
            };
        }
        Err(at) => at,
    };
    let latest = next(None);
    leaf.insert(at, key, latest);
    let split = leaf.full().then(|| {
        // A key above all others of its leaf is often the first of a run: leave the leaf full.
        let middle = if at + 1 == leaf.len() {
            at
        } else {
            leaf.len() / 2
        };
        let right = leaf.split(middle);
        (
            Box::from(separator(leaf.last_key(), right.key(0))),
            Node::Leaf(right),
        )
    });
    Set {
        before: None,
        now_live: !latest.tombstone(),
        split,
    }
}

impl Inner {
    fn child_of(&self, key: &[u8]) -> usize {
        match self.separators.find(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    fn set(&mut self, key: &[u8], next: impl FnOnce(Option<&Latest>) -> Latest) -> Set {
        let at = self.child_of(key);
        let mut set = self.children[at].set(key, next);
        let was_live = set.before.as_ref().is_some_and(|l| !l.tombstone());
        self.live[at] = self.live[at] + u64::from(set.now_live) - u64::from(was_live);
        if let Some((separator, right)) = set.split.take() {
            let moved = right.live();
            self.live[at] -= moved;
            self.live.insert(at + 1, moved);
            self.children.insert(at + 1, right);
            self.separators.insert(at, &separator);
            if self.children.len() > CHILDREN_MAX {
                set.split = Some(self.split(at + 2 == self.children.len()));
            }
        }
        set
    }

    fn split(&mut self, at_end: bool) -> (Box<[u8]>, Node) {
        let len = self.children.len();
        let middle = if at_end { len - 1 } else { len / 2 };
        let mut separators = self.separators.split_off(middle - 1);
        let separator = Box::from(separators.key(0));
        separators.remove(0);
        let children = self.children.split_off(middle);
        let live = self.live.split_off(middle);
        (
            separator,
            Node::Inner(Inner {
                separators,
                children,
                live,
            }),
        )
    }

    fn remove(&mut self, key: &[u8]) -> Option<Latest> {
        let at = self.child_of(key);
        let child = self.children.get_mut(at)?;
        let removed = child.remove(key)?;
        self.live[at] -= u64::from(!removed.tombstone());
        if child.len() == 0 {
            self.children.remove(at);
            self.live.remove(at);
            if self.separators.len() > 0 {
                self.separators.remove(at.saturating_sub(1));
            }
        } else if child.len() < SMALL {
            self.merge_small(at);
        }
        Some(removed)
    }

    /// Joins a small child with the neighbour it fits with.
    fn merge_small(&mut self, at: usize) {
        let fits =
            |left: usize, right: usize| match (self.children.get(left), self.children.get(right)) {
                (Some(l), Some(r)) => l.len() + r.len() <= LEAF_KEYS_MAX * 3 / 4,
                _ => false,
            };
        let left = if fits(at, at + 1) {
            at
        } else if at > 0 && fits(at - 1, at) {
            at - 1
        } else {
            return;
        };
        let right = self.children.remove(left + 1);
        self.children[left].merge(self.separators.key(left), right);
        self.separators.remove(left);
        let moved = self.live.remove(left + 1);
        self.live[left] += moved;
    }

    fn walk(
        &self,
        from: &[u8],
        end: Option<&[u8]>,
        live_only: bool,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let first = self.child_of(from);
        for (at, child) in self.children.iter().enumerate().skip(first) {
            let lower = at.checked_sub(1).map(|i| self.separators.key(i));
            if let (Some(lower), Some(end)) = (lower, end)
                && lower >= end
            {
                return ControlFlow::Break(());
            }
            if live_only && self.live.get(at) == Some(&0) {
                continue;
            }
            child.walk(if at == first { from } else { &[] }, end, live_only, visit)?;
        }
        ControlFlow::Continue(())
    }
}

/// Builds a tree from keys in order, without searching.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    leaves: Vec<(Box<[u8]>, Leaf)>,
    leaf: Leaf,
    len: u64,
}

impl Loader {
    /// The caller has checked that keys ascend.
    pub fn push(&mut self, key: &[u8], latest: Latest) {
        if self.leaf.len() >= LOAD_KEYS || self.leaf.full() {
            self.close_leaf();
        }
        self.leaf.push(key, latest);
        self.len += 1;
    }

    fn close_leaf(&mut self) {
        let leaf = std::mem::take(&mut self.leaf);
        self.leaves.push((Box::from(leaf.key(0)), leaf));
    }

    pub fn finish(mut self) -> Tree {
        if self.leaf.len() > 0 || self.leaves.is_empty() {
            self.close_leaf();
        }
        let leaves = self.leaves.into_iter();
        let mut level: Vec<(Box<[u8]>, Node)> =
            leaves.map(|(low, leaf)| (low, Node::Leaf(leaf))).collect();
        while level.len() > 1 {
            let mut above: Vec<(Box<[u8]>, Node)> = Vec::new();
            let mut inner = Inner::default();
            let mut low: Option<Box<[u8]>> = None;
            for (child_low, child) in level {
                match low {
                    None => low = Some(child_low),
                    Some(_) => inner.separators.insert(inner.separators.len(), &child_low),
                }
                inner.live.push(child.live());
                inner.children.push(child);
                if inner.children.len() == LOAD_KEYS {
                    let full = std::mem::take(&mut inner);
                    above.push((low.take().unwrap_or_default(), Node::Inner(full)));
                }
            }
            if let Some(low) = low {
                above.push((low, Node::Inner(inner)));
            }
            level = above;
        }
        let root = level
            .pop()
            .map_or_else(|| Node::Leaf(Leaf::default()), |(_, node)| node);
        Tree {
            root,
            len: self.len,
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
