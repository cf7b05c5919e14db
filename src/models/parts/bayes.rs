//! Gaussian naive Bayes. Ours, because the classes of `linfa-bayes` stand in a `HashMap`, whose order
//! makes equal models different files.

use serde::{Deserialize, Serialize};

use crate::models::tree::{margin_of_logs, softmax};

/// Means and variances of each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bayes {
    /// ln of the share of each class.
    pub(crate) priors: Vec<f64>,
    /// Class by class, feature by feature: mean and variance.
    pub(crate) moments: Vec<(f32, f32)>,
}

impl Bayes {
    pub(crate) fn classes(&self) -> usize {
        self.priors.len()
    }

    pub(crate) fn probabilities(&self, row: &[f32], out: &mut Vec<f64>) {
        self.logs(row, out);
        softmax(out);
    }

    /// The log-odds against the normal class.
    pub(crate) fn margin(&self, row: &[f32], normal: usize, spare: &mut Vec<f64>) -> f64 {
        self.logs(row, spare);
        margin_of_logs(spare, normal)
    }

    /// The logarithm of the share of each class times its density at the row.
    fn logs(&self, row: &[f32], out: &mut Vec<f64>) {
        out.clear();
        let classes = self.moments.chunks_exact(row.len().max(1)).zip(&self.priors);
        out.extend(classes.map(|(moments, prior)| {
            let each = moments.iter().zip(row);
            let one = |((mean, variance), value): (&(f32, f32), &f32)| {
                let distance = f64::from(value - mean);
                distance * distance / f64::from(*variance) + f64::from(*variance).ln()
            };
            prior - 0.5 * each.map(one).sum::<f64>()
        }));
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let fits = |(mean, variance): &(f32, f32)| mean.is_finite() && *variance > 0.0;
        !self.priors.is_empty()
            && self.moments.len() == self.priors.len() * features
            && self.moments.iter().all(fits)
            && self.priors.iter().all(|prior| prior.is_finite())
    }
}
