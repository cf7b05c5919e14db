//! What normal rows look like: fits the three novelty scores on normal rows alone.

use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::models::encode::{Encoder, Feature};
use crate::models::parts::hbos::{Hbos, Histogram};
use crate::models::parts::isolation::{Cut, Isolation, usual_depth};
use crate::models::parts::pca::Pca;

use super::prepare::Prepared;
use super::random::Random;

/// Settings of the novelty scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Novelty {
    /// Components of the reconstruction; at least 1. More: only stranger mixes are found.
    pub components: usize,
    /// Rows that the components are fitted on, drawn by the seed.
    pub component_rows: usize,
    /// Bins of the histogram of each number.
    pub histogram_bins: usize,
    /// Trees of the isolation forest.
    pub isolation_trees: usize,
    /// Rows that each isolation tree sees.
    pub isolation_rows: usize,
}

impl Default for Novelty {
    fn default() -> Self {
        Self {
            components: 30,
            component_rows: 20_000,
            histogram_bins: 32,
            isolation_trees: 100,
            isolation_rows: 256,
        }
    }
}

/// Fits the reconstruction; `None` when no component was found (too few rows, or all alike).
pub(crate) fn pca(data: &Prepared, encoder: &Encoder, how: &Novelty, seed: u64) -> Option<Pca> {
    let width = data.wide_width;
    let mut chosen: Vec<usize> = (0..data.rows).collect();
    Random::new(seed, 0).choose(&mut chosen, how.component_rows);
    chosen.truncate(how.component_rows.max(2));
    let (centre, factor) = centring(data, encoder);
    let mut pca = Pca { centre, factor, components: Vec::new() };
    let mut rows = Vec::with_capacity(chosen.len() * width);
    let mut one = Vec::new();
    for row in chosen {
        pca.centred(data.wide(row), &mut one);
        rows.extend(one.iter().map(|value| f64::from(*value)));
    }
    let matrix = Array2::from_shape_vec((rows.len() / width.max(1), width), rows).ok()?;
    let components = how.components.clamp(1, width.saturating_sub(1).max(1));
    let fitted = linfa_reduction::Pca::params(components).fit(&DatasetBase::from(matrix)).ok()?;
    pca.components = fitted.components().iter().map(|value| *value as f32).collect();
    pca.is_sound(width).then_some(pca)
}

/// What is taken off each number of the wide view, and what the rest is multiplied by: the mean and
/// the inverse of the standard deviation for a word's 0 or 1; numbers are standardised already.
fn centring(data: &Prepared, encoder: &Encoder) -> (Vec<f32>, Vec<f32>) {
    let is_word: Vec<bool> = encoder
        .wide_features()
        .iter()
        .map(|n| matches!(encoder.features[*n], Feature::Category { .. }))
        .collect();
    let count = data.rows.max(1) as f32;
    let one = |place: usize| {
        if !is_word[place] {
            return (0.0, 1.0);
        }
        let with = (0..data.rows).filter(|row| data.wide(*row)[place] > 0.0).count() as f32;
        // Half a row more, so that a word that no normal row has is rare and not impossible.
        let share = (with + 0.5) / (count + 1.0);
        (share, 1.0 / (share * (1.0 - share)).sqrt().max(1e-3))
    };
    (0..data.wide_width).map(one).unzip()
}

/// Counts how often values occur.
pub(crate) fn hbos(data: &Prepared, encoder: &Encoder, how: &Novelty) -> Hbos {
    let bins = how.histogram_bins.clamp(2, 10_000);
    let histogram = |(n, feature): (usize, &Feature)| {
        if matches!(feature, Feature::Category { .. }) {
            return None;
        }
        let values = || (0..data.rows).map(|row| data.narrow(row)[n]);
        let low = values().fold(f32::INFINITY, f32::min).min(f32::MAX);
        let high = values().fold(f32::NEG_INFINITY, f32::max).max(low);
        // A number that never varies has one unit around it.
        let range = if high - low > 1e-6 { high - low } else { 1.0 };
        let low = if data.rows == 0 { 0.0 } else { low };
        let bins_per_unit = bins as f32 / range;
        let mut counts = vec![0.5f64; bins];
        for value in values() {
            let place = ((value - low) * bins_per_unit) as usize;
            counts[place.min(bins - 1)] += 1.0;
        }
        let rarity = |count: f64| (-(count / (data.rows as f64 + 1.0)).ln()).max(0.0) as f32;
        let rarities = counts.iter().map(|count| rarity(*count)).collect();
        Some(Histogram { low, bins_per_unit, rarity: rarities, outside: rarity(0.5) })
    };
    Hbos { histograms: encoder.features.iter().enumerate().map(histogram).collect() }
}

/// Grows trees of random cuts on small samples.
pub(crate) fn isolation(data: &Prepared, how: &Novelty, seed: u64) -> Isolation {
    let sample = how.isolation_rows.clamp(2, 4096).min(data.rows.max(1));
    let deepest = (sample as f64).log2().ceil() as usize;
    let mut forest =
        Isolation { nodes: Vec::new(), roots: Vec::new(), usual_depth: usual_depth(sample) };
    let mut all: Vec<u32> = (0..data.rows as u32).collect();
    for tree in 0..how.isolation_trees.max(1) {
        let mut random = Random::new(seed, tree as u64 + 1);
        random.choose(&mut all, sample);
        forest.roots.push(forest.nodes.len() as u32);
        forest.nodes.push(Cut::default());
        let root = forest.nodes.len() - 1;
        let mut rows = all[..sample.min(all.len())].to_vec();
        isolate(&mut forest.nodes, root, data, &mut rows, 0, deepest, &mut random);
    }
    forest
}

fn isolate(
    nodes: &mut Vec<Cut>,
    node: usize,
    data: &Prepared,
    rows: &mut [u32],
    depth: usize,
    deepest: usize,
    random: &mut Random,
) {
    let cut = if depth < deepest { random_cut(data, rows, random) } else { None };
    let Some((feature, value)) = cut else {
        nodes[node].value = depth as f32 + usual_depth(rows.len());
        return;
    };
    rows.sort_by(|a, b| {
        let value = |row: &u32| data.narrow(*row as usize)[feature];
        value(a).total_cmp(&value(b)).then(a.cmp(b))
    });
    let middle = rows.partition_point(|row| data.narrow(*row as usize)[feature] < value);
    let left = nodes.len();
    nodes[node] = Cut { left: left as u32, feature: feature as u16, value };
    nodes.extend([Cut::default(); 2]);
    let (low, high) = rows.split_at_mut(middle);
    isolate(nodes, left, data, low, depth + 1, deepest, random);
    isolate(nodes, left + 1, data, high, depth + 1, deepest, random);
}

/// A feature that varies among the rows, and a place between its ends.
fn random_cut(data: &Prepared, rows: &[u32], random: &mut Random) -> Option<(usize, f32)> {
    let mut features: Vec<usize> = (0..data.narrow_width).collect();
    random.choose(&mut features, data.narrow_width);
    features.into_iter().find_map(|feature| {
        let values = || rows.iter().map(|row| data.narrow(*row as usize)[feature]);
        let low = values().fold(f32::INFINITY, f32::min);
        let high = values().fold(f32::NEG_INFINITY, f32::max);
        let value = low + (high - low) * random.unit() as f32;
        // Both sides must get rows.
        (low < high).then_some((feature, if value > low { value } else { high }))
    })
}
