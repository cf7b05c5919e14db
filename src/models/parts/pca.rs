//! The error of a reconstruction from principal components: numbers that do not go together as in
//! normal rows, though each may be ordinary (Shyu et al. 2003).

use serde::{Deserialize, Serialize};

/// Farthest distance of one number, in standard deviations.
const FARTHEST: f32 = 8.0;

/// Components of normal rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pca {
    /// What is taken off each number of the wide view, and what the rest is multiplied by.
    pub(crate) centre: Vec<f32>,
    pub(crate) factor: Vec<f32>,
    /// Orthonormal, one after the other.
    pub(crate) components: Vec<f32>,
}

impl Pca {
    /// The row around the centre of normal rows, in their standard deviations.
    pub(crate) fn centred(&self, row: &[f32], out: &mut Vec<f32>) {
        out.clear();
        let each = row.iter().zip(&self.centre).zip(&self.factor);
        out.extend(each.map(|((x, c), f)| ((x - c) * f).clamp(-FARTHEST, FARTHEST)));
    }

    /// ln of what the components leave unexplained: the squared length of the row less that of its
    /// shadow on the components.
    pub(crate) fn score(&self, row: &[f32], spare: &mut Vec<f32>) -> f64 {
        self.centred(row, spare);
        let mut rest = f64::from(dot(spare, spare));
        for component in self.components.chunks_exact(self.centre.len().max(1)) {
            rest -= f64::from(dot(spare, component)).powi(2);
        }
        (rest.max(0.0) + 1e-3).ln()
    }

    pub(crate) fn explain(&self, row: &[f32], wide: &[usize], shares: &mut [f64]) {
        let mut centred = Vec::new();
        self.centred(row, &mut centred);
        let mut rest = centred.clone();
        for component in self.components.chunks_exact(self.centre.len().max(1)) {
            let along = dot(&centred, component);
            rest.iter_mut().zip(component).for_each(|(rest, part)| *rest -= along * part);
        }
        for (rest, feature) in rest.iter().zip(wide) {
            shares[*feature] += f64::from(rest * rest);
        }
    }

    pub(crate) fn is_sound(&self, width: usize) -> bool {
        let all = || self.centre.iter().chain(&self.factor).chain(&self.components);
        self.centre.len() == width
            && self.factor.len() == width
            && self.components.len().checked_rem(width) == Some(0)
            && all().all(|value| value.is_finite())
    }
}

/// The inner product, in eight sums side by side, which is what the compiler turns into vectors.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for n in 0..8 {
            sums[n] += a[n] * b[n];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_the_component_has_no_error_and_the_odd_number_is_named() {
        let half = 0.5f32.sqrt();
        let pca = Pca { centre: vec![1.0; 2], factor: vec![1.0; 2], components: vec![half, half] };
        let score = |row: &[f32]| pca.score(row, &mut Vec::new());
        assert!(score(&[3.0, 3.0]) < -6.0);
        assert!(score(&[3.0, -1.0]) > 2.0);
        let mut shares = [0.0; 2];
        pca.explain(&[1.0, 4.0], &[0, 1], &mut shares);
        assert!((shares[0] - shares[1]).abs() < 1e-5);
    }

    #[test]
    fn the_inner_product_is_that_of_one_by_one() {
        let a: Vec<f32> = (0..19).map(|n| n as f32).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|n| (n * n) as f32).sum::<f32>());
    }
}
