//! Where attack begins, and how likely one is: both from the scores of held-out rows.

use crate::models::Odds;

/// Scores beyond are as good as certain, and must not tilt the line.
const FARTHEST: f64 = 50.0;

/// The least score above which at most `rate` of the scores lie: rows of equal score are called
/// normal together rather than break the rate.
pub(crate) fn threshold_for_rate(scores: &[f64], rate: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let allowed = (sorted.len() as f64 * rate).floor() as usize;
    let highest_normal = sorted.len().checked_sub(allowed + 1).and_then(|n| sorted.get(n));
    highest_normal.map_or(0.0, |score| score.next_up())
}

/// The highest threshold that at least `recall` of the attacks' scores reach (system 004's was one
/// place too high).
pub(crate) fn threshold_for_recall(scores: &[f64], recall: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let needed = (sorted.len() as f64 * recall).ceil().max(1.0) as usize;
    sorted.get(needed - 1).copied().unwrap_or(0.0)
}

/// The line from score to log-odds that fits the rows best (Platt 1999), by Newton's steps. Rows are
/// scores with weights.
pub(crate) fn platt(normals: &[(f64, f64)], attacks: &[(f64, f64)]) -> Odds {
    let rows = || {
        let normals = normals.iter().map(|(score, weight)| (*score, 0.0, *weight));
        normals.chain(attacks.iter().map(|(score, weight)| (*score, 1.0, *weight)))
    };
    let (mut slope, mut start) = (1.0, -3.0);
    for _ in 0..50 {
        // A little pull towards a slope of 1 keeps separable scores finite.
        let (mut g, mut h) = ([slope - 1.0, 0.0], [1.0, 0.0, 1e-6]);
        for (score, truth, weight) in rows() {
            let score = score.min(FARTHEST);
            let p = 1.0 / (1.0 + f64::exp(-(slope * score + start)));
            let (error, spread) = (weight * (p - truth), weight * p * (1.0 - p));
            g = [g[0] + error * score, g[1] + error];
            h = [h[0] + spread * score * score, h[1] + spread * score, h[2] + spread];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        if determinant.abs() < 1e-12 {
            break;
        }
        let step =
            [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        slope -= step[0].clamp(-1.0, 1.0);
        start -= step[1].clamp(-2.0, 2.0);
        if step[0].abs() + step[1].abs() < 1e-9 {
            break;
        }
    }
    let is_sound = f64::is_finite(slope) && f64::is_finite(start);
    // The probability must rise with the score.
    if is_sound { Odds { slope: slope.max(1e-3), start } } else { Odds { slope: 1.0, start: -3.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_keep_what_they_promise() {
        let scores: Vec<f64> = (0..100).map(f64::from).collect();
        let above = |threshold: f64| scores.iter().filter(|score| **score >= threshold).count();
        assert_eq!(above(threshold_for_rate(&scores, 0.05)), 5);
        assert_eq!(above(threshold_for_recall(&scores, 0.9)), 90);
        assert_eq!(threshold_for_rate(&[1.0; 10], 0.5), 1.0f64.next_up());
        assert_eq!(threshold_for_rate(&[], 0.5), 0.0);
    }

    #[test]
    fn the_probability_is_calibrated() {
        // At score s an attack is e^(s − 3) times as likely as a normal row.
        let normals: Vec<f64> =
            (0..4000).map(|n| -(1.0 - (f64::from(n) + 0.5) / 4000.0).ln()).collect();
        let attacks: Vec<f64> = (0..4000).map(|n| f64::from(n) / 4000.0 * 10.0).collect();
        let weighted = |all: &[f64]| all.iter().map(|score| (*score, 1.0)).collect::<Vec<_>>();
        let odds = platt(&weighted(&normals), &weighted(&attacks));
        let near = |score: f64| {
            let count =
                |all: &[f64]| all.iter().filter(|s| (**s - score).abs() < 0.3).count() as f64;
            count(&attacks) / (count(&attacks) + count(&normals))
        };
        for score in [1.0, 2.0, 3.0, 4.0] {
            let (p, seen) = (odds.probability(score), near(score));
            assert!((p - seen).abs() < 0.08, "{score}: {p} {seen}");
        }
    }
}
