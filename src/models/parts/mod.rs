//! The parts a model is made of: each gives a row a score that rises with the evidence of an attack.

pub(crate) mod bayes;
pub(crate) mod hbos;
pub(crate) mod isolation;
pub(crate) mod linear;
pub(crate) mod neighbours;
pub(crate) mod pca;

use serde::{Deserialize, Serialize};

use super::encode::{Encoded, Encoder};
use super::tree::Ensemble;

use bayes::Bayes;
use hbos::Hbos;
use isolation::Isolation;
use linear::Linear;
use neighbours::{Clusters, Neighbours};
use pca::Pca;

/// One learned score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Part {
    Trees(Ensemble),
    Linear(Linear),
    Neighbours(Neighbours),
    Clusters(Clusters),
    Bayes(Bayes),
    Pca(Pca),
    Hbos(Hbos),
    Isolation(Isolation),
}

/// Memory that scoring works in, used again for every row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spare {
    pub(crate) outputs: Vec<f64>,
    pub(crate) numbers: Vec<f32>,
    pub(crate) nearest: Vec<(f32, u32)>,
}

impl Part {
    /// The evidence of an attack; any finite number. `normal` is the code of the normal class.
    pub(crate) fn score(&self, row: &Encoded, normal: usize, spare: &mut Spare) -> f64 {
        match self {
            Self::Trees(trees) => trees.margin(&row.bins, normal, &mut spare.outputs),
            Self::Pca(pca) => pca.score(&row.wide, &mut spare.numbers),
            Self::Hbos(hbos) => hbos.score(&row.narrow),
            Self::Isolation(forest) => forest.score(&row.narrow),
            Self::Linear(linear) => linear.margin(&row.wide, normal, &mut spare.outputs),
            Self::Bayes(bayes) => bayes.margin(&row.narrow, normal, &mut spare.outputs),
            Self::Neighbours(_) | Self::Clusters(_) => {
                let mut outputs = std::mem::take(&mut spare.outputs);
                self.probabilities(row, spare, &mut outputs);
                let normal = outputs.get(normal).copied().unwrap_or(0.0);
                spare.outputs = outputs;
                odds(1.0 - normal)
            }
        }
    }

    /// Fills in the probability of each class and says whether this part knows classes at all.
    pub(crate) fn probabilities(
        &self,
        row: &Encoded,
        spare: &mut Spare,
        out: &mut Vec<f64>,
    ) -> bool {
        match self {
            Self::Trees(trees) => trees.probabilities(&row.bins, out),
            Self::Linear(linear) => linear.probabilities(&row.wide, out),
            Self::Neighbours(knn) => knn.probabilities(&row.wide, &mut spare.nearest, out),
            Self::Clusters(clusters) => clusters.probabilities(&row.wide, spare, out),
            Self::Bayes(bayes) => bayes.probabilities(&row.narrow, out),
            Self::Pca(_) | Self::Hbos(_) | Self::Isolation(_) => return false,
        }
        true
    }

    /// How many classes it knows; `None` for novelty.
    pub(crate) fn classes(&self) -> Option<usize> {
        match self {
            Self::Trees(trees) => Some(trees.classes()),
            Self::Linear(linear) => Some(linear.classes()),
            Self::Neighbours(knn) => Some(knn.count),
            Self::Clusters(clusters) => Some(clusters.classes),
            Self::Bayes(bayes) => Some(bayes.classes()),
            Self::Pca(_) | Self::Hbos(_) | Self::Isolation(_) => None,
        }
    }

    /// Adds to `shares` how much each feature speaks for an attack, in any unit. Parts without a
    /// cheap answer of their own say how unusual each number is.
    pub(crate) fn explain(&self, row: &Encoded, wide: &[usize], normal: usize, shares: &mut [f64]) {
        match self {
            Self::Trees(trees) => trees.explain(&row.bins, normal, shares),
            Self::Pca(pca) => pca.explain(&row.wide, wide, shares),
            Self::Hbos(hbos) => hbos.explain(&row.narrow, shares),
            Self::Isolation(forest) => forest.explain(&row.narrow, shares),
            Self::Linear(linear) => linear.explain(&row.wide, wide, normal, shares),
            Self::Neighbours(_) | Self::Clusters(_) | Self::Bayes(_) => {
                shares.iter_mut().zip(&row.narrow).for_each(|(s, x)| *s += f64::from(x * x));
            }
        }
    }

    /// Whether it fits the encoder and no row can lead outside of it.
    pub(crate) fn is_sound(&self, encoder: &Encoder) -> bool {
        let (features, width) = (encoder.features(), encoder.width());
        match self {
            Self::Trees(trees) => trees.is_sound(features),
            Self::Linear(linear) => linear.is_sound(width),
            Self::Neighbours(knn) => knn.is_sound(width),
            Self::Clusters(clusters) => clusters.is_sound(width),
            Self::Bayes(bayes) => bayes.is_sound(features),
            Self::Pca(pca) => pca.is_sound(width),
            Self::Hbos(hbos) => hbos.is_sound(features),
            Self::Isolation(forest) => forest.is_sound(features),
        }
    }
}

/// The log-odds of a probability, cut off where nothing finite is meant.
pub(crate) fn odds(probability: f64) -> f64 {
    let p = if probability.is_nan() { 0.5 } else { probability.clamp(1e-12, 1.0 - 1e-12) };
    (p / (1.0 - p)).ln()
}
