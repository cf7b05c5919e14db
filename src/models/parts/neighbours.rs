//! Nearest neighbours among stored rows, and system 000's variant of them whose classes are clusters.
//!
//! A plain walk over all stored rows: at 41 to 122 columns an index saves nothing (a k-d tree of
//! `linfa-nn` made 9,650 queries a second on 20,000 rows of 121 columns) and borrows what it indexes.

use serde::{Deserialize, Serialize};

use super::Spare;

/// Stored rows with their classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Neighbours {
    pub(crate) rows: Vec<f32>,
    pub(crate) classes: Vec<u16>,
    /// How many neighbours vote, each with the inverse of its distance.
    pub(crate) k: usize,
    /// How many classes there are.
    pub(crate) count: usize,
}

/// Neighbours vote for clusters, and each cluster stands for classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Clusters {
    /// Its classes are clusters.
    pub(crate) neighbours: Neighbours,
    /// Cluster by cluster, the share of each class.
    pub(crate) shares: Vec<f64>,
    pub(crate) classes: usize,
}

impl Neighbours {
    pub(crate) fn probabilities(
        &self,
        row: &[f32],
        nearest: &mut Vec<(f32, u32)>,
        out: &mut Vec<f64>,
    ) {
        nearest.clear();
        let stored = self.rows.chunks_exact(row.len().max(1)).zip(0u32..);
        nearest.extend(stored.map(|(other, n)| (distance(row, other), n)));
        let k = self.k.clamp(1, nearest.len().max(1));
        if nearest.len() > k {
            // Ties go to the row stored first.
            nearest.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            nearest.truncate(k);
        }
        nearest.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        out.clear();
        out.resize(self.count, 0.0);
        for (distance, n) in nearest.iter() {
            let vote = 1.0 / (f64::from(*distance).sqrt() + 1e-6);
            out[usize::from(self.classes[*n as usize])] += vote;
        }
        let sum = out.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        out.iter_mut().for_each(|share| *share /= sum);
    }

    pub(crate) fn is_sound(&self, width: usize) -> bool {
        !self.classes.is_empty()
            && self.rows.len() == self.classes.len() * width
            && self.classes.iter().all(|class| usize::from(*class) < self.count)
            && self.rows.iter().all(|value| value.is_finite())
    }
}

impl Clusters {
    pub(crate) fn probabilities(&self, row: &[f32], spare: &mut Spare, out: &mut Vec<f64>) {
        let mut votes = Vec::with_capacity(self.neighbours.count);
        self.neighbours.probabilities(row, &mut spare.nearest, &mut votes);
        out.clear();
        out.resize(self.classes, 0.0);
        for (vote, shares) in votes.iter().zip(self.shares.chunks_exact(self.classes.max(1))) {
            out.iter_mut().zip(shares).for_each(|(sum, share)| *sum += vote * share);
        }
    }

    pub(crate) fn is_sound(&self, width: usize) -> bool {
        self.classes > 0
            && self.neighbours.is_sound(width)
            && self.shares.len() == self.neighbours.count * self.classes
            && self.shares.iter().all(|share| share.is_finite())
    }
}

/// The squared distance.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for n in 0..8 {
            sums[n] += (a[n] - b[n]) * (a[n] - b[n]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rows_vote_the_more_the_nearer_they_are() {
        let knn = Neighbours { rows: vec![0.0, 1.0, 9.0], classes: vec![0, 1, 1], k: 2, count: 2 };
        let mut out = Vec::new();
        knn.probabilities(&[0.2], &mut Vec::new(), &mut out);
        assert!((out[0] - 0.8).abs() < 1e-3, "{out:?}");
        assert!(knn.is_sound(1) && !knn.is_sound(2));
    }
}
