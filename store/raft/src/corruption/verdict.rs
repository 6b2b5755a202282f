//! What hashes say about who is corrupt.

use std::collections::BTreeMap;

/// The hash of one member, if there is one that may be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    pub member: u64,
    pub hash: Option<u32>,
}

/// All hashes at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub revision: i64,
    pub hashes: Vec<Hashed>,
}

impl Finding {
    /// Members that hold something else than a majority of all does. Where no majority agrees,
    /// nobody can say who is wrong: member 0 stands for that, as in etcd. Empty when no two
    /// hashes differ.
    pub fn corrupt(&self) -> Vec<u64> {
        let mut holders: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for hashed in &self.hashes {
            if let Some(hash) = hashed.hash {
                holders.entry(hash).or_default().push(hashed.member);
            }
        }
        if holders.len() < 2 {
            return Vec::new();
        }
        let majority = self.hashes.len() / 2 + 1;
        let right = holders
            .iter()
            .find(|(_, members)| members.len() >= majority);
        let Some(right) = right.map(|(hash, _)| *hash) else {
            return vec![0];
        };
        holders.remove(&right);
        let mut corrupt: Vec<u64> = holders.into_values().flatten().collect();
        corrupt.sort_unstable();
        corrupt
    }

    /// Whether every member could be compared.
    pub fn is_complete(&self) -> bool {
        self.hashes.iter().all(|hashed| hashed.hash.is_some())
    }

    /// Whether asking about another revision could tell no more.
    pub fn is_conclusive(&self) -> bool {
        self.is_complete() || !self.corrupt().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(hashes: &[Option<u32>]) -> Finding {
        let hashed = |(at, hash): (usize, &Option<u32>)| Hashed {
            member: at as u64 + 1,
            hash: *hash,
        };
        Finding {
            revision: 5,
            hashes: hashes.iter().enumerate().map(hashed).collect(),
        }
    }

    #[test]
    fn the_minority_is_corrupt() {
        for (hashes, corrupt) in [
            (&[Some(1), Some(1), Some(2)][..], vec![3]),
            (&[Some(2), Some(1), Some(1)], vec![1]),
            (&[Some(1), Some(1), None], vec![]),
            (&[Some(1), None, None], vec![]),
            // Two against one of five known: no majority of all five.
            (&[Some(1), Some(1), Some(2), None, None], vec![0]),
            (&[Some(1), Some(2)], vec![0]),
            (&[Some(1), Some(2), Some(3)], vec![0]),
            (&[Some(1), Some(1), Some(1), Some(2), Some(3)], vec![4, 5]),
            (&[Some(1)], vec![]),
        ] {
            assert_eq!(finding(hashes).corrupt(), corrupt, "{hashes:?}");
        }
    }

    #[test]
    fn one_that_is_missing_leaves_it_open() {
        assert!(finding(&[Some(1), Some(1)]).is_conclusive());
        assert!(!finding(&[Some(1), Some(1), None]).is_conclusive());
        assert!(finding(&[Some(1), Some(2), None]).is_conclusive());
        assert!(!finding(&[Some(1), Some(1), None]).is_complete());
    }
}
