//! Hosts far from every group of hosts: K-means with the number of groups chosen by silhouette.
//!
//! The distance of a host to the nearest centre is taken in units of what is usual in that group, so
//! that a wide group may be wide.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::alarms::Alarms;
use super::novelty::{
    Hosts, Model, Novelty, Row, Seen, WIDTH, shares_of_distance, squared_distance,
};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "kmeans";
/// Silhouettes are computed over so many rows: they cost the square of it.
const SILHOUETTE_ROWS: usize = 200;
/// Centres follow from so many rows.
const FITTED_ROWS: usize = 1_000;
/// Rounds of one fit; groups of hosts settle within ten.
const ROUNDS: u64 = 15;
/// Groups are at least so wide, in spreads: hosts of a group of nearly equal ones differ, too.
const LEAST_WIDTH: f32 = 0.5;

/// Settings of the detector `kmeans`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Most groups that are tried; 2–20. The number with the best silhouette is taken.
    pub max_clusters: usize,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, max_clusters: 8, alarms: Alarms::default(), hosts: Hosts::default() }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("max_clusters", self.max_clusters as u64, 2)?;
        keys.at_most("max_clusters", self.max_clusters as u64, 20)?;
        self.alarms.check(&keys)?;
        self.hosts.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let (alarms, hosts) = (self.alarms.clone(), self.hosts.clone());
        Box::new(Novelty::<Groups>::new(alarms, hosts, self.max_clusters))
    }
}

/// Groups of like rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Groups {
    centres: Vec<Row>,
    /// The distance from the centre within which nine of ten rows of a group are.
    widths: Vec<f32>,
}

impl Groups {
    /// Returns the groups of `rows`: of 2 to `most`, as many as have the best silhouette; `None`
    /// when the rows cannot be parted. Pure: the seed is fixed.
    pub(super) fn of(rows: &[Row], most: usize) -> Option<Self> {
        let all = matrix(&some_of(rows, FITTED_ROWS));
        let sample = Sample::of(some_of(rows, SILHOUETTE_ROWS));
        let mut best: Option<(f32, Vec<Row>)> = None;
        for count in 2..=most.min(rows.len() / 4) {
            let Some((silhouette, centres)) = part(&all, &sample, count) else { continue };
            if best.as_ref().is_none_or(|(least, _)| silhouette > *least) {
                best = Some((silhouette, centres));
            }
        }
        let (_, centres) = best?;
        let mut distances = vec![Vec::new(); centres.len()];
        for row in rows {
            let (group, squared) = nearest(&centres, row);
            distances[group].push(squared.sqrt());
        }
        let widths = distances.into_iter().map(width).collect();
        Some(Self { centres, widths })
    }

    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.centres.len()
    }

    /// The group with the nearest centre.
    pub(super) fn group_of(&self, row: &Row) -> usize {
        nearest(&self.centres, row).0
    }
}

/// Returns `count` centres and how well they part the sample.
fn part(all: &Array2<f32>, sample: &Sample, count: usize) -> Option<(f32, Vec<Row>)> {
    let data = DatasetBase::from(all.view());
    let parameters = KMeans::params(count).n_runs(1).max_n_iterations(ROUNDS).tolerance(1e-3);
    let model = parameters.fit(&data).ok()?;
    let centres = rows_of(model.centroids().view());
    let are_finite = centres.iter().flatten().all(|value| value.is_finite());
    let silhouette = sample.silhouette(&centres).filter(|_| are_finite)?;
    Some((silhouette, centres))
}

/// Rows with the distances between them, which are the same for every number of groups: working
/// them out for each anew took twice as long as finding the groups.
struct Sample {
    rows: Vec<Row>,
    /// Row by row.
    distances: Vec<f32>,
}

impl Sample {
    fn of(rows: Vec<Row>) -> Self {
        let from = |row: &Row| {
            rows.iter().map(|other| squared_distance(row, other).sqrt()).collect::<Vec<_>>()
        };
        let distances = rows.iter().flat_map(from).collect();
        Self { rows, distances }
    }

    /// The mean silhouette (Rousseeuw 1987), −1 to 1; that of a row alone in its group is 0. `None`
    /// when all rows are of one group.
    fn silhouette(&self, centres: &[Row]) -> Option<f32> {
        let groups: Vec<_> = self.rows.iter().map(|row| nearest(centres, row).0).collect();
        let mut sizes = vec![0u32; centres.len()];
        groups.iter().for_each(|&group| sizes[group] += 1);
        if sizes.iter().filter(|size| **size > 0).count() < 2 {
            return None;
        }
        let mut sum = 0.0;
        for (distances, &own) in self.distances.chunks_exact(self.rows.len()).zip(&groups) {
            let mut sums = vec![0.0f32; centres.len()];
            distances.iter().zip(&groups).for_each(|(distance, &group)| sums[group] += distance);
            let others = (0..centres.len()).filter(|&group| group != own && sizes[group] > 0);
            let means = others.map(|group| sums[group] / sizes[group] as f32);
            let beyond = means.fold(f32::INFINITY, f32::min);
            if sizes[own] > 1 {
                let within = sums[own] / (sizes[own] - 1) as f32;
                sum += (beyond - within) / beyond.max(within).max(f32::MIN_POSITIVE);
            }
        }
        Some(sum / self.rows.len() as f32)
    }
}

/// Returns the rows as linfa takes them.
pub(super) fn matrix(rows: &[Row]) -> Array2<f32> {
    let values = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), WIDTH), values).expect("every row has the same width")
}

/// Returns about `count` rows, evenly chosen.
fn some_of(rows: &[Row], count: usize) -> Vec<Row> {
    let step = rows.len().div_ceil(count).max(1);
    rows.iter().step_by(step).copied().collect()
}

fn rows_of(matrix: ArrayView2<'_, f32>) -> Vec<Row> {
    let row = |values: ndarray::ArrayView1<'_, f32>| std::array::from_fn(|n| values[n]);
    matrix.axis_iter(Axis(0)).map(row).collect()
}

fn nearest(centres: &[Row], row: &Row) -> (usize, f32) {
    let distances = centres.iter().map(|centre| squared_distance(centre, row)).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

fn width(mut distances: Vec<f32>) -> f32 {
    distances.sort_by(f32::total_cmp);
    let place = distances.len() * 9 / 10;
    distances.get(place).copied().unwrap_or_default().max(LEAST_WIDTH)
}

impl Model for Groups {
    const ID: &'static str = ID;
    type Settings = usize;

    fn fit(most: &usize, rows: &[Row], _seen: &[Seen], _previous: Option<Self>) -> Option<Self> {
        Self::of(rows, *most)
    }

    fn score(&self, _: &usize, rows: &[Row]) -> Vec<f32> {
        let one = |row: &Row| {
            let (group, squared) = nearest(&self.centres, row);
            squared.sqrt() / self.widths[group]
        };
        rows.iter().map(one).collect()
    }

    fn shares(&self, row: &Row) -> Row {
        shares_of_distance(row, &self.centres[self.group_of(row)])
    }

    fn words(&self, score: f32) -> String {
        format!(
            "is like none of the {} groups of hosts (distance to the nearest: {score:.1} times the usual)",
            self.len()
        )
    }

    fn is_usable(&self, _: &usize) -> bool {
        !self.centres.is_empty() && self.centres.len() == self.widths.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::novelty;

    #[test]
    fn a_host_unlike_all_others_is_found_and_the_others_are_not() {
        novelty::finds_the_odd_host(&Config::default());
    }

    #[test]
    fn a_restart_changes_nothing() {
        novelty::survives_a_restart(&Config::default());
    }

    #[test]
    fn three_blobs_are_three_groups() {
        let rows: Vec<_> = (0..300u16)
            .map(|n| {
                let mut row = [f32::from(n % 7) / 20.0; WIDTH];
                row[usize::from(n % 3)] += 10.0;
                row
            })
            .collect();
        let groups = Groups::of(&rows, 8).unwrap();
        assert_eq!(groups.len(), 3);
        assert_eq!(groups.group_of(&rows[4]), groups.group_of(&rows[1]));
        assert_ne!(groups.group_of(&rows[0]), groups.group_of(&rows[1]));
    }

    #[test]
    fn the_silhouette_is_that_of_its_definition() {
        let rows = [0.0, 1.0, 4.0, 6.0].map(|value| {
            let mut row = [0.0; WIDTH];
            row[0] = value;
            row
        });
        let sample = Sample::of(rows.to_vec());
        // Groups {0, 1} and {4, 6}: (5−1)/5, (4−1)/4, (3.5−2)/3.5, (5.5−2)/5.5.
        let expected = (0.8 + 0.75 + 3.0 / 7.0 + 7.0 / 11.0) / 4.0;
        let found = sample.silhouette(&[rows[0], rows[3]]).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        assert_eq!(sample.silhouette(&[rows[0]]), None, "one group");
    }

    #[test]
    fn rows_that_are_all_alike_have_no_groups() {
        assert_eq!(Groups::of(&[[1.0; WIDTH]; 100], 8), None);
    }
}
