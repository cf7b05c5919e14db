//! Weights on the wide view: logistic regression and linear support vectors.

use serde::{Deserialize, Serialize};

use crate::models::tree::{margin_of_logs, softmax};

use super::pca::dot;

/// One weighted sum for each class, or one in all for two classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Linear {
    /// Class by class.
    pub(crate) weights: Vec<f32>,
    pub(crate) intercepts: Vec<f32>,
}

impl Linear {
    pub(crate) fn classes(&self) -> usize {
        self.intercepts.len().max(2)
    }

    fn sums(&self, row: &[f32], out: &mut Vec<f64>) {
        out.clear();
        let sums = self.weights.chunks_exact(row.len().max(1)).zip(&self.intercepts);
        out.extend(sums.map(|(weights, start)| f64::from(dot(weights, row) + start)));
    }

    /// The log-odds against the normal class.
    pub(crate) fn margin(&self, row: &[f32], normal: usize, spare: &mut Vec<f64>) -> f64 {
        self.sums(row, spare);
        match spare[..] {
            [sum] if normal == 0 => sum,
            [sum] => -sum,
            _ => margin_of_logs(spare, normal),
        }
    }

    pub(crate) fn probabilities(&self, row: &[f32], out: &mut Vec<f64>) {
        self.sums(row, out);
        if let [sum] = out[..] {
            let second = 1.0 / (1.0 + (-sum).exp());
            out.splice(.., [1.0 - second, second]);
        } else {
            softmax(out);
        }
    }

    pub(crate) fn explain(&self, row: &[f32], wide: &[usize], normal: usize, shares: &mut [f64]) {
        let classes = self.weights.chunks_exact(row.len().max(1)).enumerate();
        for (class, weights) in classes {
            let sign = match (self.intercepts.len(), class == normal) {
                (1, _) if normal == 0 => 1.0,
                (1, _) | (_, true) => -1.0,
                (_, false) => continue,
            };
            for ((weight, value), feature) in weights.iter().zip(row).zip(wide) {
                shares[*feature] += sign * f64::from(weight * value);
            }
        }
    }

    pub(crate) fn is_sound(&self, width: usize) -> bool {
        !self.intercepts.is_empty()
            && self.weights.len() == self.intercepts.len() * width
            && self.weights.iter().chain(&self.intercepts).all(|weight| weight.is_finite())
    }
}
