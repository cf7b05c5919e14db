//! When a job is due: cron expressions as people know them, on a local clock that is changed twice
//! a year.
//!
//! The `cron` crate enumerates times of a clock that never changes; this module puts what people
//! write into its dialect (it wants seconds, and counts weekdays from Sunday = 1), and
//! [`LocalClock`] maps its times into the time zone. The rule for changes of the clock is that of
//! Vixie cron: a job at a fixed time runs once a day whatever the clock does, a job of every hour
//! follows real time.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::local_clock::LocalClock;
use crate::model::Timestamp;

/// A cron expression.
///
/// Five fields (minute, hour, day of the month, month, weekday), six (seconds first) or seven (the
/// year last), or `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
/// Fields hold `*`, numbers, ranges, steps and lists; months and weekdays may be written by their
/// English names. Sunday is 0 or 7 in every form. When both day of the month and weekday are
/// restricted, a day that fits one of them is enough.
///
/// ```
/// use flowsentry::jobs::Schedule;
///
/// let mornings = Schedule::parse("30 6 * * MON-FRI")?;
/// let friday_noon = "2026-11-20T12:00:00Z".parse()?;
/// let next = mornings.next_after(friday_noon, chrono_tz::Europe::Berlin);
/// assert_eq!(next, Some("2026-11-23T05:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    /// Due when one of these is: two when days of the month and weekdays are both restricted.
    parts: Vec<cron::Schedule>,
    /// Whether it runs at every so many hours rather than at fixed ones.
    follows_real_time: bool,
}

/// The text is no cron expression. The message goes on from the name of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a cron expression such as `30 6 * * *` (minute, hour, day of the month, month, \
     weekday) or `@daily`, got `{text}`: {problem}"
)]
pub struct InvalidSchedule {
    /// The text, or its beginning.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What the names stand for.
const NAMED: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl Schedule {
    /// Returns the schedule that `text` describes.
    ///
    /// # Errors
    /// [`InvalidSchedule`] when it is no cron expression or never comes true (30 February).
    pub fn parse(text: &str) -> Result<Self, InvalidSchedule> {
        let invalid =
            |problem: String| InvalidSchedule { text: text.chars().take(64).collect(), problem };
        let schedule = read(text.trim()).map_err(invalid)?;
        if schedule.next_local(DateTime::UNIX_EPOCH.naive_utc()).is_none() {
            return Err(invalid("it never comes true".to_owned()));
        }
        Ok(schedule)
    }

    /// The text that was parsed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the first moment after `time` at which it is due by the clock of `zone`; `None` when
    /// it is never again, at the latest after the year 2100.
    ///
    /// Where the clock is put forward, a run whose time is left out happens right after the gap.
    /// Where it is put back, a run happens at the first of the two. A schedule whose hour begins
    /// with `*` follows real time instead: left-out times do not happen, doubled ones happen twice,
    /// so that `0 * * * *` runs 23 and 25 times on those days. Where the clock is changed by half an
    /// hour (Lord Howe Island), such a schedule keeps the minutes of standard time, so that the
    /// hours between its runs stay whole.
    pub fn next_after(&self, time: Timestamp, zone: Tz) -> Option<Timestamp> {
        let clock = LocalClock { zone, follows_real_time: self.follows_real_time };
        let now = time.to_utc();
        let mut found: Option<DateTime<Utc>> = None;
        let mut local = clock.earliest_reading(now);
        while let Some(next) = self.next_local(local) {
            local = next;
            let (first, second) = clock.moments(local);
            let due = [first, second].into_iter().flatten().filter(|moment| *moment > now);
            found = found.into_iter().chain(due).min();
            // First moments rise with local time: nothing that follows can be earlier.
            if first.is_some_and(|first| first > now) {
                break;
            }
        }
        found.map(Timestamp::from_utc)
    }

    /// The next reading of the clock, as if it never changed.
    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = |part: &cron::Schedule| part.after(&after.and_utc()).next();
        self.parts.iter().filter_map(next).min().map(|next| next.naive_utc())
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads an expression into the dialect of the `cron` crate.
fn read(text: &str) -> Result<Schedule, String> {
    let expression = if text.starts_with('@') { expand(text)? } else { text };
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    let (seconds, rest) = match fields.len() {
        5 => ("0", &fields[..]),
        6 | 7 => (fields[0], &fields[1..]),
        count => return Err(format!("it has {count} fields, not 5, 6 or 7")),
    };
    let (minute, hour, day, month, weekday) = (rest[0], rest[1], rest[2], rest[3], rest[4]);
    let year = rest.get(5).copied().unwrap_or("*");
    let weekday_set = weekdays(weekday)?;
    // `*/2` counts as unrestricted here, as in Vixie cron.
    let is_restricted = |field: &str| !field.starts_with(['*', '?']);
    let day_pairs = if is_restricted(day) && is_restricted(weekday) {
        vec![(day, "*"), ("*", weekday_set.as_str())]
    } else {
        vec![(day, weekday_set.as_str())]
    };
    let parts = day_pairs.into_iter().map(|(day, weekday)| {
        let line = format!("{seconds} {minute} {hour} {day} {month} {weekday} {year}");
        line.parse::<cron::Schedule>().map_err(|_| field_problem(&fields))
    });
    Ok(Schedule {
        text: text.to_owned(),
        parts: parts.collect::<Result<_, _>>()?,
        follows_real_time: hour.starts_with('*'),
    })
}

fn expand(name: &str) -> Result<&'static str, String> {
    let lower = name.to_ascii_lowercase();
    let known = NAMED.iter().find(|(known, _)| *known == lower);
    known.map(|(_, expression)| *expression).ok_or_else(|| {
        let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        format!("the names are {}", names.join(", "))
    })
}

/// The crate's messages are drawings of several lines; which field it is says enough.
fn field_problem(fields: &[&str]) -> String {
    const NAMES: [&str; 7] =
        ["seconds", "minute", "hour", "day of the month", "month", "weekday", "year"];
    let names = if fields.len() == 5 { &NAMES[1..6] } else { &NAMES[..fields.len()] };
    let wrong = names.iter().zip(fields).find(|(name, field)| {
        let mut line = ["*"; 7];
        let Some(place) = NAMES.iter().position(|known| known == *name) else { return false };
        line[place] = field;
        // Weekdays were read before.
        **name != "weekday" && line.join(" ").parse::<cron::Schedule>().is_err()
    });
    wrong.map_or_else(
        || "it cannot be read".to_owned(),
        |(name, field)| format!("`{field}` is no {name}"),
    )
}

/// Returns a weekday field as the crate writes it: a list of numbers from Sunday = 1, or `*`.
fn weekdays(field: &str) -> Result<String, String> {
    let mut due = [false; 7];
    for item in field.split(',') {
        let wrong = || {
            format!("`{item}` is no weekday (0 or 7 for Sunday to 6 for Saturday, or `MON-FRI`)")
        };
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                (range, number(step).filter(|step| *step > 0).ok_or_else(wrong)?)
            }
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (0, 6),
            Some((first, last)) => {
                let first = weekday(first).ok_or_else(wrong)?;
                let last = weekday(last).ok_or_else(wrong)?;
                // `FRI-SUN`: Sunday ends a range as 7.
                (first, if last == 0 && first > 0 { 7 } else { last })
            }
            None => {
                let first = weekday(range).ok_or_else(wrong)?;
                (first, if item.contains('/') { 6.max(first) } else { first })
            }
        };
        if first > last {
            return Err(wrong());
        }
        for day in (first..=last).step_by(step) {
            due[day % 7] = true;
        }
    }
    if due == [true; 7] {
        return Ok("*".to_owned());
    }
    let numbers = (1..).zip(due).filter(|(_, is_due)| *is_due);
    Ok(numbers.map(|(number, _): (u8, bool)| number.to_string()).collect::<Vec<_>>().join(","))
}

/// Reads a weekday: 0 to 7, or at least three letters of its English name.
fn weekday(text: &str) -> Option<usize> {
    let by_name = || {
        let lower = text.to_ascii_lowercase();
        let fits = |name: &&str| lower.len() >= 3 && name.starts_with(&lower);
        WEEKDAYS.iter().position(fits)
    };
    number(text).filter(|number| *number <= 7).or_else(by_name)
}

/// Reads digits alone; `parse` would take a sign.
fn number(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;
    use chrono_tz::Tz::UTC;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// All runs of `expression` with `from` < run ≤ `to`.
    fn runs(expression: &str, zone: Tz, from: &str, to: &str) -> Vec<String> {
        let schedule = Schedule::parse(expression).unwrap();
        let mut time = at(from);
        let mut runs = Vec::new();
        while let Some(next) = schedule.next_after(time, zone).filter(|next| *next <= at(to)) {
            assert!(next > time, "{expression} stands still at {time}");
            runs.push(next.to_string().replace(":00.000Z", ""));
            time = next;
        }
        runs
    }

    #[test]
    fn a_run_in_the_spring_gap_happens_right_after_it_and_once() {
        let days = runs("30 2 * * *", Berlin, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(days, ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]);
        let both = runs("0,30 2 * * *", Berlin, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(both, ["2026-03-29T01:00"]);
    }

    #[test]
    fn a_run_in_the_doubled_autumn_hour_happens_once() {
        let days = runs("30 2 * * *", Berlin, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(days, ["2026-10-25T00:30", "2026-10-26T01:30"]);
    }

    #[test]
    fn hourly_runs_happen_23_and_25_times_on_the_days_of_the_change() {
        let count = |expression, from, to| runs(expression, Berlin, from, to).len();
        let spring = ("2026-03-28T22:59:59Z", "2026-03-29T21:59:59Z");
        let autumn = ("2026-10-24T21:59:59Z", "2026-10-25T22:59:59Z");
        for expression in ["@hourly", "0 * * * *", "30 * * * *", "0 30 */1 * * *"] {
            assert_eq!(count(expression, spring.0, spring.1), 23, "{expression}");
            assert_eq!(count(expression, autumn.0, autumn.1), 25, "{expression}");
        }
        assert_eq!(count("*/15 * * * *", spring.0, spring.1), 92);
        assert_eq!(count("*/15 * * * *", autumn.0, autumn.1), 100);
    }

    #[test]
    fn a_day_that_a_zone_left_out_runs_at_the_end_of_the_gap() {
        let zone = chrono_tz::Pacific::Apia;
        let days = runs("0 12 * * *", zone, "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z");
        assert_eq!(days, ["2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00"]);
    }

    #[test]
    fn sunday_is_0_or_7_and_weekdays_have_names() {
        let next =
            |expression| runs(expression, UTC, "2026-11-20T12:00:00Z", "2026-11-27T12:00:00Z");
        // 2026-11-22 is a Sunday.
        for expression in ["0 6 * * 0", "0 6 * * 7", "0 6 * * SUN", "0 6 * * sunday", "0 0 6 * * 0"]
        {
            assert_eq!(next(expression), ["2026-11-22T06:00"], "{expression}");
        }
        let weekdays = ["23", "24", "25", "26", "27"].map(|day| format!("2026-11-{day}T06:00"));
        for expression in ["0 6 * * 1-5", "0 6 * * Mon-Fri", "0 6 * * 1,2,3-5"] {
            assert_eq!(next(expression), weekdays, "{expression}");
        }
        let week_end = ["2026-11-21T06:00", "2026-11-22T06:00"];
        for expression in ["0 6 * * 6-7", "0 6 * * SAT-SUN", "0 6 * * 0,6", "0 6 * * 6,7"] {
            assert_eq!(next(expression), week_end, "{expression}");
        }
        assert_eq!(
            next("0 6 * * */3"),
            ["21", "22", "25"].map(|day| format!("2026-11-{day}T06:00"))
        );
    }

    #[test]
    fn days_of_the_month_and_weekdays_add_up_when_both_are_restricted() {
        let list = runs("0 0 13 * FRI", UTC, "2026-11-01T12:00:00Z", "2026-11-21T12:00:00Z");
        assert_eq!(list, ["2026-11-06T00:00", "2026-11-13T00:00", "2026-11-20T00:00"]);
        let list = runs("0 0 15 * FRI", UTC, "2026-11-10T12:00:00Z", "2026-11-21T12:00:00Z");
        assert_eq!(list, ["2026-11-13T00:00", "2026-11-15T00:00", "2026-11-20T00:00"]);
    }

    #[test]
    fn names_and_years_are_understood() {
        let next =
            |expression| runs(expression, UTC, "2026-11-20T12:00:00Z", "2027-01-01T00:00:00Z");
        assert_eq!(next("@weekly").first().map(String::as_str), Some("2026-11-22T00:00"));
        assert_eq!(next("@monthly"), ["2026-12-01T00:00", "2027-01-01T00:00"]);
        assert_eq!(next("@yearly"), ["2027-01-01T00:00"]);
        assert_eq!(next("0 30 6 24 DEC * 2026"), ["2026-12-24T06:30"]);
        assert_eq!(next("@Daily").len(), 42);
    }

    #[test]
    fn a_schedule_that_ended_is_never_due() {
        let schedule = Schedule::parse("0 0 0 1 1 * 2020").unwrap();
        assert_eq!(schedule.next_after(at("2026-01-01T00:00:00Z"), Berlin), None);
        assert_eq!(Schedule::parse("@hourly").unwrap().next_after(Timestamp::MAX, Berlin), None);
        let first = Schedule::parse("@hourly").unwrap().next_after(Timestamp::MIN, UTC);
        assert_eq!(first, Some(Timestamp::default()));
    }

    #[test]
    fn errors_name_the_field_and_the_way_out() {
        let problem = |text| Schedule::parse(text).unwrap_err().problem;
        assert_eq!(problem("61 * * * *"), "`61` is no minute");
        assert_eq!(problem("0 24 * * *"), "`24` is no hour");
        assert_eq!(problem("0 0 0 1 13 *"), "`13` is no month");
        assert_eq!(problem("0 0 */0 * *"), "`*/0` is no day of the month");
        assert_eq!(problem("0 0 30 2 *"), "it never comes true");
        assert_eq!(problem("0 0 * *"), "it has 4 fields, not 5, 6 or 7");
        assert_eq!(
            problem("0 0 * * 5-1"),
            "`5-1` is no weekday (0 or 7 for Sunday to 6 for Saturday, or `MON-FRI`)"
        );
        assert!(problem("@often").starts_with("the names are @hourly, @daily"));
        for text in
            ["", "* * * * 8", "* * * * 1/0", "* * * * -", "* * * * MO", "* * * * +1", "a b c d e"]
        {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(Schedule::parse("hourly").unwrap_err(), @"must be a cron expression such as `30 6 * * *` (minute, hour, day of the month, month, weekday) or `@daily`, got `hourly`: it has 1 fields, not 5, 6 or 7");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9*/,?@ a-zA-Z-]{0,24}") {
            if let Ok(schedule) = Schedule::parse(&text) {
                let _ = schedule.next_after(Timestamp::from_seconds(1_793_000_000), Berlin);
            }
        }

        /// Around both changes of the clock, and anywhere else.
        #[test]
        fn a_fixed_time_runs_once_on_every_local_day(
            hour in 0_u32..24, minute in 0_u32..60, day in 0_i64..365,
        ) {
            let noon = at("2026-01-01T12:00:00Z").plus_seconds(day * 86_400);
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).unwrap();
            let local_day = |time: Timestamp| time.to_utc().with_timezone(&Berlin).date_naive();
            let first = schedule.next_after(noon, Berlin).unwrap();
            let second = schedule.next_after(first, Berlin).unwrap();
            prop_assert_eq!(local_day(first).succ_opt(), Some(local_day(second)));
        }
    }
}
