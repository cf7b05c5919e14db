//! Hosts with rare values in many numbers: histogram-based outlier scores (Goldstein & Dengel 2012).
//!
//! Every number has a histogram of past hosts. The score of a host is the sum of how rare each of its
//! numbers is. Quick, and easy to check: each number speaks for itself.

use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::alarms::Alarms;
use super::novelty::{Hosts, Model, Novelty, Row, Seen, WIDTH};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "hbos";
/// The histogram reaches so many spreads to both sides of the median …
const REACH: f32 = 8.0;
/// … in bins of half a spread.
const BINS_PER_SPREAD: f32 = 2.0;
const BINS: usize = 32;
/// What an empty bin holds, so that nothing is impossible.
const SMOOTHING: f32 = 0.5;

/// Settings of the detector `hbos`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, alarms: Alarms::default(), hosts: Hosts::default() }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        self.alarms.check(&Keys(ID))?;
        self.hosts.check(&Keys(ID))
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        Box::new(Novelty::<Histograms>::new(self.alarms.clone(), self.hosts.clone(), ()))
    }
}

/// How rare the values of each number are.
#[derive(Clone, Serialize, Deserialize)]
struct Histograms {
    /// −ln of the height of each bin, in parts of the highest; `BINS` for each number.
    rarity: Vec<f32>,
}

impl Histograms {
    fn rarities(&self, row: &Row) -> Row {
        std::array::from_fn(|n| self.rarity(n, row[n]))
    }

    /// The rarity of `value` as number `n`: 0 in the fullest bin; beyond the histogram more with
    /// every factor of the distance.
    fn rarity(&self, n: usize, value: f32) -> f32 {
        let beyond = (value.abs() - REACH).max(0.0);
        self.rarity[n * BINS + bin_of(value)] + beyond.ln_1p()
    }
}

fn bin_of(value: f32) -> usize {
    let place = (value + REACH) * BINS_PER_SPREAD;
    (place.max(0.0) as usize).min(BINS - 1)
}

impl Model for Histograms {
    const ID: &'static str = ID;
    type Settings = ();

    fn fit(_: &(), rows: &[Row], _seen: &[Seen], _previous: Option<Self>) -> Option<Self> {
        let mut heights = vec![SMOOTHING; WIDTH * BINS];
        for row in rows {
            for (n, &value) in row.iter().enumerate() {
                let bin = bin_of(value);
                heights[n * BINS + bin] += 1.0;
                // Neighbours count a little, since where a bin ends means nothing.
                for near in [bin.saturating_sub(1), (bin + 1).min(BINS - 1)] {
                    heights[n * BINS + near] += 0.25;
                }
            }
        }
        for heights in heights.chunks_mut(BINS) {
            let highest = heights.iter().copied().fold(SMOOTHING, f32::max);
            heights.iter_mut().for_each(|height| *height = (highest / *height).ln());
        }
        Some(Self { rarity: heights })
    }

    fn score(&self, (): &(), rows: &[Row]) -> Vec<f32> {
        rows.iter().map(|row| self.rarities(row).iter().sum()).collect()
    }

    fn shares(&self, row: &Row) -> Row {
        let rarities = self.rarities(row);
        let sum = rarities.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        rarities.map(|rarity| rarity / sum)
    }

    fn words(&self, _score: f32) -> String {
        "has numbers that hosts here rarely have".to_owned()
    }

    fn is_usable(&self, _: &()) -> bool {
        self.rarity.len() == WIDTH * BINS
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
    fn rarity_grows_outside_the_histogram() {
        let model = Histograms::fit(&(), &[[0.0; WIDTH]; 100], &[], None).unwrap();
        let score = |value: f32| model.score(&(), &[[value; WIDTH]])[0];
        assert_eq!(score(0.1), 0.0);
        assert!(score(50.0) > score(9.0));
        assert!(score(-9.0) > score(0.4));
    }
}
