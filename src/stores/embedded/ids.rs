//! Which ids may exist: a chain of Bloom filters that spares a dictionary look-up for nearly
//! every new id. It never says no to an id that was added.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Ids of the first filter; each further one holds twice as many.
const FIRST_CAPACITY: usize = 1 << 16;
/// Ten bits and seven probes per id: about one false alarm in a hundred.
const BITS_PER_ID: usize = 10;
const PROBES: u64 = 7;

/// A set of ids that answers "certainly not" or "perhaps". Takes 1.25 to 3.75 bytes per id.
#[derive(Default)]
pub(super) struct IdFilter {
    filters: Vec<Bloom>,
}

struct Bloom {
    bits: Vec<u64>,
    room: usize,
}

impl IdFilter {
    /// Adds an id.
    pub(super) fn insert(&mut self, id: &[u8]) {
        if self.filters.last().is_none_or(|filter| filter.room == 0) {
            self.filters.push(Bloom::new(FIRST_CAPACITY << self.filters.len().min(16)));
        }
        if let Some(last) = self.filters.last_mut() {
            let (first, step) = hash(id);
            last.insert(first, step);
        }
    }

    /// Whether `id` may have been added; false only when it was not.
    pub(super) fn may_contain(&self, id: &[u8]) -> bool {
        let (first, step) = hash(id);
        self.filters.iter().any(|filter| filter.may_contain(first, step))
    }
}

/// Two hashes from one: the halves, stretched; the second odd so that probes differ.
fn hash(id: &[u8]) -> (u64, u64) {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
    (hash, hash.rotate_left(32).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
}

impl Bloom {
    fn new(capacity: usize) -> Self {
        Self { bits: vec![0; capacity * BITS_PER_ID / 64 + 1], room: capacity }
    }

    fn places(&self, first: u64, step: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let size = self.bits.len() as u64 * 64;
        (0..PROBES).map(move |probe| {
            let bit = first.wrapping_add(probe.wrapping_mul(step)) % size;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn insert(&mut self, first: u64, step: u64) {
        for (word, mask) in self.places(first, step) {
            self.bits[word] |= mask;
        }
        self.room -= 1;
    }

    fn may_contain(&self, first: u64, step: u64) -> bool {
        self.places(first, step).all(|(word, mask)| self.bits[word] & mask != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_forgotten_and_few_others_are_suspected() {
        let mut filter = IdFilter::default();
        let id = |number: u32| format!("{number:032x}");
        for number in 0..200_000 {
            filter.insert(id(number).as_bytes());
        }
        assert!((0..200_000).all(|number| filter.may_contain(id(number).as_bytes())));
        let suspected =
            (200_000..300_000).filter(|number| filter.may_contain(id(*number).as_bytes()));
        // Expected: below 1 % for each of the two filters in use.
        assert!(suspected.count() < 3_000);
    }
}
