//! Hosts far from every group of hosts: K-means with the number of groups chosen by silhouette.
//!
//! The distance of a host to the nearest centre is taken in units of what is usual in that group, so
//! that a wide group may be wide.

use linfa::DatasetBase;
use linfa::metrics::SilhouetteScore;
use linfa::traits::{Fit, Predict};
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
        let (all, sample) = (some_of(rows, FITTED_ROWS), some_of(rows, SILHOUETTE_ROWS));
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
fn part(all: &Array2<f32>, sample: &Array2<f32>, count: usize) -> Option<(f32, Vec<Row>)> {
    let data = DatasetBase::from(all.view());
    let parameters = KMeans::params(count).n_runs(1).max_n_iterations(ROUNDS).tolerance(1e-3);
    let model = parameters.fit(&data).ok()?;
    let groups = model.predict(sample);
    let is_parted = groups.iter().any(|group| *group != groups[0]);
    let silhouette = DatasetBase::new(sample.view(), groups).silhouette_score().ok()?;
    let centres = rows_of(model.centroids().view());
    // Rows that are all alike have no silhouette.
    let is_sound = is_parted && silhouette.is_finite();
    let are_finite = centres.iter().flatten().all(|value| value.is_finite());
    (is_sound && are_finite).then_some((silhouette, centres))
}

/// Returns the rows as linfa takes them.
pub(super) fn matrix(rows: &[Row]) -> Array2<f32> {
    let values = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), WIDTH), values).expect("every row has the same width")
}

/// Returns about `count` rows, evenly chosen.
fn some_of(rows: &[Row], count: usize) -> Array2<f32> {
    let step = rows.len().div_ceil(count).max(1);
    let some: Vec<_> = rows.iter().step_by(step).copied().collect();
    matrix(&some)
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
    fn rows_that_are_all_alike_have_no_groups() {
        assert_eq!(Groups::of(&[[1.0; WIDTH]; 100], 8), None);
    }
}
