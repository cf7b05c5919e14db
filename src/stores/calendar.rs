//! Buckets of time: fixed lengths in UTC, hours and days of a local clock.

use chrono::{DateTime, NaiveDate, NaiveTime, Offset, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;

use super::{CalendarUnit, Interval};

const HOUR: i64 = 3_600_000;

/// Returns the first millisecond of the bucket that holds the millisecond `at`.
///
/// A local day begins at its first moment: at midnight, or later where the clock skips it.
pub(super) fn bucket_start(interval: Interval, at: i64) -> i64 {
    match interval {
        Interval::Fixed { seconds } => {
            let width = i64::from(seconds.max(1)) * 1000;
            at.saturating_sub(at.rem_euclid(width))
        }
        Interval::Calendar { unit: CalendarUnit::Hour, time_zone } => hour_start(time_zone, at),
        Interval::Calendar { unit: CalendarUnit::Day, time_zone } => {
            let Some(time) = DateTime::<Utc>::from_timestamp_millis(at) else { return at };
            day_start(time_zone, time.with_timezone(&time_zone).date_naive()).unwrap_or(at)
        }
    }
}

/// Returns the first millisecond of the bucket after the one that begins at `start`.
pub(super) fn next_start(interval: Interval, start: i64) -> i64 {
    match interval {
        Interval::Fixed { seconds } => start.saturating_add(i64::from(seconds.max(1)) * 1000),
        Interval::Calendar { unit: CalendarUnit::Hour, .. } => {
            let floor = bucket_start(interval, start.saturating_add(HOUR));
            if floor > start { floor } else { start.saturating_add(HOUR) }
        }
        Interval::Calendar { unit: CalendarUnit::Day, time_zone } => {
            let time = DateTime::<Utc>::from_timestamp_millis(start);
            let mut day = time.map(|time| time.with_timezone(&time_zone).date_naive());
            // Twice where a zone skipped a whole day (Samoa, 2011).
            for _ in 0..3 {
                day = day.and_then(|day| day.succ_opt());
                let next = day.and_then(|day| day_start(time_zone, day));
                if let Some(next) = next.filter(|next| *next > start) {
                    return next;
                }
            }
            start.saturating_add(24 * HOUR)
        }
    }
}

/// Writes the moment in the interval's zone: RFC 3339 with milliseconds.
pub(super) fn bucket_text(interval: Interval, at: i64) -> String {
    let Some(time) = DateTime::<Utc>::from_timestamp_millis(at) else { return at.to_string() };
    let time_zone = match interval {
        Interval::Fixed { .. } => Tz::UTC,
        Interval::Calendar { time_zone, .. } => time_zone,
    };
    time.with_timezone(&time_zone).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The full hour of the local clock, or the change of the clock if that was later: half-hour
/// changes (Lord Howe) cut an hour in two.
fn hour_start(time_zone: Tz, at: i64) -> i64 {
    let offset = offset_millis(time_zone, at);
    let floor = at.saturating_sub(at.saturating_add(offset).rem_euclid(HOUR));
    if offset_millis(time_zone, floor) == offset {
        return floor;
    }
    let (mut before, mut after) = (floor, at);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_millis(time_zone, middle) == offset { after = middle } else { before = middle }
    }
    after
}

fn offset_millis(time_zone: Tz, at: i64) -> i64 {
    DateTime::<Utc>::from_timestamp_millis(at).map_or(0, |time| {
        let offset = time_zone.offset_from_utc_datetime(&time.naive_utc());
        i64::from(offset.fix().local_minus_utc()) * 1000
    })
}

/// The first moment of a local day: the earlier of two midnights, or the end of the gap that
/// swallowed midnight. Clocks change by quarters of an hour at the finest.
fn day_start(time_zone: Tz, day: NaiveDate) -> Option<i64> {
    let midnight = day.and_time(NaiveTime::MIN);
    (0..=24 * 4).find_map(|quarters| {
        let local = midnight.checked_add_signed(chrono::TimeDelta::minutes(quarters * 15))?;
        time_zone.from_local_datetime(&local).earliest().map(|time| time.timestamp_millis())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn day(time_zone: Tz) -> Interval {
        Interval::Calendar { unit: CalendarUnit::Day, time_zone }
    }

    /// Start of the local day of `at` and its length in hours.
    fn day_of(time_zone: Tz, at: &str) -> (String, f64) {
        let start = bucket_start(day(time_zone), millis(at));
        let length = next_start(day(time_zone), start) - start;
        (bucket_text(day(time_zone), start), length as f64 / HOUR as f64)
    }

    #[test]
    fn days_are_as_long_as_the_clock_says() {
        let berlin = |at| day_of(Tz::Europe__Berlin, at);
        assert_eq!(
            berlin("2026-03-29T21:59:59Z"),
            ("2026-03-29T00:00:00.000+01:00".to_owned(), 23.0)
        );
        assert_eq!(
            berlin("2026-10-24T22:00:00Z"),
            ("2026-10-25T00:00:00.000+02:00".to_owned(), 25.0)
        );
        assert_eq!(
            berlin("2026-10-25T23:00:00Z"),
            ("2026-10-26T00:00:00.000+01:00".to_owned(), 24.0)
        );
    }

    #[test]
    fn a_day_without_midnight_begins_when_its_clock_does() {
        // Beirut, 2022-03-27: the clock went from 00:00 to 01:00.
        assert_eq!(
            day_of(Tz::Asia__Beirut, "2022-03-27T10:00:00Z"),
            ("2022-03-27T01:00:00.000+03:00".to_owned(), 23.0)
        );
        // Samoa had no 2011-12-30.
        let start = bucket_start(day(Tz::Pacific__Apia), millis("2011-12-30T00:00:00Z"));
        let next = next_start(day(Tz::Pacific__Apia), start);
        assert_eq!(bucket_text(day(Tz::Pacific__Apia), next), "2011-12-31T00:00:00.000+14:00");
    }

    #[test]
    fn hours_follow_half_hour_zones() {
        let hour = Interval::Calendar { unit: CalendarUnit::Hour, time_zone: Tz::Asia__Kolkata };
        let start = bucket_start(hour, millis("2026-11-21T10:29:00Z"));
        assert_eq!(bucket_text(hour, start), "2026-11-21T15:00:00.000+05:30");
        assert_eq!(next_start(hour, start) - start, HOUR);
    }

    #[test]
    fn every_moment_lies_in_its_bucket_in_every_zone() {
        let zones = [Tz::Europe__Berlin, Tz::Australia__Lord_Howe, Tz::America__Havana, Tz::UTC];
        for time_zone in zones {
            for unit in [CalendarUnit::Hour, CalendarUnit::Day] {
                let interval = Interval::Calendar { unit, time_zone };
                let mut at = millis("2026-01-01T00:00:00Z");
                while at < millis("2027-01-01T00:00:00Z") {
                    let start = bucket_start(interval, at);
                    let next = next_start(interval, start);
                    assert!(start <= at && start < next, "{time_zone} {unit:?} {at}");
                    at += 17 * 60_000 * 7;
                }
            }
        }
    }

    #[test]
    fn extreme_moments_do_not_panic() {
        for at in [i64::MIN, i64::MIN / 1_000_000, 0, i64::MAX / 1_000_000, i64::MAX] {
            for interval in [Interval::Fixed { seconds: u32::MAX }, day(Tz::Europe__Berlin)] {
                let start = bucket_start(interval, at);
                next_start(interval, start);
                bucket_text(interval, start);
            }
        }
    }
}
