//! System 000's model: groups of past hosts, and the vote of the nearest past hosts.
//!
//! K-means groups the past. Which groups are normal is learned: those that were there in enough of
//! the windows; a burst fills a group, but only for a while. A host is unusual when its nearest past
//! hosts, weighted by their nearness, belong to other groups, and when even they are far.

use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::alarms::Alarms;
use super::kmeans::Groups;
use super::novelty::{Hosts, Model, Novelty, Row, Seen, shares_of_distance, squared_distance};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "knn";
/// Distances below this, in spreads, are as good as none.
const NEAR: f32 = 0.25;
/// How much a unanimous vote for groups that are not normal weighs: as much as being so many times
/// as far away as usual.
const VOTE: f32 = 9.0;

/// Settings of the detector `knn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Neighbours that vote; 1–100.
    pub neighbours: usize,
    /// Most groups of past hosts that are tried; 2–20.
    pub max_clusters: usize,
    /// A group is normal when it was there in at least this share (0–1) of the windows in memory.
    /// Higher: rare habits of hosts are unusual.
    pub min_presence: f64,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            neighbours: 8,
            max_clusters: 14,
            min_presence: 0.02,
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
        keys.at_least("neighbours", self.neighbours as u64, 1)?;
        keys.at_most("neighbours", self.neighbours as u64, 100)?;
        keys.at_least("max_clusters", self.max_clusters as u64, 2)?;
        keys.at_most("max_clusters", self.max_clusters as u64, 20)?;
        keys.fraction("min_presence", self.min_presence)?;
        self.alarms.check(&keys)?;
        self.hosts.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let (alarms, hosts) = (self.alarms.clone(), self.hosts.clone());
        Box::new(Novelty::<Neighbours>::new(alarms, hosts, self.clone()))
    }
}

/// Past hosts and whether the group of each is normal.
#[derive(Clone, Serialize, Deserialize)]
struct Neighbours {
    rows: Vec<Row>,
    is_normal: Vec<bool>,
    /// The distance within which nine of ten past hosts have their neighbours.
    usual: f32,
}

impl Neighbours {
    /// Returns places and distances of the nearest past hosts, the nearest first; ties by place. A
    /// look at each of 2,000 rows takes a third of the time that a search tree does.
    fn nearest(&self, row: &Row, count: usize) -> Vec<(usize, f32)> {
        let mut nearest: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
        for (place, past) in self.rows.iter().enumerate() {
            let squared = squared_distance(row, past);
            if nearest.len() < count || nearest.last().is_some_and(|last| squared < last.1) {
                let at = nearest.partition_point(|known| known.1 <= squared);
                nearest.insert(at, (place, squared));
                nearest.truncate(count);
            }
        }
        nearest.iter_mut().for_each(|(_, squared)| *squared = squared.sqrt());
        nearest
    }

    fn judge(&self, nearest: &[(usize, f32)]) -> f32 {
        let (mut weights, mut against) = (0.0, 0.0);
        for &(place, distance) in nearest {
            let weight = 1.0 / distance.max(NEAR);
            weights += weight;
            against += if self.is_normal[place] { 0.0 } else { weight };
        }
        let distance = mean(nearest) / self.usual;
        let vote = if weights > 0.0 { against / weights } else { 0.0 };
        distance.max(VOTE * vote)
    }
}

fn mean(nearest: &[(usize, f32)]) -> f32 {
    let sum: f32 = nearest.iter().map(|(_, distance)| distance).sum();
    sum / nearest.len().max(1) as f32
}

/// Whether each row is of a group that was there in enough windows.
fn normal(groups: &Groups, rows: &[Row], seen: &[Seen], min_presence: f64) -> Vec<bool> {
    let group_of: Vec<_> = rows.iter().map(|row| groups.group_of(row)).collect();
    let distinct = |mut windows: Vec<i64>| {
        windows.sort_unstable();
        windows.dedup();
        windows.len() as f64
    };
    let all = distinct(seen.iter().map(|seen| seen.window).collect());
    let is_normal: Vec<_> = (0..groups.len())
        .map(|group| {
            let own = group_of.iter().zip(seen).filter(|(of, _)| **of == group);
            distinct(own.map(|(_, seen)| seen.window).collect()) >= min_presence * all
        })
        .collect();
    group_of.into_iter().map(|group| is_normal[group]).collect()
}

impl Model for Neighbours {
    const ID: &'static str = ID;
    type Settings = Config;

    fn fit(
        settings: &Config,
        rows: &[Row],
        seen: &[Seen],
        _previous: Option<Self>,
    ) -> Option<Self> {
        let is_normal = match Groups::of(rows, settings.max_clusters) {
            Some(groups) => normal(&groups, rows, seen, settings.min_presence),
            None => vec![true; rows.len()],
        };
        let mut model = Self { rows: rows.to_vec(), is_normal, usual: 1.0 };
        let step = rows.len().div_ceil(500).max(1);
        let sample: Vec<_> = rows.iter().step_by(step).copied().collect();
        // Every row is its own nearest neighbour.
        let reach = |row| mean(model.nearest(row, settings.neighbours + 1).get(1..).unwrap_or(&[]));
        let mut distances: Vec<_> = sample.iter().map(reach).collect();
        distances.sort_by(f32::total_cmp);
        model.usual = distances.get(distances.len() * 9 / 10).copied()?.max(NEAR);
        Some(model)
    }

    fn score(&self, settings: &Config, rows: &[Row]) -> Vec<f32> {
        let judge = |row| self.judge(&self.nearest(row, settings.neighbours));
        rows.iter().map(judge).collect()
    }

    fn shares(&self, row: &Row) -> Row {
        let nearest = self.nearest(row, 1).first().map_or(row, |&(place, _)| &self.rows[place]);
        shares_of_distance(row, nearest)
    }

    fn words(&self, score: f32) -> String {
        format!("is like no usual host of the past (score {score:.1}, usual up to 1)")
    }

    fn is_usable(&self, _: &Config) -> bool {
        self.rows.len() == self.is_normal.len() && self.usual > 0.0
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

    /// A group of the past that filled in one window is no normal one, however many hosts it has.
    #[test]
    fn a_burst_of_the_past_does_not_make_its_like_normal() {
        let row = |value: f32, n: u16| [value + f32::from(n % 9) / 10.0; WIDTH];
        let past: Vec<_> = (0..400u16)
            .map(|n| if n < 300 { (row(0.0, n), i64::from(n)) } else { (row(20.0, n), 7) })
            .collect();
        let rows: Vec<_> = past.iter().map(|(row, _)| *row).collect();
        let seen = |&(row, window): &(Row, i64)| Seen { row, host: 1, window };
        let seen: Vec<_> = past.iter().map(seen).collect();
        let config = Config::default();
        let model = Neighbours::fit(&config, &rows, &seen, None).unwrap();
        let scored = model.score(&config, &[row(0.0, 4), row(20.0, 4), row(90.0, 4)]);
        assert!(scored[0] < 1.0, "{scored:?}");
        assert!(scored[1] > 1.0, "{scored:?}");
        assert!(scored[2] > 5.0 * scored[1], "{scored:?}");
    }
}
