//! What an hour is compared with, and what chance makes of that.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Serialize;

use super::history::Hour;
use super::tail::NegativeBinomial;

/// So many weeks (or days) have to be there before hours are compared with the same hour of the
/// week (or day): a median of fewer is no median.
const FEWEST_SAME: usize = 3;
/// So many hours have to be there before any are compared.
pub(super) const FEWEST_HOURS: usize = 6;
/// Hours of the same place differ by at least this share of their median, whatever the few at hand
/// say: three equal hours are no proof of a fourth.
const LEAST_SPREAD: f64 = 0.2;
/// The largest mean of a Poisson count whose median is 0: what a median of 0 leaves possible.
const LEAST_MEAN: f64 = std::f64::consts::LN_2;
/// Fewer deviations than this tell no more about the spread than the hours themselves.
const FEWEST_POOLED: usize = 24;
/// The spread over all places counts as much as that of so many hours of one: half of what a month
/// of the same hour of the day says.
const POOLED_WEIGHT: f64 = 15.0;
/// Below this median, deviations are mostly those of counting.
const LEAST_POOLED_MEDIAN: f64 = 5.0;
/// Turns the median absolute deviation of a normal distribution into its standard deviation.
const MAD_TO_DEVIATION: f64 = 1.482_6;

/// Which earlier hours an hour is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The same hour of the week.
    HourOfWeek,
    /// The same hour of the day.
    HourOfDay,
    /// All earlier hours.
    AllHours,
}

/// The earlier hours that an hour is compared with.
pub(super) struct Baseline<'h> {
    pub basis: Basis,
    pub hours: Vec<&'h Hour>,
    /// All earlier hours by their place in the week or day: what they deviate from each other says
    /// how much hours of one place deviate. Empty when all hours are compared.
    places: Vec<Vec<&'h Hour>>,
}

impl<'h> Baseline<'h> {
    /// Returns the best basis for `checked` that `earlier` gives; `None` when there is none yet.
    pub(super) fn choose(earlier: &'h [Hour], checked: &Hour, zone: Tz) -> Option<Self> {
        let of_week = |hour: &Hour| hour.local(zone);
        let of_day = |hour: &Hour| (0, hour.local(zone).1);
        let same_week = grouped(earlier, of_week);
        let same_day = grouped(earlier, of_day);
        let candidates = [
            (Basis::HourOfWeek, same_week, of_week(checked)),
            (Basis::HourOfDay, same_day, of_day(checked)),
        ];
        for (basis, places, place) in candidates {
            let hours = places.get(&place).cloned().unwrap_or_default();
            if hours.len() >= FEWEST_SAME {
                return Some(Self { basis, hours, places: places.into_values().collect() });
            }
        }
        let hours: Vec<_> = earlier.iter().collect();
        let is_enough = hours.len() >= FEWEST_HOURS;
        is_enough.then_some(Self { basis: Basis::AllHours, hours, places: Vec::new() })
    }

    /// What `measure` usually gives; `None` when it gives nothing for any of the hours.
    pub(super) fn expect(&self, measure: impl Fn(&Hour) -> Option<f64>) -> Option<Expectation> {
        let values = |hours: &[&Hour]| -> Vec<f64> {
            hours.iter().filter_map(|hour| measure(hour)).collect()
        };
        let places: Vec<_> = self.places.iter().map(|hours| values(hours)).collect();
        Expectation::of(values(&self.hours), places)
    }

    /// The hours in words: "all 18 earlier hours".
    pub(super) fn describe(&self) -> String {
        let count = self.hours.len();
        match self.basis {
            Basis::HourOfWeek => format!("the same hour of the week, {count} times before"),
            Basis::HourOfDay => format!("the same hour of the day, {count} times before"),
            Basis::AllHours => format!("all {count} earlier hours"),
        }
    }
}

fn grouped(
    hours: &[Hour],
    place: impl Fn(&Hour) -> (u32, u32),
) -> BTreeMap<(u32, u32), Vec<&Hour>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for hour in hours {
        groups.entry(place(hour)).or_default().push(hour);
    }
    groups
}

/// A usual count, and how chance scatters it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expectation {
    /// The median.
    pub typical: f64,
    pub chance: NegativeBinomial,
}

impl Expectation {
    /// The scatter has three parts: counting (Poisson), how much hours of one place differ, and how
    /// little a median of few hours is known (its variance is π/2n of theirs).
    fn of(mut values: Vec<f64>, places: Vec<Vec<f64>>) -> Option<Self> {
        let typical = median(&mut values)?;
        let mean = typical.max(LEAST_MEAN);
        let own = relative_spread(&values, typical);
        let spread = pooled_spread(places)
            .map_or(own, |pooled| shrunk(own, values.len(), pooled))
            .max(LEAST_SPREAD);
        let uncertainty = 1.0 + std::f64::consts::FRAC_PI_2 / values.len() as f64;
        let variance = (mean + (spread * mean).powi(2)) * uncertainty;
        Some(Self { typical, chance: NegativeBinomial::new(mean, variance) })
    }
}

/// The median; sorts `values`, which must hold no NaN. `None` when there are none.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => None,
        _ if values.len() % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1] / 2.0 + values[middle] / 2.0),
    }
}

/// How much the values differ beyond counting, as a share of their median: robust, for any half of
/// them may be spikes.
fn relative_spread(values: &[f64], typical: f64) -> f64 {
    if typical <= 0.0 {
        return 0.0;
    }
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - typical).abs()).collect();
    // A count stands for half a count either way; of small ones the median deviation is a rough
    // whole number, and often one too small.
    let deviation = median(&mut deviations).unwrap_or(0.0) + 0.5;
    let deviation = MAD_TO_DEVIATION * small_sample_factor(values.len()) * deviation;
    (deviation.powi(2) - typical).max(0.0).sqrt() / typical
}

/// The same over hours of many places, each against the median of its own: four weeks alone give
/// four hours, and a deviation known from four is hardly known.
///
/// `None` when there are too few.
fn pooled_spread(places: Vec<Vec<f64>>) -> Option<f64> {
    let mut deviations = Vec::new();
    let mut counting = Vec::new();
    for mut values in places {
        let Some(typical) = median(&mut values).filter(|median| *median >= LEAST_POOLED_MEDIAN)
        else {
            continue;
        };
        let count = values.len();
        if count < FEWEST_SAME {
            continue;
        }
        // The median is one of the few values, or between two: they lie too close to it.
        let correction = (count as f64 / (count as f64 - 1.0)).sqrt();
        for value in values {
            deviations.push(correction * (value - typical).abs() / typical);
            counting.push(1.0 / typical);
        }
    }
    if deviations.len() < FEWEST_POOLED {
        return None;
    }
    let deviation = MAD_TO_DEVIATION * median(&mut deviations)?;
    Some((deviation.powi(2) - median(&mut counting)?).max(0.0).sqrt())
}

/// Moves what `count` hours say about their spread towards what all hours say.
fn shrunk(own: f64, count: usize, pooled: f64) -> f64 {
    let count = count as f64;
    let squares = count * own.powi(2) + POOLED_WEIGHT * pooled.powi(2);
    (squares / (count + POOLED_WEIGHT)).sqrt()
}

/// How much too small the median absolute deviation of `count` values is on average (Croux and
/// Rousseeuw, "Time-efficient algorithms for two highly robust estimators of scale", 1992).
fn small_sample_factor(count: usize) -> f64 {
    match count {
        0..=2 => 1.196,
        3 => 1.495,
        4 => 1.363,
        5 => 1.206,
        6 => 1.200,
        7 => 1.140,
        8 => 1.129,
        9 => 1.107,
        more => more as f64 / (more as f64 - 0.8),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz::UTC;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Gamma, Normal, Poisson};

    use super::super::history::HOUR_SECONDS;
    use super::*;
    use crate::model::Timestamp;

    fn hours(count: i64) -> Vec<Hour> {
        // 2026-01-05 is a Monday.
        let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        (0..count)
            .map(|index| Hour {
                start: start.plus_seconds(index * HOUR_SECONDS),
                windows: 60,
                truncated: 0,
                flows: 1000.0,
                unknown_sampling: 0.0,
                clock_skew: 0.0,
                outliers: 50,
                outliers_by_kind: BTreeMap::new(),
            })
            .collect()
    }

    fn basis(count: i64) -> Option<(Basis, usize)> {
        let mut hours = hours(count + 1);
        let checked = hours.pop().unwrap();
        Baseline::choose(&hours, &checked, UTC).map(|found| (found.basis, found.hours.len()))
    }

    #[test]
    fn the_basis_grows_with_the_history() {
        assert_eq!(basis(5), None);
        assert_eq!(basis(6), Some((Basis::AllHours, 6)));
        assert_eq!(basis(71), Some((Basis::AllHours, 71)));
        assert_eq!(basis(72), Some((Basis::HourOfDay, 3)));
        assert_eq!(basis(3 * 168 - 1), Some((Basis::HourOfDay, 20)));
        assert_eq!(basis(3 * 168), Some((Basis::HourOfWeek, 3)));
    }

    #[test]
    fn the_same_hour_is_that_of_the_local_clock() {
        let mut all = hours(100 * 24);
        // 2026-04-13, a Monday in summer: 06:00 UTC is 08:00 in Berlin, in winter 07:00 UTC was.
        let checked =
            all.iter().position(|hour| hour.start.to_string().starts_with("2026-04-13T06"));
        let checked = all.split_off(checked.unwrap()).swap_remove(0);
        let found = Baseline::choose(&all, &checked, chrono_tz::Europe::Berlin).unwrap();
        let times: Vec<_> = found.hours.iter().map(|hour| hour.start.to_string()).collect();
        assert!(times.contains(&"2026-03-23T07:00:00.000Z".to_owned()), "{times:?}");
        assert!(times.contains(&"2026-04-06T06:00:00.000Z".to_owned()), "{times:?}");
    }

    #[test]
    fn equal_hours_leave_room_for_chance() {
        let expectation = Expectation::of(vec![0.0; 4], Vec::new()).unwrap();
        assert_eq!(expectation.typical, 0.0);
        assert!(expectation.chance.tail(1.0) > 0.3);
        assert!(expectation.chance.tail(15.0) < 1e-5);
        let expectation = Expectation::of(vec![60.0; 4], Vec::new()).unwrap();
        assert!(expectation.chance.tail(80.0) > 0.05);
        assert!(expectation.chance.tail(240.0) < 1e-9);
    }

    #[test]
    fn half_of_the_hours_being_spikes_moves_the_median_but_little() {
        let mut values = vec![48.0, 50.0, 52.0, 49.0, 51.0, 50.0, 47.0, 53.0, 50.0];
        values.extend([900.0; 4]);
        let expectation = Expectation::of(values, Vec::new()).unwrap();
        assert_eq!(expectation.typical, 51.0);
        assert!(expectation.chance.tail(900.0) < 1e-9);
    }

    #[test]
    fn the_small_sample_factors_make_the_deviation_right_on_average() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let normal = Normal::new(0.0, 1.0).unwrap();
        for count in [3, 4, 5, 6, 7, 8, 9, 24] {
            let deviation = |random: &mut ChaCha8Rng| {
                let mut values: Vec<f64> = normal.sample_iter(random).take(count).collect();
                let middle = median(&mut values).unwrap();
                let mut distances: Vec<_> = values.iter().map(|v| (v - middle).abs()).collect();
                MAD_TO_DEVIATION * small_sample_factor(count) * median(&mut distances).unwrap()
            };
            let mean = (0..20_000).map(|_| deviation(&mut random)).sum::<f64>() / 20_000.0;
            assert!((mean - 1.0).abs() < 0.03, "{count}: {mean}");
        }
    }

    /// A count whose rate differs by `spread` from hour to hour.
    fn draw(random: &mut ChaCha8Rng, mean: f64, spread: f64) -> f64 {
        let shape = 1.0 / (spread * spread);
        let rate = Gamma::new(shape, mean / shape).unwrap().sample(random).max(1e-9);
        Poisson::new(rate).unwrap().sample(random)
    }

    /// In how many of 4,000 hours, `factor` times as bad as usual, the count alone is a spike, with
    /// `count` hours of the same place to compare with, and `places` such places.
    fn spikes(mean: f64, spread: f64, count: usize, places: usize, factor: f64) -> usize {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let is_spike = |_: &usize| {
            let hours = |random: &mut ChaCha8Rng| -> Vec<f64> {
                (0..count).map(|_| draw(random, mean, spread)).collect()
            };
            let values = hours(&mut random);
            let others = (0..places).map(|_| hours(&mut random)).collect();
            let actual = draw(&mut random, factor * mean, spread);
            Expectation::of(values, others).unwrap().chance.tail(actual) <= 1e-5
        };
        (0..4_000).filter(is_spike).count()
    }

    /// Spread of the hours, hours of the same place, places.
    const SITES: [(f64, usize, usize); 6] =
        [(0.2, 3, 24), (0.2, 4, 0), (0.3, 4, 40), (0.3, 24, 0), (0.5, 4, 40), (0.5, 48, 0)];

    /// Two in a thousand is what was measured at worst, for hours that differ by half.
    #[test]
    fn calm_hours_are_hardly_ever_spikes_even_by_the_count_alone() {
        for mean in [0.3, 3.0, 30.0, 300.0] {
            for (spread, count, places) in SITES {
                let found = spikes(mean, spread, count, places, 1.0);
                let most = if spread < 0.5 { 2 } else { 12 };
                assert!(found <= most, "mean {mean}, spread {spread}, {count} hours: {found}");
            }
        }
    }

    #[test]
    fn knowing_the_spread_of_all_places_keeps_three_weeks_quiet_and_sharp() {
        let (alone, pooled) = (spikes(300.0, 0.5, 4, 0, 1.0), spikes(300.0, 0.5, 4, 40, 1.0));
        assert!(2 * pooled < alone, "{pooled} instead of {alone} calm hours");
        let found = spikes(300.0, 0.2, 3, 24, 4.0);
        assert!(found > 3_600, "{found} of 4000 hours with four times the usual");
    }
}
