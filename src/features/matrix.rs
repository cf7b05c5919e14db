//! Named feature matrices: what learned and statistical detectors compute on.

use ndarray::Array2;

/// Something with numbers under published names.
pub trait NamedFeatures {
    /// The names, in the order of the values.
    const NAMES: &'static [&'static str];
    /// Appends one value per name.
    fn write_features(&self, out: &mut Vec<f64>);
}

/// One row per subject, one column per named feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMatrix {
    /// Column names.
    pub names: &'static [&'static str],
    /// Shape (subjects, features), rows in the order of the subjects.
    pub values: Array2<f64>,
}

impl FeatureMatrix {
    /// Returns the matrix of `rows`. O(rows × features).
    pub fn of<F: NamedFeatures>(rows: &[F]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * F::NAMES.len());
        rows.iter().for_each(|row| row.write_features(&mut values));
        let values = Array2::from_shape_vec((rows.len(), F::NAMES.len()), values)
            .expect("every row writes one value per name");
        Self { names: F::NAMES, values }
    }

    /// The column of a feature, `None` for an unknown name.
    pub fn column(&self, name: &str) -> Option<ndarray::ArrayView1<'_, f64>> {
        let index = self.names.iter().position(|&known| known == name)?;
        Some(self.values.column(index))
    }
}

/// Returns the `q` quantile (0–1) of ascending `sorted` values by linear interpolation, as NumPy's
/// default and system 001 have it; `None` when there are none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let sorted = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 30.0];
        assert_eq!(quantile(&sorted, 0.25), Some(1.0));
        assert_eq!(quantile(&sorted, 0.75), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0], 0.9), Some(1.9));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
