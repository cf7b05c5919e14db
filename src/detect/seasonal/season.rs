//! What is usual at an hour of the week, for one number of one subject, in constant memory.
//!
//! Numbers are kept as logarithms: what is usual is a factor, not a difference. Each hour is
//! summed up by its median and its median absolute deviation, and every hour of the week by a mean
//! of such hours in which far ones are pulled in. As long as a week is not known twice, hours of
//! workdays and of weekends stand for it.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

const HOUR_SECONDS: i64 = 3_600;
const HOURS_OF_WEEK: usize = 168;
/// Hours of a workday, then hours of a day of the weekend.
const HOURS_OF_DAYS: usize = 48;
/// Logarithms are kept in steps of 0.07 %; the largest number of 64 bits still fits.
const STEPS: f32 = 1_400.0;
/// Spreads are kept in steps of 0.02, up to 5.1.
const SPREAD_STEPS: f32 = 50.0;
/// Windows of one hour that are kept for its median.
const MOST_WINDOWS: usize = 60;
/// An hour with fewer windows says nothing: no data is no low data.
const LEAST_WINDOWS: usize = 5;
/// Weeks that the mean of an hour of the week spans.
const WEEKS: u8 = 4;
/// Hours that the trend spans.
const TREND_HOURS: f32 = 48.0;
/// An hour moves the trend by at most this.
const MOST_TREND_STEP: f32 = 0.5;
/// Spreads below this (ten per cent) are not believed.
const LEAST_SPREAD: f32 = 0.1;
/// How far an hour may pull a mean: so many spreads.
const REACH: f32 = 3.0;

/// An hour as a number of hours since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Hour(i64);

impl Hour {
    pub(super) fn of(time: Timestamp) -> Self {
        Self(time.seconds().div_euclid(HOUR_SECONDS))
    }

    /// The hour of the week, Monday 00 UTC = 0. 1970 began on a Thursday.
    fn of_week(self) -> usize {
        (self.0 + 3 * 24).rem_euclid(HOURS_OF_WEEK as i64) as usize
    }

    fn of_days(self) -> usize {
        let of_week = self.of_week();
        of_week % 24 + if of_week / 24 < 5 { 0 } else { 24 }
    }
}

/// What is usual in one hour of the week.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Slot {
    level: u16,
    spread: u8,
    /// Hours that went into it.
    seen: u8,
}

impl Slot {
    fn level(self) -> f32 {
        f32::from(self.level) / STEPS
    }

    fn spread(self) -> f32 {
        f32::from(self.spread) / SPREAD_STEPS
    }

    /// Takes in an hour with its median and spread.
    fn learn(&mut self, median: f32, spread: f32) {
        let (mut level, mut width) = (median, spread);
        if self.seen > 0 {
            let part = 1.0 / (f32::from(self.seen.min(WEEKS - 1)) + 1.0);
            let reach = REACH * self.spread().max(LEAST_SPREAD);
            let step = (median - self.level()).clamp(-reach, reach);
            level = self.level() + part * step;
            // Hours differ among each other as well as within.
            let seen = spread.max(step.abs()).min(REACH * self.spread().max(LEAST_SPREAD));
            width = self.spread() + part * (seen - self.spread());
        }
        self.level = steps(level);
        self.spread = (width * SPREAD_STEPS).round().clamp(0.0, 255.0) as u8;
        self.seen = self.seen.saturating_add(1);
    }
}

fn steps(level: f32) -> u16 {
    (level * STEPS).round().clamp(0.0, f32::from(u16::MAX)) as u16
}

/// What is usual now, as logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usual {
    pub level: f64,
    pub spread: f64,
}

impl Usual {
    /// How far `actual` lies above, in spreads; negative below.
    pub(super) fn distance(&self, actual: f64) -> f64 {
        (actual.ln_1p() - self.level) / self.spread
    }
}

/// The seasons of one number of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Season {
    week: Vec<Slot>,
    days: Vec<Slot>,
    /// How much all hours lie above their slots lately.
    trend: f32,
    hour: Hour,
    /// The windows of this hour.
    windows: Vec<u16>,
}

impl Season {
    pub(super) fn new(hour: Hour) -> Self {
        Self {
            week: vec![Slot::default(); HOURS_OF_WEEK],
            days: vec![Slot::default(); HOURS_OF_DAYS],
            trend: 0.0,
            hour,
            windows: Vec::new(),
        }
    }

    /// What is usual in `hour`; `None` as long as neither the hour of the week was seen twice nor
    /// that of such days on `min_days` days.
    pub(super) fn usual(&self, hour: Hour, min_days: u8) -> Option<Usual> {
        let week = self.week.get(hour.of_week()).filter(|slot| slot.seen >= 2);
        let days = || self.days.get(hour.of_days()).filter(|slot| slot.seen >= min_days.max(1));
        week.or_else(days).map(|slot| self.of(*slot))
    }

    /// What is usual in the busiest hour of all; `None` when nothing was seen for an hour.
    pub(super) fn busiest(&self) -> Option<Usual> {
        let seen = self.days.iter().filter(|slot| slot.seen > 0);
        seen.max_by_key(|slot| slot.level).map(|slot| self.of(*slot))
    }

    fn of(&self, slot: Slot) -> Usual {
        Usual {
            level: f64::from((slot.level() + self.trend).max(0.0)),
            spread: f64::from(slot.spread().max(LEAST_SPREAD)),
        }
    }

    /// Learns from a window.
    pub(super) fn learn(&mut self, hour: Hour, actual: f64) {
        if hour != self.hour {
            self.fold();
            self.hour = hour;
        }
        if self.windows.len() < MOST_WINDOWS {
            self.windows.push(steps(actual.ln_1p() as f32));
        }
    }

    /// Sums the hour up.
    fn fold(&mut self) {
        let mut windows = std::mem::take(&mut self.windows);
        if windows.len() < LEAST_WINDOWS {
            return;
        }
        let median = middle(&mut windows);
        windows.iter_mut().for_each(|value| *value = value.abs_diff(median));
        let spread = 1.4826 * f32::from(middle(&mut windows)) / STEPS;
        let median = f32::from(median) / STEPS;
        let (of_week, of_days) = (self.hour.of_week(), self.hour.of_days());
        if let Some(slot) = self.week.get_mut(of_week) {
            if slot.seen > 0 {
                let above = median - slot.level() - self.trend;
                let step = above.clamp(-MOST_TREND_STEP, MOST_TREND_STEP) / TREND_HOURS;
                self.trend = (self.trend + step).clamp(-1.0, 1.0);
            }
            slot.learn(median, spread);
        }
        if let Some(slot) = self.days.get_mut(of_days) {
            slot.learn(median, spread);
        }
    }
}

fn middle(values: &mut [u16]) -> u16 {
    let place = values.len() / 2;
    *values.select_nth_unstable(place).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(n: i64) -> Hour {
        // A Monday.
        Hour(4 * 24 + n)
    }

    /// `days` days of 100 by night and 10,000 by day, nothing at noon.
    fn season(days: i64) -> Season {
        let mut season = Season::new(hour(0));
        for n in 0..days * 24 {
            if n % 24 == 12 {
                continue;
            }
            let level = if (8..18).contains(&(n % 24)) { 10_000.0 } else { 100.0 };
            (0..60).for_each(|m| season.learn(hour(n), level * (1.0 + f64::from(m % 7) / 70.0)));
        }
        season
    }

    #[test]
    fn the_epoch_began_on_a_thursday() {
        assert_eq!(Hour(0).of_week(), 72);
        assert_eq!((hour(0).of_week(), hour(23).of_days(), hour(5 * 24).of_days()), (0, 23, 24));
    }

    #[test]
    fn nothing_is_usual_before_it_was_seen_often_enough() {
        assert_eq!(season(2).usual(hour(2 * 24 + 3), 3), None);
        assert!(season(4).usual(hour(4 * 24 + 3), 3).is_some());
        assert_eq!(season(4).usual(hour(5 * 24 + 3), 3), None, "the first weekend");
        assert_eq!(season(14).usual(hour(14 * 24 + 12), 3), None, "no data is no low data");
    }

    #[test]
    fn day_and_night_are_told_apart() {
        let season = season(16);
        let (night, day) = (hour(16 * 24 + 3), hour(16 * 24 + 10));
        let at = |hour, actual| season.usual(hour, 3).unwrap().distance(actual);
        assert!(at(day, 10_500.0).abs() < 1.5 && at(night, 105.0).abs() < 1.5);
        assert!(at(night, 10_500.0) > 20.0 && at(day, 105.0) < -20.0);
    }

    #[test]
    fn a_single_odd_hour_hardly_moves_what_is_usual_and_a_trend_does() {
        let mut once = season(16);
        (0..60).for_each(|_| once.learn(hour(16 * 24 + 3), 1e9));
        once.learn(hour(16 * 24 + 4), 100.0);
        assert!(once.usual(hour(23 * 24 + 3), 3).unwrap().level < 100f64.ln() + 0.3);
        let mut grown = season(16);
        for n in 16 * 24..30 * 24 {
            (0..60).for_each(|_| grown.learn(hour(n), 1_000.0));
        }
        assert!(grown.usual(hour(30 * 24 + 3), 3).unwrap().level > 100f64.ln() + 0.5);
    }
}
