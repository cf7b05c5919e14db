//! Hosts of a window as rows of numbers, a memory of past rows, and the scale between them.

use serde::{Deserialize, Serialize};

use crate::features::{HostsWindow, NamedFeatures, SourceWindow, combine, mix};
use crate::model::Timestamp;

use super::Hosts;

/// Numbers per host.
pub const WIDTH: usize = SourceWindow::NAMES.len();

/// ln(1 + x) of the features of [`SourceWindow`], or the same in units of their usual spread.
pub type Row = [f32; WIDTH];

/// Fewer flows than this …
const LEAST_RECORDS: u64 = 4;
/// … and fewer bytes than this are no story: a flood of such sources costs one comparison each.
const LEAST_BYTES: u64 = 100_000;
/// Spreads below this (a factor of 1.65) are ordinary, however alike the hosts of the memory are.
const LEAST_SPREAD: f32 = 0.5;
/// The median absolute deviation of a normal distribution times this is its standard deviation.
const MAD_TO_SIGMA: f32 = 1.4826;

/// The sources of a window that are worth a judgement.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Their places among the sources of the window, ascending.
    pub places: Vec<usize>,
    /// One row each, ln(1 + x).
    pub rows: Vec<Row>,
}

impl Candidates {
    /// Chooses those above a floor of activity; of many, the busiest by flows, the busiest by bytes
    /// and an even sample of the others. O(sources).
    pub fn of(window: &HostsWindow, settings: &Hosts) -> Self {
        let sources = &window.sources;
        let is_active = |source: &SourceWindow| {
            source.counters.records >= LEAST_RECORDS || source.counters.bytes >= LEAST_BYTES
        };
        let mut places: Vec<_> = (0..sources.len()).filter(|&n| is_active(&sources[n])).collect();
        if places.len() > settings.max_hosts {
            let quarter = settings.max_hosts / 4;
            let seed = mix(window.span.start.seconds().cast_unsigned());
            let mut chosen = take(&mut places, quarter, |n| u64::MAX - sources[n].counters.records);
            chosen.extend(take(&mut places, quarter, |n| u64::MAX - sources[n].counters.bytes));
            let rest = settings.max_hosts - chosen.len();
            let sample = |n: usize| combine(seed, sources[n].host().sketch_key());
            chosen.extend(take(&mut places, rest, sample));
            chosen.sort_unstable();
            places = chosen;
        }
        let rows = places.iter().map(|&n| row_of(&sources[n])).collect();
        Self { places, rows }
    }
}

/// Takes the `count` places with the least keys out of `places`; ties by place.
fn take(places: &mut Vec<usize>, count: usize, key: impl Fn(usize) -> u64) -> Vec<usize> {
    let count = count.min(places.len());
    if count > 0 && count < places.len() {
        places.select_nth_unstable_by_key(count - 1, |&place| (key(place), place));
    }
    places.drain(..count).collect()
}

/// Returns ln(1 + x) of the features of a source.
pub fn row_of(source: &SourceWindow) -> Row {
    let mut values = Vec::with_capacity(WIDTH);
    source.write_features(&mut values);
    std::array::from_fn(|n| values[n].ln_1p() as f32)
}

/// A row of the past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// ln(1 + x).
    pub row: Row,
    /// A key of the host.
    pub host: u64,
    /// The window, as its start in seconds.
    pub window: i64,
}

/// Rows of the past, a bounded sample in which every window has the same share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    seen: Vec<Seen>,
    /// Windows that were learned from.
    windows: u64,
}

impl Memory {
    /// The rows.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Adds some rows of a window, chosen by hash, in the place of old ones when it is full. As long
    /// as it is young, all its windows have the same share; later old ones fade, to the half within
    /// `memory_windows`. A single window brings little, so that an attack does not become usual.
    pub fn learn(&mut self, start: Timestamp, mut rows: Vec<Seen>, settings: &Hosts) {
        if rows.is_empty() {
            return;
        }
        self.seen.truncate(settings.memory_rows);
        self.windows += 1;
        let windows = self.windows.min(settings.memory_windows).max(1);
        let share = (settings.memory_rows as u64).div_ceil(windows);
        let share = usize::try_from(share).unwrap_or(usize::MAX).min(rows.len());
        let seed = mix(start.seconds().cast_unsigned());
        rows.sort_by_key(|seen| (combine(seed, seen.host), seen.host));
        for (n, seen) in rows.into_iter().take(share).enumerate() {
            if self.seen.len() < settings.memory_rows {
                self.seen.push(seen);
            } else {
                let place = combine(seed, n as u64) % self.seen.len() as u64;
                self.seen[place as usize] = seen;
            }
        }
    }
}

/// What is usual for each number, and how far it usually strays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    median: Row,
    spread: Row,
    /// Between these are 95 % of the rows.
    lower: Row,
    upper: Row,
}

impl Scale {
    /// Returns the scale of `rows`; `None` when there are none.
    pub fn of(rows: &[Seen]) -> Option<Self> {
        if rows.is_empty() {
            return None;
        }
        let columns: [[f32; 4]; WIDTH] = std::array::from_fn(|n| {
            let mut values: Vec<_> = rows.iter().map(|seen| seen.row[n]).collect();
            values.sort_by(f32::total_cmp);
            let [median, lower, upper] = [0.5, 0.025, 0.975].map(|q| at(&values, q));
            values.iter_mut().for_each(|value| *value = (*value - median).abs());
            values.sort_by(f32::total_cmp);
            [median, (MAD_TO_SIGMA * at(&values, 0.5)).max(LEAST_SPREAD), lower, upper]
        });
        let [median, spread, lower, upper] =
            std::array::from_fn(|part| columns.map(|column| column[part]));
        Some(Self { median, spread, lower, upper })
    }

    /// Returns the row as distances from the median in units of the spread.
    pub fn apply(&self, row: &Row) -> Row {
        std::array::from_fn(|n| (row[n] - self.median[n]) / self.spread[n])
    }

    /// The usual number `n`, and the band of 95 % of the hosts.
    pub fn usual(&self, n: usize) -> (f64, f64, f64) {
        let number = |value: f32| f64::from(value).exp_m1().round().max(0.0);
        (number(self.median[n]), number(self.lower[n]), number(self.upper[n]))
    }
}

/// The value at the fraction `q` of ascending values.
fn at(sorted: &[f32], q: f64) -> f32 {
    sorted[(q * (sorted.len() - 1) as f64).round() as usize]
}

/// The sum of the numbers of a row, by halves: one after the other, each addition would wait for the
/// one before, and much of the time of the detectors here goes into such sums.
pub fn sum(row: &Row) -> f32 {
    const HALF: usize = WIDTH / 2;
    let halves: [f32; HALF] = std::array::from_fn(|n| row[n] + row[n + HALF]);
    let quarters: [f32; HALF / 2] = std::array::from_fn(|n| halves[n] + halves[n + HALF / 2]);
    quarters.iter().sum()
}

/// The squared distance between two rows.
pub fn squared_distance(a: &Row, b: &Row) -> f32 {
    sum(&std::array::from_fn(|n| (a[n] - b[n]) * (a[n] - b[n])))
}

/// The part of each number in the squared distance between two rows.
pub fn shares_of_distance(a: &Row, b: &Row) -> Row {
    let whole = squared_distance(a, b).max(f32::MIN_POSITIVE);
    std::array::from_fn(|n| (a[n] - b[n]) * (a[n] - b[n]) / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(n: u64, value: f32) -> Seen {
        Seen { row: [value; WIDTH], host: n, window: 0 }
    }

    #[test]
    fn every_window_has_the_same_share_of_a_young_memory() {
        let settings = Hosts { memory_rows: 100, memory_windows: 1_000, ..Hosts::default() };
        let mut memory = Memory::default();
        for window in 0..50 {
            let rows = (0..200).map(|n| Seen { window, ..seen(n, 1.0) }).collect();
            memory.learn(Timestamp::from_seconds(window * 60), rows, &settings);
        }
        assert_eq!(memory.seen().len(), 100);
        let early = memory.seen().iter().filter(|seen| seen.window < 25).count();
        assert!((30..70).contains(&early), "{early}");
    }

    #[test]
    fn the_scale_is_robust() {
        let rows: Vec<_> = (0..100u8)
            .map(|n| seen(0, if n < 95 { 2.0 + f32::from(n % 3) } else { 99.0 }))
            .collect();
        let scale = Scale::of(&rows).unwrap();
        let high = scale.apply(&[99.0; WIDTH]);
        assert!(high[0] > 50.0, "{high:?}");
        assert_eq!(scale.apply(&[3.0; WIDTH]), [0.0; WIDTH]);
    }

    #[test]
    fn shares_sum_to_one() {
        let shares = shares_of_distance(&[0.0; WIDTH], &std::array::from_fn(|n| n as f32));
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
