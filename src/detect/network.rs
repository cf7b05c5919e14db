//! What the detectors of the whole network share: numbers of its windows and their recent past.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::features::{NamedFeatures, NetworkWindow};
use crate::model::{FeatureEvidence, Finding, Kind, Subject, WindowSpan};

use super::alarms::Alarm;

/// The median absolute deviation of a normal distribution times this is its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// The usual band: so many spreads to both sides.
const BAND: f64 = 3.0;
/// A number tells of a shift when it strays at least so much of what the farthest does.
const LEAST_PART: f64 = 0.5;

/// Returns the published numbers `names` of a window, in their order.
pub(super) fn numbers_of<const N: usize>(network: &NetworkWindow, names: [&str; N]) -> [f64; N] {
    let mut values = Vec::with_capacity(NetworkWindow::NAMES.len());
    network.write_features(&mut values);
    names.map(|name| {
        let place = NetworkWindow::NAMES.iter().position(|&known| known == name);
        place.and_then(|place| values.get(place).copied()).unwrap_or_default()
    })
}

/// Returns the median of some numbers and their spread: the median absolute deviation, scaled to a
/// standard deviation. `None` when there are none.
pub(super) fn median_and_spread(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values: Vec<_> = values.collect();
    let middle = middle(&mut values)?;
    values.iter_mut().for_each(|value| *value = (*value - middle).abs());
    self::middle(&mut values).map(|spread| (middle, MAD_TO_SIGMA * spread))
}

fn middle(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let place = values.len() / 2;
    Some(*values.select_nth_unstable_by(place, f64::total_cmp).1)
}

/// One number of the network against its past, on the scale on which it is judged.
pub(super) struct Deviation {
    /// Its place among the names.
    pub place: usize,
    pub actual: f64,
    pub typical: f64,
    pub spread: f64,
}

impl Deviation {
    /// In spreads.
    pub(super) fn distance(&self) -> f64 {
        self.size() / self.spread
    }

    pub(super) fn size(&self) -> f64 {
        (self.actual - self.typical).abs()
    }
}

/// Returns the deviations, the farthest first.
pub(super) fn farthest_first(deviations: impl Iterator<Item = Deviation>) -> Vec<Deviation> {
    let mut deviations: Vec<_> = deviations.collect();
    deviations.sort_by(|a, b| b.distance().total_cmp(&a.distance()));
    deviations
}

/// Returns the finding of a shift. `deviations` has the farthest first, at least one; `number` turns
/// what was judged into the published number.
pub(super) fn shift(
    detector: &'static str,
    window: WindowSpan,
    alarm: &Alarm,
    reason: String,
    names: &[&'static str],
    deviations: &[Deviation],
    number: fn(f64) -> f64,
) -> Finding {
    let sum: f64 = deviations.iter().map(Deviation::distance).sum();
    let least = LEAST_PART * deviations[0].distance();
    let evidence = |deviation: &Deviation| {
        let Deviation { place, actual, typical, spread } = *deviation;
        FeatureEvidence {
            name: names[place].into(),
            actual: number(actual),
            typical: Some(number(typical)),
            lower: Some(number(typical - BAND * spread)),
            upper: Some(number(typical + BAND * spread)),
            share: Some(deviation.distance() / sum),
        }
    };
    Finding {
        detector,
        kind: Kind::TrafficShift,
        subject: Subject::Network,
        window,
        probability: alarm.probability,
        strength: alarm.strength,
        features: deviations.iter().filter(|it| it.distance() >= least).map(evidence).collect(),
        reason,
        related: Vec::new(),
        services: Vec::new(),
    }
}

/// The numbers of the last windows, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recent<const N: usize> {
    windows: VecDeque<Vec<f64>>,
}

impl<const N: usize> Default for Recent<N> {
    fn default() -> Self {
        Self { windows: VecDeque::new() }
    }
}

impl<const N: usize> Recent<N> {
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// Remembers a window, at most `capacity` of them.
    pub(super) fn push(&mut self, numbers: [f64; N], capacity: usize) {
        self.windows.push_back(numbers.to_vec());
        while self.windows.len() > capacity {
            self.windows.pop_front();
        }
    }

    /// The last values of number `n`, newest first.
    pub(super) fn newest(&self, n: usize) -> impl Iterator<Item = f64> {
        self.windows.iter().rev().filter_map(move |numbers| numbers.get(n).copied())
    }

    /// Forgets all but the newest `count` windows.
    pub(super) fn keep_newest(&mut self, count: usize) {
        let excess = self.windows.len().saturating_sub(count);
        self.windows.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_not_moved_by_one_far_value() {
        let (middle, spread) = median_and_spread([1.0, 2.0, 3.0, 4.0, 1e9].into_iter()).unwrap();
        assert_eq!((middle, spread), (3.0, MAD_TO_SIGMA));
        assert_eq!(median_and_spread(std::iter::empty()), None);
    }

    #[test]
    fn only_the_last_windows_are_remembered() {
        let mut recent = Recent::default();
        (0..9).for_each(|n| recent.push([f64::from(n)], 4));
        assert_eq!(recent.newest(0).collect::<Vec<_>>(), [8.0, 7.0, 6.0, 5.0]);
        recent.keep_newest(1);
        assert_eq!(recent.len(), 1);
    }
}
