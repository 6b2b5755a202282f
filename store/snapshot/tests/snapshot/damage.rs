//! Files that are cut, flipped or made up: an error or what was written, never a panic and never
//! a walk without end.

use mainstay_snapshot::status;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Buckets, file, read, rows, write};

/// Several pages, an inline bucket and a value of more than one page.
fn sample() -> Buckets {
    let mut key = rows(120, 90);
    key.insert(b"zz".to_vec(), vec![9; 5000]);
    Buckets::from([
        (b"empty".to_vec(), Default::default()),
        (b"key".to_vec(), key),
        (b"small".to_vec(), rows(3, 5)),
    ])
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = write(&sample());
    for length in (0..bytes.len())
        .step_by(97)
        .chain(bytes.len() - 40..bytes.len())
    {
        assert!(read(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn no_flipped_bit_of_the_structure_misleads_the_reader() {
    let good = write(&sample());
    let buckets = sample();
    let (mut refused, mut equal, mut other) = (0, 0, 0);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        match read(&bytes) {
            Err(_) => refused += 1,
            Ok(found) if found == buckets => equal += 1,
            Ok(_) => other += 1,
        }
    }
    // bbolt has no checksum over rows: what is flipped inside of one is the trailer's to notice.
    assert!(refused > 100 && equal > 100 && other > 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn many_flipped_bits_end_in_rows_or_an_error(flips in vec((any::<usize>(), 0..8_u8), 1..40)) {
        let mut bytes = write(&sample());
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        let _ = read(&bytes);
        let _ = status(file(&bytes));
    }

    #[test]
    fn pages_made_up_behind_a_good_meta_end(pages in vec(any::<u8>(), 4096 * 6)) {
        let mut bytes = write(&sample());
        let length = bytes.len().min(8192 + pages.len());
        bytes[8192..length].copy_from_slice(&pages[..length - 8192]);
        prop_assert!(read(&bytes).is_err());
    }
}

#[test]
fn a_page_that_leads_back_to_itself_is_refused() {
    let bytes = write(&Buckets::from([(b"key".to_vec(), rows(3000, 90))]));
    let page = |at: usize| &bytes[at * 4096..(at + 1) * 4096];
    let branch = (2..bytes.len() / 4096)
        .find(|at| page(*at)[8] == 1)
        .unwrap();
    for target in [branch as u64, 0, 1, u64::MAX, bytes.len() as u64 / 4096] {
        let mut looped = bytes.clone();
        // The page that the first child is said to have.
        let place = branch * 4096 + 16 + 8;
        looped[place..place + 8].copy_from_slice(&target.to_le_bytes());
        assert!(read(&looped).is_err(), "child {target}");
    }
}
