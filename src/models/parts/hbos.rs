//! How rare each number of a row is by itself: histogram-based outlier score (Goldstein & Dengel
//! 2012).

use serde::{Deserialize, Serialize};

/// Histograms of normal rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hbos {
    /// One for each feature; `None` for words, whose place in a row is their rarity already.
    pub(crate) histograms: Vec<Option<Histogram>>,
}

/// The rarity of each bin of one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    /// The lower end of the first bin.
    pub(crate) low: f32,
    pub(crate) bins_per_unit: f32,
    /// −ln of the share of normal rows, at least; outside, more than the rarest by the distance.
    pub(crate) rarity: Vec<f32>,
    /// The rarity of an empty bin.
    pub(crate) outside: f32,
}

impl Histogram {
    fn rarity(&self, value: f32) -> f32 {
        let place = (value - self.low) * self.bins_per_unit;
        let bins = self.rarity.len() as f32;
        // The highest value stands on the upper end.
        if (0.0..=bins).contains(&place) {
            return self.rarity[(place as usize).min(self.rarity.len() - 1)];
        }
        let beyond = if place < 0.0 { -place } else { place - bins } / bins;
        self.outside + beyond.ln_1p()
    }
}

impl Hbos {
    fn rarities<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        self.histograms.iter().zip(row).map(|(histogram, value)| {
            f64::from(histogram.as_ref().map_or(*value, |histogram| histogram.rarity(*value)))
        })
    }

    pub(crate) fn score(&self, row: &[f32]) -> f64 {
        self.rarities(row).sum()
    }

    pub(crate) fn explain(&self, row: &[f32], shares: &mut [f64]) {
        shares.iter_mut().zip(self.rarities(row)).for_each(|(share, rarity)| *share += rarity);
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let sound = |h: &Histogram| {
            h.low.is_finite()
                && h.bins_per_unit.is_finite()
                && h.bins_per_unit > 0.0
                && !h.rarity.is_empty()
                && h.outside.is_finite()
                && h.rarity.iter().all(|rarity| rarity.is_finite())
        };
        self.histograms.len() == features && self.histograms.iter().flatten().all(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rarity_is_that_of_the_bin_and_grows_outside() {
        let histogram =
            Histogram { low: -1.0, bins_per_unit: 1.0, rarity: vec![0.0, 2.0], outside: 5.0 };
        assert_eq!([-1.0, -0.1, 0.0, 1.0].map(|x| histogram.rarity(x)), [0.0, 0.0, 2.0, 2.0]);
        assert!(histogram.rarity(9.0) > histogram.rarity(2.0) && histogram.rarity(-2.0) > 5.0);
        let hbos = Hbos { histograms: vec![Some(histogram), None] };
        assert_eq!(hbos.score(&[0.5, 3.0]), 5.0);
        assert!(hbos.is_sound(2) && !hbos.is_sound(1));
    }
}
