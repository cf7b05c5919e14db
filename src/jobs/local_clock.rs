//! The clock of a time zone, which is put forward and back: which moments a reading stands for.

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::{OffsetComponents, Tz};

/// The clock that a schedule is read by.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalClock {
    /// Where it hangs.
    pub zone: Tz,
    /// Whether an hour is an hour: what the clock leaves out does not happen, what it shows twice
    /// happens twice. Changes by less than an hour are not followed at all, since they would leave
    /// half an hour between two runs of an hourly schedule, or one and a half.
    pub follows_real_time: bool,
}

impl LocalClock {
    /// A reading before all that can still come after `now`: by the smallest offset of the days
    /// around, since the clock may be about to be put back, or just have been.
    pub(super) fn earliest_reading(self, now: DateTime<Utc>) -> NaiveDateTime {
        let day = TimeDelta::days(1);
        let around = [Some(now), now.checked_sub_signed(day), now.checked_add_signed(day)];
        let offsets = around.into_iter().flatten().map(|moment| self.offset_at(moment));
        let offset = offsets.min().unwrap_or_default();
        let reading = now.naive_utc() + offset - TimeDelta::seconds(1);
        reading.with_nanosecond(0).unwrap_or(reading)
    }

    /// When to run for a reading, the earlier moment first.
    pub(super) fn moments(
        self,
        local: NaiveDateTime,
    ) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        if self.follows_real_time {
            return self.real_moments(local);
        }
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Single(moment) => (Some(moment.to_utc()), None),
            MappedLocalTime::Ambiguous(first, _) => (Some(first.to_utc()), None),
            MappedLocalTime::None => (self.end_of_gap(local), None),
        }
    }

    /// The moments at which the clock shows `local`. It does so by the offset of the day before or
    /// by that of the day after: no zone changes its clock twice in two days.
    fn real_moments(self, local: NaiveDateTime) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let day = TimeDelta::days(1);
        let [before, after] = [-day, day].map(|shift| {
            let offset = self.offset_at(local.and_utc().checked_add_signed(shift)?);
            let moment = local.and_utc().checked_sub_signed(offset)?;
            (self.offset_at(moment) == offset).then_some(moment)
        });
        match (before, after) {
            (Some(before), Some(after)) if before != after => {
                (Some(before.min(after)), Some(before.max(after)))
            }
            (before, after) => (before.or(after), None),
        }
    }

    /// How far the clock is ahead of UTC.
    fn offset_at(self, moment: DateTime<Utc>) -> TimeDelta {
        let offset = self.zone.offset_from_utc_datetime(&moment.naive_utc());
        if self.follows_real_time {
            return offset.base_utc_offset() + TimeDelta::hours(offset.dst_offset().num_hours());
        }
        TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
    }

    /// Returns the first moment at which the clock shows more than `local`, a reading that it
    /// leaves out. Samoa once left out a whole day, and offsets reach 14 hours: two days either way
    /// hold every gap.
    fn end_of_gap(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let middle = local.and_utc();
        let mut before = middle.checked_sub_signed(TimeDelta::days(2))?;
        let mut after = middle.checked_add_signed(TimeDelta::days(2))?;
        while after - before > TimeDelta::seconds(1) {
            let half = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            let is_past = half.naive_utc() + self.offset_at(half) > local;
            if is_past { after = half } else { before = half }
        }
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use chrono_tz::Australia::Lord_Howe;
    use chrono_tz::Tz::UTC;
    use chrono_tz::{America::New_York, Europe::Berlin};
    use proptest::prelude::*;

    use crate::jobs::Schedule;
    use crate::model::Timestamp;

    use super::*;

    const ZONES: [Tz; 4] = [Berlin, New_York, Lord_Howe, UTC];
    const HOUR: i64 = 3_600;

    fn local_date(time: Timestamp, zone: Tz) -> NaiveDate {
        time.to_utc().with_timezone(&zone).date_naive()
    }

    fn daily(minute_of_day: u32) -> Schedule {
        let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
        Schedule::parse(&format!("{minute} {hour} * * *")).unwrap()
    }

    /// The days of 2000 to 2040 on which the clock is put forward or back.
    fn days_of_change(zone: Tz) -> Vec<Timestamp> {
        let first: Timestamp = "2000-01-01T00:00:00Z".parse().unwrap();
        let offset = |time: Timestamp| {
            zone.offset_from_utc_datetime(&time.to_utc().naive_utc()).fix().local_minus_utc()
        };
        let days = (0..41 * 365).map(|day| first.plus_seconds(day * 24 * HOUR));
        days.filter(|day| offset(*day) != offset(day.plus_seconds(24 * HOUR))).collect()
    }

    /// Checks that `schedule` runs on each of the `days` local dates after `from`, once.
    fn assert_daily(schedule: &Schedule, zone: Tz, from: Timestamp, days: usize) {
        let mut last = schedule.next_after(from, zone).unwrap();
        for _ in 0..days {
            let next = schedule.next_after(last, zone).unwrap();
            let (last_date, date) = (local_date(last, zone), local_date(next, zone));
            assert_eq!(last_date.succ_opt(), Some(date), "{schedule} in {zone}: {last}, {next}");
            last = next;
        }
    }

    /// The same for the hours of UTC.
    fn assert_hourly(schedule: &Schedule, zone: Tz, from: Timestamp, hours: usize) {
        let mut last = schedule.next_after(from, zone).unwrap();
        for _ in 0..hours {
            let next = schedule.next_after(last, zone).unwrap();
            let passed = next.seconds().div_euclid(HOUR) - last.seconds().div_euclid(HOUR);
            assert_eq!(passed, 1, "{schedule} in {zone}: {last}, {next}");
            last = next;
        }
    }

    #[test]
    fn a_daily_run_happens_on_every_local_date_of_forty_years_once() {
        for zone in ZONES {
            for minute_of_day in [0, 119, 150, 6 * 60] {
                let from = "2000-01-01T12:00:00Z".parse().unwrap();
                assert_daily(&daily(minute_of_day), zone, from, 40 * 365);
            }
        }
    }

    #[test]
    fn an_hourly_run_happens_in_every_hour_of_utc_around_every_change_of_the_clock() {
        for (zone, changes) in [(Berlin, 82), (New_York, 82), (Lord_Howe, 82), (UTC, 0)] {
            let days = days_of_change(zone);
            assert_eq!(days.len(), changes, "{zone}");
            for day in days {
                for minute in [0, 29, 45] {
                    let schedule = Schedule::parse(&format!("{minute} * * * *")).unwrap();
                    assert_hourly(&schedule, zone, day.plus_seconds(-12 * HOUR), 60);
                }
            }
        }
    }

    #[test]
    fn a_change_by_half_an_hour_gives_daily_runs_their_time_and_hourly_ones_an_hour() {
        let next = |text: &str, after: &str| {
            let schedule = Schedule::parse(text).unwrap();
            schedule.next_after(after.parse().unwrap(), Lord_Howe).unwrap().to_string()
        };
        // 02:00 becomes 02:30 (from UTC+10:30 to UTC+11); in autumn 02:00 becomes 01:30.
        let spring = "2026-10-03T15:00:00Z";
        assert_eq!(next("15 2 * * *", spring), "2026-10-03T15:30:00.000Z");
        assert_eq!(next("45 * * * *", "2026-10-03T15:15:00Z"), "2026-10-03T16:15:00.000Z");
        let autumn = "2026-04-04T12:00:00Z";
        assert_eq!(next("45 1 * * *", autumn), "2026-04-04T14:45:00.000Z");
        assert_eq!(next("45 1 * * *", "2026-04-04T14:45:00Z"), "2026-04-05T15:15:00.000Z");
    }

    proptest! {
        #[test]
        fn daily_and_hourly_runs_are_regular_anywhere(
            zone in prop::sample::select(&ZONES[..]),
            minute_of_day in 0_u32..24 * 60,
            start in 946_684_800_i64..2_240_611_200,
        ) {
            let start = Timestamp::from_seconds(start);
            assert_daily(&daily(minute_of_day), zone, start, 10);
            let hourly = Schedule::parse(&format!("{} * * * *", minute_of_day % 60)).unwrap();
            assert_hourly(&hourly, zone, start, 30);
        }
    }
}
