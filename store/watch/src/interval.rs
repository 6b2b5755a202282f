//! Intervals of keys, each with a value: which of them contain a key?

use std::{
    cmp::Ordering,
    hash::{BuildHasher, RandomState},
};

use bytes::Bytes;

/// Where an interval ends: before a key, or never.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    Before(Bytes),
    Never,
}

impl End {
    fn is_behind(&self, key: &[u8]) -> bool {
        match self {
            End::Before(end) => key < end.as_ref(),
            End::Never => true,
        }
    }
}

/// A treap ordered by start and end, in which every node knows the furthest end below it. Finding
/// the k intervals that contain a key costs O(log n + k) in all usual cases.
#[derive(Debug)]
pub(crate) struct Intervals<V> {
    root: Link<V>,
    /// Ranks of nodes are hashes, so that no order of insertions degrades the tree.
    hasher: RandomState,
}

type Link<V> = Option<Box<Node<V>>>;

#[derive(Debug)]
struct Node<V> {
    start: Bytes,
    end: End,
    /// The furthest end in this subtree.
    furthest: End,
    rank: u64,
    value: V,
    left: Link<V>,
    right: Link<V>,
}

impl<V> Default for Intervals<V> {
    fn default() -> Intervals<V> {
        Intervals {
            root: None,
            hasher: RandomState::new(),
        }
    }
}

impl<V: Default> Intervals<V> {
    /// The value of the interval, a new one if it is not there yet.
    pub(crate) fn entry(&mut self, start: &Bytes, end: &End) -> &mut V {
        let rank = self.hasher.hash_one((start, end));
        entry(&mut self.root, start, end, rank);
        find(&mut self.root, start, end).expect("it has just been put there")
    }

    pub(crate) fn get_mut(&mut self, start: &Bytes, end: &End) -> Option<&mut V> {
        find(&mut self.root, start, end)
    }

    pub(crate) fn remove(&mut self, start: &Bytes, end: &End) {
        remove(&mut self.root, start, end);
    }

    /// Calls `found` with the value of every interval that contains `key`.
    pub(crate) fn visit(&self, key: &[u8], found: &mut impl FnMut(&V)) {
        visit(&self.root, key, found);
    }
}

impl<V> Node<V> {
    fn order(&self, start: &Bytes, end: &End) -> Ordering {
        start.cmp(&self.start).then_with(|| end.cmp(&self.end))
    }

    fn update(&mut self) {
        let mut furthest = &self.end;
        for child in [&self.left, &self.right].into_iter().flatten() {
            furthest = furthest.max(&child.furthest);
        }
        self.furthest = furthest.clone();
    }
}

fn find<'a, V>(mut link: &'a mut Link<V>, start: &Bytes, end: &End) -> Option<&'a mut V> {
    while let Some(node) = link {
        match node.order(start, end) {
            Ordering::Equal => return Some(&mut node.value),
            Ordering::Less => link = &mut node.left,
            Ordering::Greater => link = &mut node.right,
        }
    }
    None
}

fn entry<V: Default>(link: &mut Link<V>, start: &Bytes, end: &End, rank: u64) {
    let Some(node) = link else {
        let (start, end, furthest) = (start.clone(), end.clone(), end.clone());
        let value = V::default();
        let node = Node {
            start,
            end,
            furthest,
            rank,
            value,
            left: None,
            right: None,
        };
        *link = Some(Box::new(node));
        return;
    };
    match node.order(start, end) {
        Ordering::Equal => return,
        Ordering::Less => entry(&mut node.left, start, end, rank),
        Ordering::Greater => entry(&mut node.right, start, end, rank),
    }
    let lifts = |child: &Link<V>| child.as_ref().is_some_and(|child| child.rank > node.rank);
    let (from_left, from_right) = (lifts(&node.left), lifts(&node.right));
    node.update();
    if from_left {
        lift_left(link);
    } else if from_right {
        lift_right(link);
    }
}

fn lift_left<V>(link: &mut Link<V>) {
    let Some(mut node) = link.take() else { return };
    let Some(mut child) = node.left.take() else {
        *link = Some(node);
        return;
    };
    node.left = child.right.take();
    node.update();
    child.right = Some(node);
    child.update();
    *link = Some(child);
}

fn lift_right<V>(link: &mut Link<V>) {
    let Some(mut node) = link.take() else { return };
    let Some(mut child) = node.right.take() else {
        *link = Some(node);
        return;
    };
    node.right = child.left.take();
    node.update();
    child.left = Some(node);
    child.update();
    *link = Some(child);
}

fn remove<V>(link: &mut Link<V>, start: &Bytes, end: &End) {
    let Some(node) = link else { return };
    match node.order(start, end) {
        Ordering::Less => remove(&mut node.left, start, end),
        Ordering::Greater => remove(&mut node.right, start, end),
        Ordering::Equal => {
            let (left, right) = (node.left.take(), node.right.take());
            *link = join(left, right);
            return;
        }
    }
    node.update();
}

/// Joins two trees, all of the first before all of the second.
fn join<V>(first: Link<V>, second: Link<V>) -> Link<V> {
    match (first, second) {
        (None, tree) | (tree, None) => tree,
        (Some(mut first), Some(mut second)) => {
            if first.rank > second.rank {
                first.right = join(first.right.take(), Some(second));
                first.update();
                Some(first)
            } else {
                second.left = join(Some(first), second.left.take());
                second.update();
                Some(second)
            }
        }
    }
}

fn visit<V>(link: &Link<V>, key: &[u8], found: &mut impl FnMut(&V)) {
    let Some(node) = link else { return };
    if !node.furthest.is_behind(key) {
        return;
    }
    visit(&node.left, key, found);
    if node.start.as_ref() <= key {
        if node.end.is_behind(key) {
            found(&node.value);
        }
        visit(&node.right, key, found);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn end() -> impl Strategy<Value = End> {
        prop_oneof![
            4 => (0u8..20).prop_map(|key| End::Before(Bytes::from(vec![key]))),
            1 => Just(End::Never),
        ]
    }

    proptest! {
        /// Against a plain list, over random insertions and removals.
        #[test]
        fn a_key_finds_exactly_the_intervals_that_contain_it(
            steps in prop::collection::vec((any::<bool>(), 0u8..20, end()), 1..200),
        ) {
            let mut tree = Intervals::<u64>::default();
            let mut model = BTreeMap::new();
            for (at, (insert, start, end)) in steps.into_iter().enumerate() {
                let start = Bytes::from(vec![start]);
                if insert {
                    *tree.entry(&start, &end) = at as u64;
                    model.insert((start, end), at as u64);
                } else {
                    tree.remove(&start, &end);
                    model.remove(&(start.clone(), end.clone()));
                    prop_assert!(tree.get_mut(&start, &end).is_none());
                }
                prop_assert_eq!(tree.root.is_none(), model.is_empty());
            }
            for key in 0u8..21 {
                let mut found = Vec::new();
                tree.visit(&[key], &mut |value| found.push(*value));
                let inside = |(start, end): &(Bytes, End)| {
                    start.as_ref() <= [key].as_slice() && match end {
                        End::Before(end) => [key].as_slice() < end.as_ref(),
                        End::Never => true,
                    }
                };
                let expected: Vec<u64> =
                    model.iter().filter(|(range, _)| inside(range)).map(|(_, at)| *at).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
