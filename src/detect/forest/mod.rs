//! Hosts that are easy to cut off from all recent ones: a streaming random cut forest (Guha et al.
//! 2016), as OpenSearch's anomaly detection has it.
//!
//! Every tree holds a sample of recent hosts in which old ones fade. A host that a few random cuts
//! part from all others is unusual. The forest learns from every host it scores.

mod tree;

use serde::{Deserialize, Serialize};

use crate::features::mix;
use crate::model::SettingError;

use super::alarms::Alarms;
use super::novelty::{Hosts, Model, Novelty, Row, Seen, WIDTH};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

use tree::{Store, Tree};

const ID: &str = "forest";
/// Chooses the cuts of every forest.
const SEED: u64 = 0x5eed_f0e5_7000_0001;
/// Places in the shared store are numbers of 16 bits.
const MOST_POINTS: u64 = 60_000;

/// Settings of the detector `forest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Trees; 1–200. Higher: steadier scores, more time.
    pub trees: usize,
    /// Hosts that each tree holds; 16–1,000. Trees times hosts are at most 60,000.
    pub samples: usize,
    /// Hosts after which one is held with 1/e of the chance of a new one, in multiples of `samples`;
    /// at least 1. Higher: a longer memory.
    pub memory: u64,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them. The memory is used once, to begin
    /// with; `refit_windows` has no effect.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            trees: 50,
            samples: 256,
            memory: 1_000,
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
        keys.at_least("trees", self.trees as u64, 1)?;
        keys.at_most("trees", self.trees as u64, 200)?;
        keys.at_least("samples", self.samples as u64, 16)?;
        keys.at_most("samples", self.samples as u64, 1_000)?;
        let points = self.trees.saturating_mul(self.samples) as u64;
        keys.at_most("trees` × `samples", points, MOST_POINTS)?;
        keys.at_least("memory", self.memory, 1)?;
        self.alarms.check(&keys)?;
        self.hosts.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let (alarms, hosts) = (self.alarms.clone(), self.hosts.clone());
        Box::new(Novelty::<Forest>::new(alarms, hosts, self.clone()))
    }
}

/// A streaming random cut forest over rows of a fixed number of values.
///
/// Pure: its random numbers are a counter, mixed. Memory: at most `trees × samples` rows and twice
/// as many boxes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Forest {
    trees: Vec<Tree>,
    store: Store,
    /// Hosts that it has learned from.
    learned: u64,
    /// How much a host counts less with each that comes after it.
    decay: f64,
}

impl Forest {
    /// Returns an empty forest; the settings must have been checked.
    pub fn new(config: &Config) -> Self {
        let memory = config.memory.max(1) as f64 * config.samples as f64;
        let seeds = (1..=config.trees as u64).map(|n| mix(SEED ^ mix(n)));
        Self {
            trees: seeds.map(|seed| Tree::new(config.samples, seed)).collect(),
            store: Store::default(),
            learned: 0,
            decay: 1.0 / memory,
        }
    }

    /// How unusual a row is: about 0.5 to 1 for usual ones, above 1 for those that are cut off
    /// early. 0 for an empty forest.
    pub fn rate(&self, row: &[f32; WIDTH]) -> f32 {
        self.rate_all(std::slice::from_ref(row))[0]
    }

    /// What [`Forest::rate`] says of each row. Tree by tree: one tree fits into the nearest cache, all
    /// of them do not.
    pub fn rate_all(&self, rows: &[[f32; WIDTH]]) -> Vec<f32> {
        let (mut sums, mut open) = (vec![0.0; rows.len()], Vec::with_capacity(rows.len()));
        for tree in &self.trees {
            tree.score(&self.store, rows, &mut open, &mut sums);
        }
        let trees = self.trees.len().max(1) as f32;
        sums.iter_mut().for_each(|sum| *sum /= trees);
        sums
    }

    /// The part of each number in the score of a row; they sum to 1, or are all 0 where nothing cuts
    /// the row off.
    pub fn blame(&self, row: &[f32; WIDTH]) -> [f32; WIDTH] {
        let mut parts = [0.0; WIDTH];
        for tree in &self.trees {
            tree.attribute(&self.store, row, &mut parts);
        }
        let sum: f32 = parts.iter().sum();
        if sum > 0.0 { parts.map(|part| part / sum) } else { parts }
    }

    /// Takes a row into the samples of some trees.
    pub fn take(&mut self, row: &[f32; WIDTH]) {
        let age = self.learned as f64 * self.decay;
        self.learned += 1;
        let mut held = None;
        for tree in &mut self.trees {
            tree.learn(&mut self.store, row, age, &mut held);
        }
    }
}

/// The form that a snapshot keeps.
#[derive(Deserialize)]
struct Saved {
    trees: Vec<Tree>,
    store: Store,
    learned: u64,
    decay: f64,
}

impl TryFrom<Saved> for Forest {
    type Error = &'static str;

    fn try_from(saved: Saved) -> Result<Self, &'static str> {
        let Saved { mut trees, store, learned, decay } = saved;
        if !store.is_sound() || !trees.iter_mut().all(|tree| tree.complete(&store)) {
            return Err("a tree is damaged");
        }
        Ok(Self { trees, store, learned, decay })
    }
}

impl Model for Forest {
    const ID: &'static str = ID;
    /// Rows of several scales would not be comparable.
    const FOLLOWS_SCALE: bool = false;
    type Settings = Config;

    fn fit(
        settings: &Config,
        rows: &[Row],
        _seen: &[Seen],
        previous: Option<Self>,
    ) -> Option<Self> {
        previous.or_else(|| {
            let mut forest = Self::new(settings);
            rows.iter().for_each(|row| forest.take(row));
            Some(forest)
        })
    }

    fn score(&self, _: &Config, rows: &[Row]) -> Vec<f32> {
        self.rate_all(rows)
    }

    fn shares(&self, row: &Row) -> Row {
        self.blame(row)
    }

    // After all are scored: the place in the window does not matter.
    fn learn(&mut self, rows: &[Row]) {
        rows.iter().for_each(|row| self.take(row));
    }

    fn words(&self, score: f32) -> String {
        format!("is cut off from all recent hosts at once (forest score {score:.2})")
    }

    fn is_usable(&self, settings: &Config) -> bool {
        let has_capacity = |tree: &Tree| tree.capacity() == settings.samples;
        self.trees.len() == settings.trees && self.trees.iter().all(has_capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::novelty;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn small() -> Config {
        Config { trees: 20, samples: 64, ..Config::default() }
    }

    fn cloud(random: &mut ChaCha8Rng) -> Row {
        std::array::from_fn(|_| random.random_range(-1.0..1.0f32))
    }

    #[test]
    fn a_host_unlike_all_others_is_found_and_the_others_are_not() {
        novelty::finds_the_odd_host(&Config::default());
    }

    #[test]
    fn a_restart_changes_nothing() {
        novelty::survives_a_restart(&Config::default());
    }

    #[test]
    fn a_row_outside_the_cloud_scores_higher_and_the_number_to_blame_is_named() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut forest = Forest::new(&small());
        (0..2_000).for_each(|_| forest.take(&cloud(&mut random)));
        let usual: Vec<_> = (0..200).map(|_| forest.rate(&cloud(&mut random))).collect();
        let highest = usual.iter().copied().fold(0.0, f32::max);
        let mut odd = [0.0; WIDTH];
        odd[5] = 8.0;
        assert!(forest.rate(&odd) > 1.2 * highest, "{} {highest}", forest.rate(&odd));
        assert!(forest.blame(&odd)[5] > 0.8, "{:?}", forest.blame(&odd));
    }

    #[test]
    fn what_comes_often_becomes_usual() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut forest = Forest::new(&Config { memory: 2, ..small() });
        (0..2_000).for_each(|_| forest.take(&cloud(&mut random)));
        let odd = [5.0; WIDTH];
        let before = forest.rate(&odd);
        for _ in 0..600 {
            forest.take(&cloud(&mut random));
            forest.take(&cloud(&mut random).map(|value| value + 5.0));
        }
        assert!(forest.rate(&odd) < 0.7 * before, "{} {before}", forest.rate(&odd));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Few values, so that rows are often equal.
        #[test]
        fn trees_stay_sound_and_survive_a_snapshot(
            rows in prop::collection::vec(prop::array::uniform8(-2i8..3), 1..400),
        ) {
            let config = Config { trees: 3, samples: 16, memory: 1, ..Config::default() };
            let mut forest = Forest::new(&config);
            let rows: Vec<_> = rows.into_iter().map(|row| row.map(f32::from)).collect();
            for row in &rows {
                forest.take(row);
                let score = forest.rate(row);
                prop_assert!(score.is_finite() && score >= 0.0);
            }
            let bytes = postcard::to_allocvec(&forest).unwrap();
            let mut read: Forest = postcard::from_bytes(&bytes).unwrap();
            prop_assert!(read.is_usable(&config));
            for row in rows.iter().rev() {
                read.take(row);
                forest.take(row);
                prop_assert_eq!(read.rate(row), forest.rate(row));
            }
            prop_assert!(postcard::to_allocvec(&read).unwrap() == postcard::to_allocvec(&forest).unwrap());
        }
    }
}
