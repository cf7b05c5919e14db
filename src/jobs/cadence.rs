//! What makes two moments the same run.

use chrono_tz::Tz;

use crate::model::Timestamp;
use crate::reports::Day;

/// The stretch of time in which a job runs at most once, whatever its schedule says.
///
/// A run is named by it and not by the minute at which it was due. So a schedule that is changed
/// from six to seven o'clock sends no second report of the day, and workers whose settings differ by
/// minutes still mean the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Once in an hour of UTC; it is about the hour before.
    Hourly,
    /// Once on a day of the schedule's time zone; it is about the day before.
    Daily,
}

impl Cadence {
    /// Returns the name of the run that is due at `due`: `2026-11-21T10` or `2026-11-21`.
    pub(super) fn label(self, due: Timestamp, zone: Tz) -> String {
        match self {
            Self::Hourly => due.to_utc().format("%Y-%m-%dT%H").to_string(),
            Self::Daily => day_of(due, zone).date().to_string(),
        }
    }

    /// Returns the start of the hour or day of `due`, which is the end of the one it is about.
    pub(super) fn start(self, due: Timestamp, zone: Tz) -> Timestamp {
        match self {
            Self::Hourly => due.floor(3_600),
            Self::Daily => day_of(due, zone).from(),
        }
    }
}

fn day_of(time: Timestamp, zone: Tz) -> Day {
    Day::new(time.to_utc().with_timezone(&zone).date_naive(), zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Europe::Berlin;

    #[test]
    fn a_run_is_named_by_its_hour_of_utc_or_its_local_day() {
        let due = "2026-11-20T23:05:00Z".parse().unwrap();
        let start = |cadence: Cadence| cadence.start(due, Berlin).to_string();
        assert_eq!(Cadence::Hourly.label(due, Berlin), "2026-11-20T23");
        assert_eq!(start(Cadence::Hourly), "2026-11-20T23:00:00.000Z");
        assert_eq!(Cadence::Daily.label(due, Berlin), "2026-11-21");
        assert_eq!(start(Cadence::Daily), "2026-11-20T23:00:00.000Z");
    }
}
