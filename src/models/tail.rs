//! Scores → surprise: how rare a score is among normal rows.
//!
//! The surprise of a score is −ln of the share of held-out normal rows that score at least as high.
//! It is what lets scores of unlike models be fused: 3 means "one normal row in twenty" for each.
//! Beyond what was seen an exponential tail goes on, so that no two high scores become equal (the
//! mean excess of the last rows is its scale: Pickands 1975 with shape 0).

use serde::{Deserialize, Serialize};

/// Surprise between two stored points.
const STEP: f64 = 0.05;
/// So many rows stand behind the last point and the tail beyond it.
const TAIL_ROWS: usize = 30;

/// The tail of one score among normal rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Ascending; point n has the surprise n × [`STEP`].
    points: Vec<f64>,
    /// Surprise per unit of score beyond the last point.
    slope: f64,
}

impl Tail {
    /// Learns the tail from scores of held-out normal rows; NaN counts as the lowest.
    pub fn fit(scores: &[f64]) -> Self {
        let mut sorted: Vec<f64> =
            scores.iter().map(|s| if s.is_finite() { *s } else { f64::MIN / 4.0 }).collect();
        sorted.sort_by(f64::total_cmp);
        let rows = sorted.len();
        let mut points = Vec::new();
        for n in 0.. {
            let above = (rows as f64 * (-STEP * f64::from(n)).exp()).floor() as usize;
            if above < TAIL_ROWS.min(rows).max(1) {
                break;
            }
            points.extend(sorted.get(rows - above.min(rows)));
        }
        let Some(last) = points.last().copied() else {
            return Self { points: vec![0.0], slope: 1.0 };
        };
        let beyond: Vec<f64> = sorted.iter().copied().filter(|score| *score > last).collect();
        let excess =
            beyond.iter().map(|score| score - last).sum::<f64>() / beyond.len().max(1) as f64;
        // Scores that are all equal still need a tail; a thousandth of their range will do.
        let range = last - points[0];
        let excess = [excess, range / 1000.0, 1e-9].into_iter().find(|x| *x > 0.0 && x.is_finite());
        Self { points, slope: excess.map_or(1.0, |excess| 1.0 / excess) }
    }

    /// The surprise of a score, from 0; NaN has none. O(log points).
    pub fn surprise(&self, score: f64) -> f64 {
        let place = self.points.partition_point(|point| *point < score);
        let (Some(&first), Some(&last)) = (self.points.first(), self.points.last()) else {
            return 0.0;
        };
        if place == self.points.len() {
            let highest = (self.points.len() - 1) as f64 * STEP;
            return highest + ((score - last) * self.slope).clamp(0.0, 1e6);
        }
        if place == 0 || score <= first {
            return 0.0;
        }
        let (low, high) = (self.points[place - 1], self.points[place]);
        let part = ((score - low) / (high - low)).clamp(0.0, 1.0);
        ((place - 1) as f64 + part) * STEP
    }

    pub(crate) fn is_sound(&self) -> bool {
        let is_finite = self.slope.is_finite() && self.points.iter().all(|point| point.is_finite());
        is_finite && self.slope > 0.0 && !self.points.is_empty() && self.points.is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_score_that_one_in_twenty_reaches_has_the_surprise_of_one_in_twenty() {
        let scores: Vec<f64> = (0..10_000).map(|n| f64::from(n).sqrt()).collect();
        let tail = Tail::fit(&scores);
        let surprise = tail.surprise(9_500f64.sqrt());
        assert!((surprise - 20f64.ln()).abs() < 0.03, "{surprise}");
    }

    #[test]
    fn beyond_the_last_score_surprise_still_grows() {
        let tail = Tail::fit(&(0..1000).map(f64::from).collect::<Vec<_>>());
        assert!(tail.surprise(2000.0) > tail.surprise(1500.0));
        assert!(tail.surprise(1500.0) > tail.surprise(999.0));
        assert_eq!(tail.surprise(f64::NAN), 0.0);
    }

    proptest! {
        #[test]
        fn surprise_never_falls_and_is_finite(
            scores in prop::collection::vec(-1e6f64..1e6, 0..200), a in -2e6f64..2e6, b in -2e6f64..2e6,
        ) {
            let tail = Tail::fit(&scores);
            prop_assert!(tail.is_sound());
            let (low, high) = (tail.surprise(a.min(b)), tail.surprise(a.max(b)));
            prop_assert!(0.0 <= low && low <= high && high.is_finite(), "{low} {high}");
        }
    }
}
