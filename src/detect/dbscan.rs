//! Hosts in empty places: noise of a density-based clustering (DBSCAN) of past hosts.
//!
//! A past host is in the core of a cluster when enough others are near; a new one is noise when no
//! such host is near it. How far "near" is follows from the past hosts themselves.

use linfa::ParamGuard;
use linfa::traits::Transformer;
use linfa_clustering::Dbscan;
use linfa_nn::distance::L2Dist;
use linfa_nn::{KdTree, NearestNeighbour};
use ndarray::aview1;
use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::alarms::Alarms;
use super::kmeans::matrix;
use super::novelty::{Hosts, Model, Novelty, Row, Seen, shares_of_distance, squared_distance};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "dbscan";
/// A radius below this, in spreads, would call ordinary rounding noise.
const LEAST_RADIUS: f32 = 0.25;

/// Settings of the detector `dbscan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Past hosts within the radius that make a cluster, the host itself among them; 2–100.
    /// Higher: rare habits are noise.
    pub min_points: usize,
    /// The radius is such that this share (0–1) of the past hosts has so many others within it.
    pub dense_share: f64,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            min_points: 5,
            dense_share: 0.95,
            alarms: Alarms::default(),
            hosts: Hosts::default(),
        }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("min_points", self.min_points as u64, 2)?;
        keys.at_most("min_points", self.min_points as u64, 100)?;
        keys.fraction("dense_share", self.dense_share)?;
        self.alarms.check(&keys)?;
        self.hosts.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let (alarms, hosts) = (self.alarms.clone(), self.hosts.clone());
        Box::new(Novelty::<Density>::new(alarms, hosts, self.clone()))
    }
}

/// The clusters of past hosts.
#[derive(Clone, Serialize, Deserialize)]
struct Density {
    /// The rows in the cores of clusters.
    cores: Vec<Row>,
    radius: f32,
    clusters: u32,
}

impl Density {
    /// Returns the nearest core and the squared distance to it. O(cores).
    fn nearest<'a>(&'a self, row: &'a Row) -> (&'a Row, f32) {
        let distances = self.cores.iter().map(|core| (core, squared_distance(row, core)));
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((row, 0.0))
    }
}

/// Returns, for each row, the distance to the last of the `count` nearest, itself among them.
fn reaches(rows: &[Row], count: usize) -> Option<Vec<f32>> {
    let all = matrix(rows);
    let index = KdTree::new().from_batch(&all, L2Dist).ok()?;
    let reach = |row: &Row| {
        let found = index.k_nearest(aview1(row), count).ok()?;
        found.last().map(|&(_, place)| squared_distance(row, &rows[place]).sqrt())
    };
    rows.iter().map(reach).collect()
}

impl Model for Density {
    const ID: &'static str = ID;
    type Settings = Config;

    fn fit(
        settings: &Config,
        rows: &[Row],
        _seen: &[Seen],
        _previous: Option<Self>,
    ) -> Option<Self> {
        let reaches = reaches(rows, settings.min_points)?;
        let mut sorted = reaches.clone();
        sorted.sort_by(f32::total_cmp);
        let place = (settings.dense_share * (sorted.len() - 1) as f64) as usize;
        let radius = sorted[place].max(LEAST_RADIUS);
        let parameters = Dbscan::params(settings.min_points).tolerance(radius).check().ok()?;
        let labels = parameters.transform(&matrix(rows));
        let clusters = labels.iter().flatten().max().map_or(0, |last| last + 1);
        let is_core = |n: usize| labels[n].is_some() && reaches[n] <= radius;
        let mut cores: Vec<_> = (0..rows.len()).filter(|&n| is_core(n)).map(|n| rows[n]).collect();
        // Like rows say the same.
        cores.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        cores.dedup();
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        (!cores.is_empty()).then_some(Self { cores, radius, clusters })
    }

    fn score(&self, _: &Config, rows: &[Row]) -> Vec<f32> {
        rows.iter().map(|row| self.nearest(row).1.sqrt() / self.radius).collect()
    }

    fn shares(&self, row: &Row) -> Row {
        shares_of_distance(row, self.nearest(row).0)
    }

    fn words(&self, score: f32) -> String {
        format!(
            "lies outside all {} clusters of hosts ({score:.1} times the radius away)",
            self.clusters
        )
    }

    fn is_usable(&self, _: &Config) -> bool {
        !self.cores.is_empty() && self.radius > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::novelty::WIDTH;
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
    fn two_dense_places_are_clusters_and_a_row_between_them_is_noise() {
        let row = |value: f32, n: u16| [value + f32::from(n % 9) / 40.0; WIDTH];
        let mut rows: Vec<_> =
            (0..200).map(|n| row(if n % 2 == 0 { 0.0 } else { 20.0 }, n)).collect();
        rows.push(row(10.0, 0));
        let config = Config::default();
        let model = Density::fit(&config, &rows, &[], None).unwrap();
        assert_eq!(model.clusters, 2);
        let scored = model.score(&config, &[row(0.0, 3), row(20.0, 3), row(10.0, 0)]);
        assert!(scored[0] <= 1.0 && scored[1] <= 1.0, "{scored:?}");
        assert!(scored[2] > 5.0, "its like of the past was noise, too: {scored:?}");
    }
}
