use std::net::TcpListener;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// Ports this suite may listen on, all on loopback.
const PORTS: Range<u16> = 26_000..27_000;
/// Ports of one run, so that eight runs find room beside each other.
const BLOCK: u16 = 125;

/// The ports of this run. It listens on the first itself for as long as it lives: that keeps other
/// runs out, and the kernel gives the block back however the run ends.
struct Block {
    first: u16,
    /// How many have been given out; the count begins anew at the end of the block.
    given: u16,
    _held: TcpListener,
}

impl Block {
    fn reserve() -> Result<Block> {
        let mut firsts = PORTS.step_by(usize::from(BLOCK));
        let held = |first: u16| Some((first, bind(first)?));
        let (first, held) = firsts
            .find_map(held)
            .with_context(|| format!("other runs hold every block of ports in {PORTS:?}"))?;
        Ok(Block {
            first,
            given: 0,
            _held: held,
        })
    }

    /// The next port that nothing listens on.
    fn next(&mut self) -> Result<u16> {
        for _ in 1..BLOCK {
            self.given = self.given % (BLOCK - 1) + 1;
            let port = self.first + self.given;
            if bind(port).is_some() {
                return Ok(port);
            }
        }
        bail!("no free port behind {}", self.first)
    }
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

/// A port that nothing listens on and no other run will take.
pub fn free_port() -> Result<u16> {
    static OWN: Mutex<Option<Block>> = Mutex::new(None);
    let mut own = OWN.lock();
    match own.as_mut() {
        Some(block) => block.next(),
        None => own.insert(Block::reserve()?).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_share_no_port() {
        let (mut one, mut other) = (Block::reserve().unwrap(), Block::reserve().unwrap());
        let ports = |block: &mut Block| -> Vec<u16> {
            (1..BLOCK).filter_map(|_| block.next().ok()).collect()
        };
        let (one, other) = (ports(&mut one), ports(&mut other));
        assert!(one.len() > 10 && other.len() > 10);
        assert!(one.iter().all(|port| !other.contains(port)));
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let mut block = Block::reserve().unwrap();
        let first = block.next().unwrap();
        let second = bind(first + 1);
        let next = block.next().unwrap();
        assert!(second.is_none() || next != first + 1);
        assert_ne!(next, first);
    }
}
