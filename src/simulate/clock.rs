//! How busy the simulated network is at a moment: hours of the day, week-ends.

/// One second in nanoseconds.
pub(super) const SECOND: i64 = 1_000_000_000;
/// One day in seconds.
pub(super) const DAY: i64 = 86_400;

/// Who causes the traffic, which says when there is how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// People at their desks: office hours, a dip at lunch, nearly nobody on week-ends.
    Office,
    /// The public: up from the morning to the evening, quiet before dawn, week-ends a little less.
    Public,
    /// Machines among themselves: a steady floor with some of the offices' swing on top.
    Machine,
}

/// Levels of the hours from 00:00 on, reached at the full hour.
const OFFICE: [f64; 24] = [
    0.10, 0.08, 0.08, 0.08, 0.08, 0.10, 0.18, 0.55, 1.60, 2.50, 2.80, 2.65, 1.75, 2.05, 2.60, 2.50,
    2.25, 1.70, 0.85, 0.48, 0.34, 0.25, 0.18, 0.13,
];
const PUBLIC: [f64; 24] = [
    0.60, 0.42, 0.32, 0.28, 0.28, 0.34, 0.50, 0.75, 1.00, 1.15, 1.22, 1.25, 1.22, 1.22, 1.22, 1.22,
    1.22, 1.25, 1.35, 1.50, 1.60, 1.50, 1.20, 0.85,
];
const MACHINE: [f64; 24] = [
    0.70, 0.70, 0.70, 0.70, 0.70, 0.70, 0.72, 0.80, 1.05, 1.35, 1.45, 1.42, 1.20, 1.28, 1.42, 1.40,
    1.33, 1.18, 0.95, 0.85, 0.80, 0.75, 0.72, 0.70,
];

/// Whole days since 1970-01-01, for a second since then.
pub(super) fn day_of(second: i64) -> i64 {
    second.div_euclid(DAY)
}

/// Whether this is a Saturday or a Sunday. 1970-01-01 was a Thursday.
pub(super) fn is_weekend(second: i64) -> bool {
    (day_of(second) + 3).rem_euclid(7) >= 5
}

/// Minutes since midnight.
pub(super) fn minute_of_day(second: i64) -> i64 {
    second.rem_euclid(DAY) / 60
}

/// How busy: 1 is the mean over a working day.
pub(super) fn level(rhythm: Rhythm, second: i64) -> f64 {
    let (table, weekend) = match rhythm {
        Rhythm::Office => (&OFFICE, 0.12),
        Rhythm::Public => (&PUBLIC, 0.8),
        Rhythm::Machine => (&MACHINE, 0.75),
    };
    let of_day = second.rem_euclid(DAY);
    let hour = (of_day / 3600) as usize;
    let share = (of_day % 3600) as f64 / 3600.0;
    let interpolated = table[hour] + (table[(hour + 1) % 24] - table[hour]) * share;
    let mean = table.iter().sum::<f64>() / 24.0;
    interpolated / mean * if is_weekend(second) { weekend } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02, a Monday.
    const MONDAY: i64 = 1_772_409_600;

    #[test]
    fn a_working_day_has_a_mean_of_one() {
        for rhythm in [Rhythm::Office, Rhythm::Public, Rhythm::Machine] {
            let sum: f64 = (0..1440).map(|minute| level(rhythm, MONDAY + minute * 60)).sum();
            assert!((sum / 1440.0 - 1.0).abs() < 1e-9, "{rhythm:?}");
        }
    }

    #[test]
    fn lunch_is_calmer_than_ten_and_saturday_calmer_than_friday() {
        let hour = |day: i64, hour: i64| level(Rhythm::Office, MONDAY + day * DAY + hour * 3600);
        assert!(hour(0, 12) < 0.7 * hour(0, 10));
        assert!(hour(5, 10) < 0.2 * hour(4, 10));
        assert!(!is_weekend(MONDAY + 5 * DAY - 1) && is_weekend(MONDAY + 5 * DAY));
        assert!(is_weekend(MONDAY + 7 * DAY - 1) && !is_weekend(MONDAY + 7 * DAY));
    }
}
