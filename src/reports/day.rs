//! The calendar day that a report is about, in the reader's time zone.

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::model::Timestamp;

/// A calendar day in a time zone: 24 hours, or 23 or 25 where clocks change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    date: NaiveDate,
    time_zone: Tz,
}

/// The stretch of time in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// `2026-11-20`.
    pub date: String,
    /// `Friday, 20 November 2026`.
    pub title: String,
    /// IANA name, `Europe/Berlin`.
    pub time_zone: String,
    /// First moment.
    pub from: Timestamp,
    /// First moment of the next day.
    pub to: Timestamp,
    /// 24; 23 or 25 where clocks change.
    pub hours: usize,
}

/// One hour of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// First moment.
    pub start: Timestamp,
    /// Hour of the local clock, `02`; occurs twice when clocks go back.
    pub label: String,
}

impl Day {
    /// Returns the day `date` of `time_zone`.
    pub const fn new(date: NaiveDate, time_zone: Tz) -> Self {
        Self { date, time_zone }
    }

    /// The date.
    pub const fn date(self) -> NaiveDate {
        self.date
    }

    /// First moment of the day.
    pub fn from(self) -> Timestamp {
        self.midnight(self.date)
    }

    /// First moment of the next day.
    pub fn to(self) -> Timestamp {
        self.midnight(self.date.succ_opt().unwrap_or(self.date))
    }

    /// Returns the day `days` earlier.
    pub fn earlier(self, days: u64) -> Self {
        let date = self.date.checked_sub_days(chrono::Days::new(days));
        Self { date: date.unwrap_or(self.date), ..self }
    }

    /// Returns the hours of the day, each 3,600 s long; the last is shorter where clocks change by
    /// less than an hour.
    pub fn hours(self) -> Vec<Hour> {
        let (from, to) = (self.from(), self.to());
        let starts = (0..).map(|hour| from.plus_seconds(hour * 3600));
        let hours = starts.take_while(|start| *start < to).take(26);
        hours.map(|start| Hour { start, label: self.format(start, "%H") }).collect()
    }

    /// Returns the place of `time` in [`Day::hours`]; `None` outside the day.
    pub fn hour_of(self, time: Timestamp) -> Option<usize> {
        let is_inside = self.from() <= time && time < self.to();
        let seconds = time.nanos_since(self.from()) / 1_000_000_000;
        is_inside.then(|| usize::try_from(seconds / 3600).ok()).flatten()
    }

    /// Returns the local clock time of `first` to `last`: `03:12–03:40`, with the day of the month
    /// where it is another day.
    pub fn clock_range(self, first: Timestamp, last: Timestamp) -> String {
        let (first, last) = (self.clock(first), self.clock(last));
        if first == last { first } else { format!("{first}–{last}") }
    }

    /// Returns the local clock time, with the day of the month where it is another day.
    pub fn clock(self, time: Timestamp) -> String {
        // the end of the day is written as its last moment: 24:00 would read as the next day
        let is_inside = self.from() <= time && time <= self.to();
        match time {
            t if t == self.to() => "24:00".to_owned(),
            t if is_inside => self.format(t, "%H:%M"),
            t => self.format(t, "%d %b %H:%M"),
        }
    }

    /// Returns what a report says about the day.
    pub fn period(self) -> Period {
        Period {
            date: self.date.format("%Y-%m-%d").to_string(),
            title: format!(
                "{}, {} {}",
                self.date.format("%A"),
                self.date.day(),
                self.date.format("%B %Y")
            ),
            time_zone: self.time_zone.name().to_owned(),
            from: self.from(),
            to: self.to(),
            hours: self.hours().len(),
        }
    }

    fn format(self, time: Timestamp, pattern: &str) -> String {
        time.to_utc().with_timezone(&self.time_zone).format(pattern).to_string()
    }

    /// The first moment of `date`: some zones change their clocks at midnight, so that 00:00 does
    /// not exist; the day then begins at the first time that does.
    fn midnight(self, date: NaiveDate) -> Timestamp {
        let start = date.and_time(NaiveTime::MIN);
        let candidates = (0..=100).map(|quarter| start + TimeDelta::minutes(15 * quarter));
        let mut times =
            candidates.filter_map(|time| self.time_zone.from_local_datetime(&time).earliest());
        let time = times.next().map_or_else(|| Utc.from_utc_datetime(&start), |time| time.to_utc());
        Timestamp::from_utc(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str, time_zone: Tz) -> Day {
        Day::new(text.parse().unwrap(), time_zone)
    }

    #[test]
    fn days_follow_the_local_clock() {
        let period = day("2026-11-20", Tz::Europe__Berlin).period();
        assert_eq!(period.title, "Friday, 20 November 2026");
        assert_eq!(period.from.to_string(), "2026-11-19T23:00:00.000Z");
        assert_eq!((period.to.seconds() - period.from.seconds(), period.hours), (86_400, 24));
    }

    #[test]
    fn days_of_23_and_25_hours_keep_their_hours() {
        let spring = day("2026-03-29", Tz::Europe__Berlin);
        let autumn = day("2026-10-25", Tz::Europe__Berlin);
        let labels = |day: Day| day.hours().into_iter().map(|hour| hour.label).collect::<Vec<_>>();
        assert_eq!(labels(spring)[..4], ["00", "01", "03", "04"]);
        assert_eq!(labels(spring).len(), 23);
        assert_eq!(labels(autumn)[..4], ["00", "01", "02", "02"]);
        assert_eq!(labels(autumn).len(), 25);
        assert_eq!(autumn.earlier(1).hours().len(), 24);
    }

    #[test]
    fn a_day_without_midnight_begins_at_its_first_moment() {
        // Beirut sets its clocks forward at midnight
        let day = day("2026-03-29", Tz::Asia__Beirut);
        assert_eq!(day.from().to_string(), "2026-03-28T22:00:00.000Z");
        assert_eq!((day.hours().len(), day.hours()[0].label.as_str()), (23, "01"));
    }

    #[test]
    fn clock_times_name_the_day_only_when_it_is_another() {
        let day = day("2026-11-20", Tz::UTC);
        let at = |seconds| day.from().plus_seconds(seconds);
        assert_eq!(day.clock_range(at(3600), at(3660)), "01:00–01:01");
        assert_eq!(day.clock_range(at(0), at(0)), "00:00");
        assert_eq!(day.clock_range(at(-60), at(86_400)), "19 Nov 23:59–24:00");
        assert_eq!(day.hour_of(at(3600)), Some(1));
        assert_eq!((day.hour_of(at(-1)), day.hour_of(at(86_400))), (None, None));
    }
}
