//! Raw scores → tail probabilities, by counting in their own recent past.
//!
//! Traffic is heavy-tailed: a rule such as "beyond three interquartile ranges" is broken by one pair
//! in ten, every window. What is rare is a score higher than nearly all windows of the last day
//! had. For exchangeable scores the probability below is exact, whatever their distribution: it is
//! at most α in a fraction α of the cases (a rank test).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The last scores of one kind and how a new one ranks among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "State", into = "State")]
pub struct Calibrator {
    capacity: usize,
    /// Oldest first.
    recent: VecDeque<f64>,
    /// The same scores, ascending.
    sorted: Vec<f64>,
}

/// The form that a snapshot keeps.
#[derive(Serialize, Deserialize)]
struct State {
    capacity: usize,
    /// The bits of the scores, because numbers may come back from JSON with another last digit and
    /// would not equal a like score any more.
    recent: Vec<u64>,
}

impl Calibrator {
    /// Returns a calibrator that remembers the last `capacity` scores (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), recent: VecDeque::new(), sorted: Vec::new() }
    }

    /// Returns the same with room for `capacity` scores (at least one); the oldest go first.
    pub fn resized(self, capacity: usize) -> Self {
        let mut resized = Self::new(capacity);
        self.recent.into_iter().for_each(|score| resized.record(score));
        resized
    }

    /// How many scores it remembers.
    pub fn len(&self) -> usize {
        self.recent.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    /// The probability, in (0, 1], of a score at least this high: (1 + past scores that were) /
    /// (past scores + 1). Ask before [`Calibrator::record`]. O(log n).
    pub fn probability(&self, score: f64) -> f64 {
        let below = self.sorted.partition_point(|&past| past < score);
        let at_least = self.sorted.len() - below;
        (1 + at_least) as f64 / (self.sorted.len() + 1) as f64
    }

    /// The lowest probability that it can give now: 1 / (past scores + 1).
    pub fn floor(&self) -> f64 {
        1.0 / (self.sorted.len() + 1) as f64
    }

    /// Remembers a score in place of the oldest; NaN and infinities are ignored. O(n) moves of memory.
    pub fn record(&mut self, score: f64) {
        if !score.is_finite() {
            return;
        }
        if self.recent.len() >= self.capacity
            && let Some(oldest) = self.recent.pop_front()
        {
            let place = self.sorted.partition_point(|&past| past < oldest);
            self.sorted.remove(place);
        }
        self.recent.push_back(score);
        let place = self.sorted.partition_point(|&past| past < score);
        self.sorted.insert(place, score);
    }
}

impl From<State> for Calibrator {
    fn from(state: State) -> Self {
        let mut calibrator = Self::new(state.capacity);
        state.recent.into_iter().for_each(|bits| calibrator.record(f64::from_bits(bits)));
        calibrator
    }
}

impl From<Calibrator> for State {
    fn from(calibrator: Calibrator) -> Self {
        let recent = calibrator.recent.into_iter().map(f64::to_bits).collect();
        Self { capacity: calibrator.capacity, recent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn without_a_past_nothing_is_improbable() {
        assert_eq!(Calibrator::new(5).probability(1e9), 1.0);
    }

    #[test]
    fn equal_scores_of_the_past_count_as_at_least_as_high() {
        let mut calibrator = Calibrator::new(10);
        [1.0, 2.0, 2.0].into_iter().for_each(|score| calibrator.record(score));
        assert_eq!(calibrator.probability(2.0), 3.0 / 4.0);
        assert_eq!(calibrator.probability(3.0), calibrator.floor());
    }

    /// 20,000 heavy-tailed scores: the share of probabilities up to α is α. Three standard errors of
    /// a binomial share; neighbours share most of their past, hence the factor two on top.
    #[test]
    fn probabilities_of_like_scores_are_uniform() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut calibrator = Calibrator::new(2_000);
        let mut seen = Vec::new();
        for n in 0..22_000 {
            let score = random.random::<f64>().powi(-3);
            if n >= 2_000 {
                seen.push(calibrator.probability(score));
            }
            calibrator.record(score);
        }
        for alpha in [0.003, 0.01, 0.1, 0.5, 0.9] {
            let share = seen.iter().filter(|&&p| p <= alpha).count() as f64 / seen.len() as f64;
            let error = (alpha * (1.0 - alpha) / seen.len() as f64).sqrt();
            assert!((share - alpha).abs() < 6.0 * error, "{alpha}: {share}");
        }
    }

    proptest! {
        #[test]
        fn it_counts_in_the_last_scores_alone_and_survives_a_snapshot(
            scores in prop::collection::vec(-5i32..5, 0..60),
            capacity in 1usize..20,
            asked in -6i32..6,
        ) {
            let mut calibrator = Calibrator::new(capacity);
            scores.iter().for_each(|&score| calibrator.record(f64::from(score)));
            let last = &scores[scores.len().saturating_sub(capacity)..];
            let at_least = last.iter().filter(|&&past| past >= asked).count();
            let expected = (1 + at_least) as f64 / (last.len() + 1) as f64;
            prop_assert_eq!(calibrator.probability(f64::from(asked)), expected);
            let resized = calibrator.clone().resized(3).recent;
            prop_assert!(resized.iter().eq(calibrator.recent.iter().rev().take(3).rev()));
            let text = serde_json::to_string(&calibrator).unwrap();
            prop_assert_eq!(serde_json::from_str::<Calibrator>(&text).unwrap(), calibrator);
        }
    }
}
