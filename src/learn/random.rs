//! Seeded choices: the few that training needs, the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of choices.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream `part` of a seed: parts that draw from streams of their own do not depend on each
    /// other's order.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut source = ChaCha8Rng::seed_from_u64(seed);
        source.set_stream(part);
        Self(source)
    }

    /// A number below `end`; 0 when `end` is 0. Off from uniform by at most `end` / 2⁶⁴.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The product of two 64-bit numbers, shifted by 64 bits, is below `end`.
        ((u128::from(self.0.next_u64()) * end as u128) >> 64) as usize
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Brings `count` items, chosen without repetition, to the front, in random order.
    pub(crate) fn choose<T>(&mut self, items: &mut [T], count: usize) {
        for n in 0..count.min(items.len()) {
            let other = n + self.below(items.len() - n);
            items.swap(n, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_part_give_the_same_choices() {
        let draw = |seed, part| (0..5).map(|_| Random::new(seed, part).below(1 << 60)).next();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn choices_are_below_their_end_and_without_repetition() {
        let mut random = Random::new(1, 0);
        assert!((0..1000).all(|_| random.below(7) < 7 && (0.0..1.0).contains(&random.unit())));
        assert_eq!(random.below(0), 0);
        let mut items: Vec<usize> = (0..50).collect();
        random.choose(&mut items, 20);
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
