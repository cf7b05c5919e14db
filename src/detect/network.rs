//! What the detectors of the whole network share: numbers of its windows and their recent past.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::features::{NamedFeatures, NetworkWindow};

/// The median absolute deviation of a normal distribution times this is its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;

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
