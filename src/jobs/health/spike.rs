//! Whether an hour had abnormally many outliers.
//!
//! Two questions have to be answered with yes. Are there more outliers than at other times? And are
//! there more than at other times *for so much traffic*? The first alone would call every busy hour
//! a spike, the second alone every hour in which hardly anything happened.

use chrono_tz::Tz;

use super::baseline::{Baseline, FEWEST_HOURS};
use super::history::{History, Hour};
use super::report::{HealthFinding, HealthStatus};
use super::settings::HealthSettings;

/// What chance makes of an hour's outliers.
struct Verdict {
    actual: f64,
    /// The usual count.
    typical: f64,
    /// The usual outliers per 1,000 flows; `None` when no hour had flows.
    typical_rate: Option<f64>,
    /// The largest count that is usual, by the count or for so much traffic.
    upper: f64,
    /// Of so many outliers, or so many per flow, whichever is more likely.
    probability: f64,
}

/// Judges the outliers of the checked hour: all of them, then those of every kind it had.
pub(super) fn outliers(
    history: &History,
    zone: Tz,
    settings: &HealthSettings,
) -> Vec<HealthFinding> {
    let Some(checked) = &history.checked else {
        let cause = "No flows were indexed in this hour, so its outliers cannot be judged.";
        return vec![HealthFinding::new("outliers", title(None), HealthStatus::Unknown, cause)];
    };
    let baseline = Baseline::choose(&history.earlier, checked, zone);
    let kinds = checked.outliers_by_kind.keys().map(|kind| Some(kind.as_str()));
    std::iter::once(None)
        .chain(kinds)
        .map(|kind| match &baseline {
            None => no_basis(checked, history.earlier.len(), kind),
            Some(baseline) => judged(history, checked, baseline, kind, settings),
        })
        .collect()
}

fn id(kind: Option<&str>) -> String {
    kind.map_or_else(|| "outliers".to_owned(), |kind| format!("outliers.{kind}"))
}

fn title(kind: Option<&str>) -> String {
    kind.map_or_else(|| "Outliers".to_owned(), |kind| format!("Outliers of kind {kind}"))
}

fn no_basis(checked: &Hour, earlier: usize, kind: Option<&str>) -> HealthFinding {
    let actual = checked.outliers_of(kind);
    let cause = format!(
        "{actual} outliers; no basis yet to judge them by: {earlier} earlier hours with flows, \
         {FEWEST_HOURS} are needed."
    );
    HealthFinding::new(id(kind), title(kind), HealthStatus::Unknown, cause)
        .figures(actual, None, None)
}

fn judged(
    history: &History,
    checked: &Hour,
    baseline: &Baseline<'_>,
    kind: Option<&str>,
    settings: &HealthSettings,
) -> HealthFinding {
    let verdict = Verdict::of(checked, baseline, kind, settings.tail_probability);
    let is_spike = verdict.probability <= settings.tail_probability
        && verdict.actual >= f64::from(settings.minimum_count);
    let status = if !is_spike {
        HealthStatus::Ok
    } else if verdict.actual >= settings.critical_factor * verdict.upper.max(1.0) {
        HealthStatus::Critical
    } else {
        HealthStatus::Warn
    };
    let cause = verdict.sentence(checked.flows, baseline);
    let mut finding = HealthFinding::new(id(kind), title(kind), status, cause).figures(
        verdict.actual,
        Some(verdict.typical),
        Some(verdict.upper.max(f64::from(settings.minimum_count) - 1.0)),
    );
    finding.basis = Some(baseline.basis);
    finding.probability = Some(verdict.probability);
    if !is_spike {
        return finding;
    }
    let since = history.since(|hour| hour.outliers_of(kind) > verdict.upper);
    finding.since(since).remedy(remedy(checked, kind))
}

fn remedy(checked: &Hour, kind: Option<&str>) -> String {
    let most = checked.outliers_by_kind.iter().max_by_key(|(_, count)| **count);
    let first = match (kind, most) {
        (None, Some((kind, count))) => {
            format!("Look at the alerts of this hour, first at kind {kind} ({count} outliers)")
        }
        (None, None) => "Look at the alerts of this hour".to_owned(),
        (Some(kind), _) => format!("Look at the alerts of kind {kind} of this hour"),
    };
    format!("{first}; add the exception that an alert names where its traffic is wanted.")
}

impl Verdict {
    fn of(checked: &Hour, baseline: &Baseline<'_>, kind: Option<&str>, tail: f64) -> Self {
        let actual = checked.outliers_of(kind);
        let count = baseline.expect(|hour| Some(hour.outliers_of(kind)));
        // What the traffic of the checked hour would have given at the share of an earlier one.
        let at_share = baseline.expect(|hour| {
            (hour.flows > 0.0).then(|| hour.outliers_of(kind) / hour.flows * checked.flows)
        });
        let both = [count, at_share].into_iter().flatten();
        let upper = both.clone().map(|expectation| expectation.chance.upper(tail));
        let probability = both.map(|expectation| expectation.chance.tail(actual));
        Self {
            actual,
            typical: count.map_or(0.0, |count| count.typical),
            typical_rate: at_share
                .filter(|_| checked.flows > 0.0)
                .map(|share| 1000.0 * share.typical / checked.flows),
            upper: upper.fold(0.0, f64::max),
            probability: probability.fold(0.0, f64::max),
        }
    }

    fn sentence(&self, flows: f64, baseline: &Baseline<'_>) -> String {
        let actual_rate = if flows > 0.0 { 1000.0 * self.actual / flows } else { 0.0 };
        let typical_rate =
            self.typical_rate.map_or(String::new(), |rate| format!(" and {rate:.1}"));
        format!(
            "{} outliers, {actual_rate:.1} per 1,000 flows; usual are {:.0}{typical_rate}, by chance \
             up to {} (compared with {}).",
            self.actual,
            self.typical,
            self.upper,
            baseline.describe(),
        )
    }
}
