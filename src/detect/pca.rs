//! Hosts whose numbers do not go together as usual: the error of a reconstruction from principal
//! components.
//!
//! Bytes, packets and flows rise together; a few components say nearly all of it. A host with many
//! receivers and few bytes is rebuilt badly, though each number alone is ordinary.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use serde::{Deserialize, Serialize};

use crate::model::SettingError;

use super::alarms::Alarms;
use super::kmeans::matrix;
use super::novelty::{Hosts, Model, Novelty, Row, Seen, WIDTH};
use super::rules::Keys;
use super::{Configured, Context, Detector, Settings};

const ID: &str = "pca";
/// Errors below this, in spreads, are ordinary for every number.
const LEAST_ERROR: f32 = 0.2;
/// Rows this far from the median, in spreads, are pulled in before the fit: a few of them would
/// turn the components to themselves.
const FARTHEST: f32 = 6.0;

/// Settings of the detector `pca`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part.
    pub enabled: bool,
    /// Components that a host is rebuilt from; 1–7. Higher: only stranger mixes are found.
    pub components: usize,
    /// When findings are made.
    pub alarms: Alarms,
    /// Which hosts are judged and what is remembered of them.
    pub hosts: Hosts,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, components: 3, alarms: Alarms::default(), hosts: Hosts::default() }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        keys.at_least("components", self.components as u64, 1)?;
        keys.at_most("components", self.components as u64, WIDTH as u64 - 1)?;
        self.alarms.check(&keys)?;
        self.hosts.check(&keys)
    }

    fn build(&self, _settings: &Settings, _context: &Context) -> Box<dyn Detector> {
        let (alarms, hosts) = (self.alarms.clone(), self.hosts.clone());
        Box::new(Novelty::<Plane>::new(alarms, hosts, self.components))
    }
}

/// The plane on which hosts usually lie.
#[derive(Clone, Serialize, Deserialize)]
struct Plane {
    mean: Row,
    /// Orthonormal.
    components: Vec<Row>,
    /// The usual error of each number: that of nine of ten rows.
    errors: Row,
}

impl Plane {
    /// What the components do not explain.
    fn residual(&self, row: &Row) -> Row {
        let mut rest: Row = std::array::from_fn(|n| row[n] - self.mean[n]);
        let centred = rest;
        for component in &self.components {
            let along: f32 = centred.iter().zip(component).map(|(a, b)| a * b).sum();
            rest.iter_mut().zip(component).for_each(|(rest, part)| *rest -= along * part);
        }
        rest
    }

    /// The squared errors in units of the usual ones.
    fn squares(&self, row: &Row) -> Row {
        let residual = self.residual(row);
        std::array::from_fn(|n| (residual[n] / self.errors[n]).powi(2))
    }
}

fn row_of(values: ndarray::ArrayView1<'_, f64>) -> Row {
    std::array::from_fn(|n| values[n] as f32)
}

impl Model for Plane {
    const ID: &'static str = ID;
    type Settings = usize;

    fn fit(
        components: &usize,
        rows: &[Row],
        _seen: &[Seen],
        _previous: Option<Self>,
    ) -> Option<Self> {
        let tame: Vec<_> =
            rows.iter().map(|row| row.map(|value| value.clamp(-FARTHEST, FARTHEST))).collect();
        let data = DatasetBase::from(matrix(&tame).mapv(f64::from));
        let fitted = Pca::params(*components).fit(&data).ok()?;
        let found: Vec<_> = fitted.components().rows().into_iter().map(row_of).collect();
        if !found.iter().flatten().all(|value| value.is_finite()) {
            return None;
        }
        let mean = row_of(fitted.mean().view());
        let mut plane = Self { mean, components: found, errors: [LEAST_ERROR; WIDTH] };
        let residuals: Vec<_> = rows.iter().map(|row| plane.residual(row)).collect();
        for n in 0..WIDTH {
            let mut errors: Vec<_> = residuals.iter().map(|residual| residual[n].abs()).collect();
            errors.sort_by(f32::total_cmp);
            plane.errors[n] = errors.get(errors.len() * 9 / 10)?.max(LEAST_ERROR);
        }
        Some(plane)
    }

    fn score(&self, _: &usize, rows: &[Row]) -> Vec<f32> {
        let one = |row: &Row| (self.squares(row).iter().sum::<f32>() / WIDTH as f32).sqrt();
        rows.iter().map(one).collect()
    }

    fn shares(&self, row: &Row) -> Row {
        let squares = self.squares(row);
        let sum = squares.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        squares.map(|square| square / sum)
    }

    fn words(&self, score: f32) -> String {
        format!("has numbers that do not go together as usual (error {score:.1} times the usual)")
    }

    fn is_usable(&self, components: &usize) -> bool {
        self.components.len() <= *components && self.errors.iter().all(|error| *error > 0.0)
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
    fn what_breaks_the_usual_mix_is_far_though_each_number_is_ordinary() {
        // All numbers rise together.
        let rows: Vec<_> = (0..500u16).map(|n| [f32::from(n % 50) / 10.0 - 2.5; WIDTH]).collect();
        let plane = Plane::fit(&2, &rows, &[], None).unwrap();
        let mut mixed = [2.0; WIDTH];
        mixed[3] = -2.0;
        let scored = plane.score(&2, &[[2.0; WIDTH], mixed]);
        assert!(scored[0] < 0.1 && scored[1] > 1.0, "{scored:?}");
        assert!(plane.shares(&mixed)[3] > 0.5);
    }
}
