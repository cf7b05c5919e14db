//! Whether what a model reads, and how often it says attack, is still what it was trained for.
//!
//! The model file holds how its normal training rows spread over about ten groups of values of each
//! feature. [`Drift`] counts the rows that come in by the same groups; the population
//! stability index (Siddiqi 2006) tells how far the two are apart: Σ (a − e) · ln (a / e) over the
//! shares of the groups. By convention below 0.1 nothing has changed, above 0.25 much has.

use serde::{Deserialize, Serialize};

use super::model::{Model, Prediction, Scratch};

/// Each group has at least this share of the normal training rows, as far as values can be parted.
const GROUP_SHARE: f64 = 0.1;
/// Rows from which on an index is told: with ten groups chance alone gives about 0.01 then.
pub const FEWEST_ROWS: u64 = 1_000;
/// From here on an index is said to be much, by convention.
pub const MUCH: f64 = 0.25;
/// Counts of groups that are empty on one side are taken to be so much.
const NEXT_TO_NOTHING: f64 = 0.5;

/// How normal training rows spread over the values of each feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Normal rows that it was made of.
    rows: u64,
    /// One for each column of the schema.
    features: Vec<Groups>,
}

/// The groups of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Groups {
    /// The group of each bin of the encoder.
    of_bin: Vec<u8>,
    /// Normal rows in each group.
    rows: Vec<u64>,
}

impl Groups {
    /// Puts neighbouring bins together until each group has its share.
    fn of(counts: &[u64]) -> Self {
        let least = GROUP_SHARE * counts.iter().sum::<u64>() as f64;
        let (mut of_bin, mut rows) = (Vec::with_capacity(counts.len()), vec![0]);
        for (bin, &count) in counts.iter().enumerate() {
            let last = rows.len() - 1;
            of_bin.push(last as u8);
            rows[last] += count;
            let is_full = rows[last] as f64 >= least && rows[last] > 0;
            if is_full && bin + 1 < counts.len() {
                rows.push(0);
            }
        }
        Self { of_bin, rows }
    }

    fn is_sound(&self, bins: usize) -> bool {
        let last = self.rows.len();
        self.of_bin.len() == bins && self.of_bin.iter().all(|group| usize::from(*group) < last)
    }
}

impl Profile {
    /// `bins` are the bins of each feature; `rows` the encoded normal rows, feature by feature.
    pub(crate) fn of<'r>(bins: &[usize], rows: impl Iterator<Item = &'r [u8]>) -> Self {
        let mut counts: Vec<Vec<u64>> = bins.iter().map(|bins| vec![0; *bins]).collect();
        let mut number = 0;
        for row in rows {
            number += 1;
            for (counts, bin) in counts.iter_mut().zip(row) {
                counts[usize::from(*bin)] += 1;
            }
        }
        Self { rows: number, features: counts.iter().map(|counts| Groups::of(counts)).collect() }
    }

    pub(crate) fn is_sound(&self, bins: &[usize]) -> bool {
        self.features.len() == bins.len()
            && self.features.iter().zip(bins).all(|(groups, bins)| groups.is_sound(*bins))
    }
}

/// Counts what a model reads and says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    rows: u64,
    attacks: u64,
    /// By feature and group.
    counts: Vec<Vec<u64>>,
}

/// How far what comes in is from what the model was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Rows that were counted.
    pub rows: u64,
    /// The share of them that is said to be an attack.
    pub attack_share: f64,
    /// The share of normal rows that the threshold was set to call an attack; `None` without one.
    pub expected_share: Option<f64>,
    /// The population stability index of each feature, the greatest first; empty with fewer rows than
    /// [`FEWEST_ROWS`].
    pub features: Vec<FeatureDrift>,
}

/// How far the values of one feature are from those of normal training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// The column.
    pub feature: String,
    /// The population stability index, from 0.
    pub index: f64,
}

impl DriftReport {
    /// The features whose index is at least [`MUCH`].
    pub fn much(&self) -> impl Iterator<Item = &FeatureDrift> {
        self.features.iter().filter(|feature| feature.index >= MUCH)
    }
}

impl Drift {
    /// How many rows were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts a row for which `model` has just filled `scratch` and `said`.
    pub fn note(&mut self, model: &Model, scratch: &Scratch, said: &Prediction) {
        let profile = &model.body.profile;
        if self.counts.len() != profile.features.len() {
            self.counts =
                profile.features.iter().map(|groups| vec![0; groups.rows.len()]).collect();
        }
        self.rows += 1;
        self.attacks += u64::from(said.is_attack);
        let groups = profile.features.iter().zip(&scratch.row.bins);
        for (counts, (groups, bin)) in self.counts.iter_mut().zip(groups) {
            if let Some(group) = groups.of_bin.get(usize::from(*bin)) {
                counts[usize::from(*group)] += 1;
            }
        }
    }

    /// Halves all counts, so that what comes later weighs more.
    pub fn fade(&mut self) {
        self.rows /= 2;
        self.attacks /= 2;
        self.counts.iter_mut().flatten().for_each(|count| *count /= 2);
    }

    /// Compares with what `model` was trained on; it must be the one that was counted for.
    pub fn report(&self, model: &Model) -> DriftReport {
        let columns = model.schema.columns.iter();
        let pairs = model.body.profile.features.iter().zip(&self.counts);
        let mut features: Vec<_> = columns
            .zip(pairs)
            .filter(|_| self.rows >= FEWEST_ROWS)
            .map(|(column, (groups, counts))| FeatureDrift {
                feature: column.name.clone(),
                index: stability_index(&groups.rows, counts),
            })
            .collect();
        features.sort_by(|a, b| b.index.total_cmp(&a.index));
        DriftReport {
            rows: self.rows,
            attack_share: self.attacks as f64 / self.rows.max(1) as f64,
            expected_share: model.facts.threshold.false_positive_rate(),
            features,
        }
    }
}

/// The population stability index of two counts over the same groups.
fn stability_index(expected: &[u64], actual: &[u64]) -> f64 {
    let share = |counts: &[u64]| {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|count| (*count as f64).max(NEXT_TO_NOTHING) / all).collect::<Vec<_>>()
    };
    let both = share(expected).into_iter().zip(share(actual));
    both.map(|(e, a)| (a - e) * (a / e).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bins_are_put_together_until_each_group_has_a_tenth() {
        let groups = Groups::of(&[0, 90, 3, 3, 3, 1, 0]);
        assert_eq!(groups.of_bin, [0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(groups.rows, [90, 10, 0], "what normal rows never have is a group of its own");
        assert_eq!(Groups::of(&[5]).rows, [5]);
    }

    #[test]
    fn the_index_is_that_of_its_definition() {
        let index = stability_index(&[50, 50], &[90, 10]);
        let expected = (0.9 - 0.5) * (0.9f64 / 0.5).ln() + (0.1 - 0.5) * (0.1f64 / 0.5).ln();
        assert!((index - expected).abs() < 1e-12, "{index}");
    }

    proptest! {
        #[test]
        fn an_index_is_never_negative_and_nothing_for_the_same_shares(
            counts in prop::collection::vec(1u64..1_000, 1..12),
            other in prop::collection::vec(0u64..1_000, 12),
            times in 1u64..9,
        ) {
            let same: Vec<_> = counts.iter().map(|count| count * times).collect();
            prop_assert!(stability_index(&counts, &same).abs() < 1e-9);
            prop_assert!(stability_index(&counts, &other[..counts.len()]) >= -1e-9);
        }
    }
}
