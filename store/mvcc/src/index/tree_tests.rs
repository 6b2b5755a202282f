//! The tree against a plain ordered map.

use std::{collections::BTreeMap, ops::ControlFlow};

use proptest::{collection::vec, prelude::*};

use super::*;

fn latest(main: i64, tombstone: bool) -> Latest {
    Latest {
        main,
        version: i64::from(!tombstone),
        ..Latest::default()
    }
}

fn contents(tree: &Tree, from: &[u8], end: Option<&[u8]>, live: bool) -> Vec<(Vec<u8>, i64)> {
    let mut seen = Vec::new();
    tree.walk(from, end, live, |key, latest| {
        seen.push((key.to_vec(), latest.main));
        ControlFlow::Continue(())
    });
    seen
}

fn check(tree: &Tree, model: &BTreeMap<Vec<u8>, Latest>, from: &[u8], end: Option<&[u8]>) {
    let inside = |key: &[u8]| key >= from && end.is_none_or(|end| key < end);
    let all: Vec<_> = model.iter().filter(|(k, _)| inside(k)).collect();
    let live: Vec<_> = all.iter().filter(|(_, l)| !l.tombstone()).collect();
    let flat = |(k, l): (&Vec<u8>, &Latest)| (k.clone(), l.main);
    assert_eq!(
        contents(tree, from, end, false),
        all.iter().copied().map(flat).collect::<Vec<_>>()
    );
    let live_flat: Vec<_> = live.iter().map(|(k, l)| ((*k).clone(), l.main)).collect();
    assert_eq!(contents(tree, from, end, true), live_flat);
    if end.is_none_or(|end| from <= end) {
        assert_eq!(tree.count(from, end), live.len() as u64);
    }
    let below = tree.rank(from);
    for (i, (key, _)) in live.iter().enumerate().step_by(7) {
        assert_eq!(tree.nth(below + i as u64), Some(key.as_slice()));
    }
    assert_eq!(tree.nth(tree.live()), None);
    assert_eq!(tree.len(), model.len() as u64);
}

fn key(number: u16) -> Vec<u8> {
    // Keys of many lengths with long common beginnings.
    let mut key = vec![b'k'; usize::from(number % 5)];
    key.extend_from_slice(number.to_string().as_bytes());
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_agrees_with_a_map(
        steps in vec((0..3000u16, 0..10u8), 1..6000),
        bounds in vec((0..3000u16, 0..3000u16), 8),
        ascending in any::<bool>(),
    ) {
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        for (i, (number, what)) in steps.iter().enumerate() {
            let key = if ascending { (i as u32).to_be_bytes().to_vec() } else { key(*number) };
            if *what < 3 {
                assert_eq!(tree.remove(&key), model.remove(&key));
            } else {
                let next = latest(i as i64, *what < 5);
                assert_eq!(tree.set(&key, |_| next), model.insert(key, next));
            }
        }
        let mut loader = Loader::default();
        model.iter().for_each(|(k, l)| loader.push(k, *l));
        let loaded = loader.finish();
        check(&tree, &model, b"", None);
        for (from, end) in bounds {
            check(&tree, &model, &key(from), Some(&key(end)));
            check(&loaded, &model, &key(from), Some(&key(end)));
        }
        // Emptied again, it shrinks to a leaf.
        for key in model.keys() {
            assert!(tree.remove(key).is_some());
        }
        assert_eq!((tree.len(), tree.live()), (0, 0));
    }
}

#[test]
fn a_million_keys_cost_what_the_page_says() {
    let mut tree = Tree::default();
    let keys = 200_000u64;
    for i in 0..keys {
        // Scattered order, as a benchmark's random keys.
        let key = format!(
            "/registry/pods/ns-{:012}",
            i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
        );
        tree.set(key.as_bytes(), |_| latest(1, false));
    }
    let each = tree.allocated() as u64 / tree.len();
    assert!(each < 150, "{each} bytes a key of 30 bytes");
}
