//! Seeded chance, the same on every machine: integers, IEEE basic operations and square roots
//! only, no mathematics library whose last digit differs between platforms.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of chance. Streams of one seed are independent: what one part of the simulation draws
/// never changes what another part sees.
#[derive(Clone, Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A whole number below `limit`; 0 for `limit` 0. The bias of at most `limit` / 2^64 is nothing
    /// that traffic could show.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A port from `low` to `high`, both included.
    pub(super) fn port(&mut self, low: u16, high: u16) -> u16 {
        self.between(u64::from(low), u64::from(high)) as u16
    }

    /// A number in [0, 1) with 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in [`low`, `high`).
    pub(super) fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Nearly normal with mean 0 and variance 1: the sum of four uniform numbers, so never beyond
    /// 3.47, which also keeps log-normal sizes from becoming absurd.
    pub(super) fn normal(&mut self) -> f64 {
        let word = self.word();
        let sum: u64 = (0..4).map(|part| (word >> (16 * part)) & 0xffff).sum();
        // Four uniform numbers on [0, 65535] have mean 131070 and deviation 65536 / √3.
        (sum as f64 - 131_070.0) / 37_837.2
    }

    /// A log-normal number with this median; `spread` is the deviation of its natural logarithm.
    pub(super) fn lognormal(&mut self, median: f64, spread: f64) -> f64 {
        median * exp2(self.normal() * spread * std::f64::consts::LOG2_E)
    }

    /// How many of many rare and independent events happen when `mean` are expected (Poisson).
    pub(super) fn count(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let limit = exp2(-mean * std::f64::consts::LOG2_E);
        let mut product = self.unit();
        let mut events = 0;
        while product > limit {
            product *= self.unit();
            events += 1;
        }
        events
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// 2 to the power of `x`, for `x` clamped to ±60, to seven digits.
fn exp2(x: f64) -> f64 {
    // ln(2)^n / n!, the Taylor series of 2^x.
    const SERIES: [f64; 9] = [
        1.0,
        std::f64::consts::LN_2,
        0.240_226_506_959_100_7,
        0.055_504_108_664_821_6,
        0.009_618_129_107_628_5,
        0.001_333_355_814_642_8,
        0.000_154_035_303_933_8,
        0.000_015_252_733_804_1,
        0.000_001_321_548_679_0,
    ];
    let x = x.clamp(-60.0, 60.0);
    let whole = x.floor();
    let fraction = x - whole;
    let mantissa = SERIES.iter().rev().fold(0.0, |sum, factor| sum * fraction + factor);
    mantissa * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// A well mixed number that is a function of both arguments (SplitMix64).
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Ranks drawn with given weights in one look-up: 65,536 slots, shared out by weight.
#[derive(Clone, Debug)]
pub(super) struct Weighted(Vec<u16>);

impl Weighted {
    /// Rank `n` (from 0) has weight 1 / (n + 1): Zipf's law, as popularity of servers has it.
    pub(super) fn zipf(ranks: u16) -> Self {
        Self::new(&(1..=ranks).map(|rank| 1.0 / f64::from(rank)).collect::<Vec<_>>())
    }

    /// `weights` must not be empty and their sum positive.
    pub(super) fn new(weights: &[f64]) -> Self {
        const SLOTS: usize = 1 << 16;
        let per_slot = weights.iter().sum::<f64>() / SLOTS as f64;
        let mut slots = Vec::with_capacity(SLOTS);
        let (mut rank, mut reached) = (0usize, weights[0]);
        for slot in 0..SLOTS {
            while reached < (slot as f64 + 0.5) * per_slot && rank + 1 < weights.len() {
                rank += 1;
                reached += weights[rank];
            }
            slots.push(rank as u16);
        }
        Self(slots)
    }

    pub(super) fn draw(&self, dice: &mut Dice) -> usize {
        usize::from(self.0[(dice.word() >> 48) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portable_power_agrees_with_the_library() {
        for x in [-40.0, -1.5, -0.1, 0.0, 0.3, 0.999, 7.7, 31.0] {
            assert!((exp2(x) / f64::exp2(x) - 1.0).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn draws_have_the_stated_moments() {
        let mut dice = Dice::new(1, 0);
        let draws = 100_000;
        let normal: Vec<f64> = (0..draws).map(|_| dice.normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(draws);
        let variance = normal.iter().map(|x| x * x).sum::<f64>() / f64::from(draws);
        // Standard errors at 100,000 draws are 0.003 and 0.004; five of them are allowed.
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        for expected in [0.02, 3.0, 200.0] {
            let events: u64 = (0..draws).map(|_| dice.count(expected)).sum();
            let mean = events as f64 / f64::from(draws);
            let error = (expected / f64::from(draws)).sqrt();
            assert!((mean - expected).abs() < 5.0 * error + 0.001 * expected, "{mean} {expected}");
        }
    }

    #[test]
    fn the_first_rank_is_twice_as_popular_as_the_second() {
        let (zipf, mut dice) = (Weighted::zipf(1000), Dice::new(2, 0));
        let mut counts = [0u32; 1000];
        (0..200_000).for_each(|_| counts[zipf.draw(&mut dice)] += 1);
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts.iter().filter(|&&count| count > 0).count() > 990);
    }
}
