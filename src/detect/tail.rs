//! Raw scores → tail probabilities under their own recent past.
//!
//! The body of the past is a histogram with bins of equal ratio whose old counts fade, so it holds
//! any number of scores in constant memory. Beyond the last scores that are frequent enough to be
//! counted, the tail is a generalised Pareto distribution fitted to the excesses (Pickands 1975), by
//! probability-weighted moments (Hosking & Wallis 1987) of the logarithms: the scores of traffic are
//! heavy-tailed, their logarithms are not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Neighbouring bins differ by so much of their value.
const BIN_WIDTH: f64 = 0.02;
/// Below this a score is nothing.
const LEAST_SCORE: f64 = 1e-9;
/// So many past scores at or above one make its rank a probability; with fewer the tail is fitted.
const COUNTED: f64 = 20.0;
/// The tail is fitted to this share of the past, …
const TAIL_SHARE: f64 = 0.1;
/// … or to so many scores, if that is more.
const TAIL_SCORES: f64 = 30.0;
/// A score less probable than this may be the attack itself: …
const SUSPICIOUS: f64 = 1e-3;
/// … it counts only so much in the past of later ones.
const SUSPICIOUS_WEIGHT: f64 = 0.02;
/// No past says more.
const LEAST_PROBABILITY: f64 = 1e-9;
/// The heaviest tail that is believed, on the logarithmic scale.
const HEAVIEST_SHAPE: f64 = 0.5;

/// The faded past of one kind of score.
///
/// What is improbable hardly changes it: who raises a score slowly moves it at the pace of ordinary
/// drift only as long as every step looks ordinary, and a burst leaves next to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "State", into = "State")]
pub struct Tail {
    /// Scores after which a count has faded to the half.
    half_life: f64,
    /// Counts by bin; a score that was just recorded counts 1.
    bins: BTreeMap<i32, f64>,
    total: f64,
    /// Scores ever recorded.
    recorded: u64,
}

/// The form that a snapshot keeps: numbers by their bits, which JSON cannot change.
#[derive(Serialize, Deserialize)]
struct State {
    half_life: u64,
    bins: Vec<(i32, u64)>,
    recorded: u64,
}

impl Tail {
    /// Returns a past without scores that fades to the half within `half_life` of them (at least 1).
    pub fn new(half_life: u64) -> Self {
        let half_life = half_life.max(1) as f64;
        Self { half_life, bins: BTreeMap::new(), total: 0.0, recorded: 0 }
    }

    /// How many scores were recorded, faded ones included.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// The probability, in (0, 1], of a score at least this high. Ask before [`Tail::record`].
    /// NaN counts as 0.
    pub fn probability(&self, score: f64) -> f64 {
        let bin = bin_of(score);
        let above: f64 = self.bins.range(bin..).map(|(_, count)| count).sum();
        let counted = (1.0 + above) / (1.0 + self.total);
        if above >= COUNTED {
            return counted.min(1.0);
        }
        self.fitted(bin).map_or(counted, |p| p.clamp(LEAST_PROBABILITY, counted)).min(1.0)
    }

    /// The probability by the fitted tail; `None` with too short a past, or one without spread.
    fn fitted(&self, bin: i32) -> Option<f64> {
        let wanted = TAIL_SCORES.max(self.total * TAIL_SHARE);
        let (mut within, mut threshold) = (0.0, None);
        for (&bin, &count) in self.bins.iter().rev() {
            within += count;
            if within >= wanted {
                threshold = Some(bin);
                break;
            }
        }
        let threshold = threshold?;
        if bin <= threshold || within >= self.total {
            return None;
        }
        // Moments of the excesses, the largest first: a1 weighs each by the share above it.
        let (mut a0, mut a1, mut above) = (0.0, 0.0, 0.0);
        for (&bin, &count) in self.bins.range(threshold..).rev() {
            let excess = f64::from(bin - threshold) * BIN_WIDTH;
            a0 += count * excess;
            a1 += count * excess * (above + 0.5 * count) / within;
            above += count;
        }
        (a0, a1) = (a0 / within, a1 / within);
        if a0 <= 0.0 {
            return None;
        }
        // A bounded end is never believed: the next attack is worse than all before.
        let shape = (2.0 - a0 / (a0 - 2.0 * a1).max(1e-9)).clamp(0.0, HEAVIEST_SHAPE);
        let scale = a0 * (1.0 - shape);
        let excess = f64::from(bin - threshold) * BIN_WIDTH;
        let survival = if shape < 1e-6 {
            (-excess / scale).exp()
        } else {
            (1.0 + shape * excess / scale).powf(-1.0 / shape)
        };
        Some(within / self.total * survival)
    }

    /// Remembers a score. What is improbable counts little, so that an attack does not become usual;
    /// NaN and infinities are ignored.
    pub fn record(&mut self, score: f64) {
        if !score.is_finite() {
            return;
        }
        let is_suspicious = self.total >= COUNTED / SUSPICIOUS_WEIGHT.sqrt()
            && self.probability(score) < SUSPICIOUS;
        let weight = if is_suspicious { SUSPICIOUS_WEIGHT } else { 1.0 };
        let kept = 0.5f64.powf(weight / self.half_life);
        for count in self.bins.values_mut() {
            *count *= kept;
        }
        self.bins.retain(|_, count| *count > 1e-6);
        *self.bins.entry(bin_of(score)).or_default() += weight;
        self.total = self.bins.values().sum();
        self.recorded += 1;
    }

    /// Returns the same past, which fades to the half within `half_life` scores from now on.
    pub fn fading(self, half_life: u64) -> Self {
        Self { half_life: half_life.max(1) as f64, ..self }
    }
}

fn bin_of(score: f64) -> i32 {
    // Saturates; NaN becomes 0.
    if score < LEAST_SCORE { i32::MIN } else { (score.ln() / BIN_WIDTH).ceil() as i32 }
}

impl From<State> for Tail {
    fn from(state: State) -> Self {
        let counts = state.bins.into_iter().map(|(bin, bits)| (bin, f64::from_bits(bits)));
        let bins: BTreeMap<_, _> =
            counts.filter(|(_, count)| count.is_finite() && *count > 0.0).collect();
        let total = bins.values().sum();
        let half_life = f64::from_bits(state.half_life).max(1.0);
        Self { half_life, bins, total, recorded: state.recorded }
    }
}

impl From<Tail> for State {
    fn from(tail: Tail) -> Self {
        Self {
            half_life: tail.half_life.to_bits(),
            bins: tail.bins.into_iter().map(|(bin, count)| (bin, count.to_bits())).collect(),
            recorded: tail.recorded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Scores of Pareto's law, P(score > s) = s^(-1/3).
    fn heavy(random: &mut ChaCha8Rng) -> f64 {
        random.random::<f64>().powi(-3)
    }

    /// A past of `scores` like scores.
    fn past(scores: usize, random: &mut ChaCha8Rng) -> Tail {
        let mut tail = Tail::new(20_000);
        (0..scores).for_each(|_| tail.record(heavy(random)));
        tail
    }

    #[test]
    fn without_a_past_nothing_is_improbable() {
        assert_eq!(Tail::new(5).probability(1e9), 1.0);
        assert_eq!(Tail::new(5).probability(f64::NAN), 1.0);
    }

    /// The share of probabilities up to α is about α, far beyond what the past can count.
    #[test]
    fn probabilities_are_what_they_say() {
        let mut seen = Vec::new();
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let tail = past(2_000, &mut random);
            seen.extend((0..20_000).map(|_| tail.probability(heavy(&mut random))));
        }
        let share = |alpha| seen.iter().filter(|&&p| p <= alpha).count() as f64 / seen.len() as f64;
        for alpha in [0.5, 0.1, 0.02] {
            assert!((share(alpha) / alpha - 1.0).abs() < 0.15, "{alpha}: {}", share(alpha));
        }
        for alpha in [1e-3, 1e-4] {
            assert!((0.3..3.0).contains(&(share(alpha) / alpha)), "{alpha}: {}", share(alpha));
        }
    }

    #[test]
    fn scores_beyond_the_past_are_told_apart() {
        let tail = past(2_000, &mut ChaCha8Rng::seed_from_u64(3));
        let far: Vec<_> = [1e6, 1e9, 1e12].map(|score| tail.probability(score)).to_vec();
        assert!(far.is_sorted_by(|a, b| a > b), "{far:?}");
        assert!(far[0] > 1e-3 && far[2] < 1e-3, "{far:?}");
    }

    #[test]
    fn a_new_level_becomes_usual_and_a_burst_does_not() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut tail = Tail::new(1_000);
        (0..3_000).for_each(|_| tail.record(random.random_range(1.0..2.0)));
        let mut drifted = tail.clone();
        assert!(tail.probability(50.0) < 1e-3);
        (0..200).for_each(|_| tail.record(random.random_range(50.0..60.0)));
        assert!(tail.probability(50.0) < 0.02, "a burst of a fifth of the memory");
        for step in 0..3_000 {
            let level = 1.0 + f64::from(step) / 100.0;
            drifted.record(level * random.random_range(1.0..2.0));
        }
        assert!(drifted.probability(35.0) > 0.1, "traffic that grows by and by");
    }

    proptest! {
        #[test]
        fn probabilities_fall_with_the_score_and_a_snapshot_changes_nothing(
            scores in prop::collection::vec(-1.0f64..1e6, 0..400),
            mut asked in prop::collection::vec(-1.0f64..1e9, 2..20),
        ) {
            let mut tail = Tail::new(100);
            scores.iter().for_each(|&score| tail.record(score));
            asked.sort_by(f64::total_cmp);
            let probabilities: Vec<_> = asked.iter().map(|&score| tail.probability(score)).collect();
            prop_assert!(probabilities.is_sorted_by(|a, b| a >= b), "{:?}", probabilities);
            prop_assert!(probabilities.iter().all(|p| *p > 0.0 && *p <= 1.0));
            let text = serde_json::to_string(&tail).unwrap();
            let mut read: Tail = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &tail);
            read.record(5.0);
            tail.record(5.0);
            prop_assert_eq!(read.fading(100), tail);
        }
    }
}
