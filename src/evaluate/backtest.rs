//! What alerts there would have been, day by day, and what of them repeats.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::found::{Found, FoundAlert, is_above_low};
use crate::model::{Kind, Score, Severity, SubjectType, Timestamp};

/// Subjects that are listed.
const NOISIEST: usize = 10;
/// Fewer days cannot show that something repeats.
const LEAST_DAYS: usize = 2;
const DAY: u32 = 86_400;

/// Alerts of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindLoad {
    /// Detectors that say so.
    pub detectors: Vec<String>,
    /// All.
    pub alerts: usize,
    /// Those above low.
    pub above_low: usize,
    /// All, by day.
    pub per_day: f64,
    /// By day (its midnight, UTC).
    pub days: BTreeMap<Timestamp, usize>,
}

/// A subject and its alerts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noisy {
    /// Who.
    pub subject: String,
    /// What kind of subject.
    pub subject_type: SubjectType,
    /// Its alerts.
    pub alerts: usize,
    /// By kind.
    pub kinds: BTreeMap<Kind, usize>,
}

/// Alerts that come again on most days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// What.
    pub kind: Kind,
    /// Who.
    pub subject: String,
    /// How many alerts.
    pub alerts: usize,
    /// On how many days.
    pub days: usize,
    /// The worst score.
    pub score: Score,
    /// The word for it.
    pub severity: Severity,
    /// The line to paste under `alerts.exceptions:`; `None` when the worst of them is high, which is
    /// looked at rather than hidden, or when the line would hide every alert of the kind.
    pub line: Option<String>,
}

/// What alerts there would have been.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backtest {
    /// First moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub to: Timestamp,
    /// Length in days.
    pub days: f64,
    /// All alerts.
    pub alerts: usize,
    /// All alerts by day.
    pub alerts_per_day: f64,
    /// Those above low, by day.
    pub above_low_per_day: f64,
    /// By kind.
    pub by_kind: BTreeMap<Kind, KindLoad>,
    /// Alerts per detector that had a part in their kind, by day.
    pub by_detector: BTreeMap<String, f64>,
    /// Who has most alerts, at most ten.
    pub noisiest: Vec<Noisy>,
    /// What comes again on most days, most often first.
    pub proposals: Vec<Proposal>,
}

impl Backtest {
    /// Counts the alerts that began from `from` up to `to`.
    pub fn of(found: &Found, from: Timestamp, to: Timestamp) -> Self {
        let alerts: Vec<&FoundAlert> = found
            .alerts()
            .into_iter()
            .filter(|alert| (from..to).contains(&alert.mark.start))
            .collect();
        let days = (to.seconds_since(from) / f64::from(DAY)).max(f64::MIN_POSITIVE);
        let mut by_kind = BTreeMap::<Kind, KindLoad>::new();
        for alert in &alerts {
            let load = by_kind.entry(alert.kind).or_default();
            load.alerts += 1;
            load.above_low += usize::from(is_above_low(alert.score));
            *load.days.entry(alert.mark.start.floor(DAY)).or_default() += 1;
        }
        let detectors = found.detectors();
        let mut by_detector = BTreeMap::<String, f64>::new();
        for (kind, load) in &mut by_kind {
            load.per_day = load.alerts as f64 / days;
            load.detectors = detectors.get(kind).cloned().unwrap_or_default();
            for detector in &load.detectors {
                *by_detector.entry(detector.clone()).or_default() += load.per_day;
            }
        }
        let above_low = alerts.iter().filter(|alert| is_above_low(alert.score)).count();
        Self {
            from,
            to,
            days,
            alerts: alerts.len(),
            alerts_per_day: alerts.len() as f64 / days,
            above_low_per_day: above_low as f64 / days,
            by_kind,
            by_detector,
            noisiest: noisiest(&alerts),
            proposals: proposals(&alerts, from, to),
        }
    }
}

fn noisiest(alerts: &[&FoundAlert]) -> Vec<Noisy> {
    let mut by_subject = BTreeMap::<(SubjectType, &str), BTreeMap<Kind, usize>>::new();
    for alert in alerts {
        let kinds = by_subject.entry((alert.mark.subject_type, &alert.mark.subject)).or_default();
        *kinds.entry(alert.kind).or_default() += 1;
    }
    let mut noisy: Vec<_> = by_subject
        .into_iter()
        .map(|((subject_type, subject), kinds)| Noisy {
            subject: subject.to_owned(),
            subject_type,
            alerts: kinds.values().sum(),
            kinds,
        })
        .collect();
    noisy.sort_by(|a, b| b.alerts.cmp(&a.alerts).then_with(|| a.subject.cmp(&b.subject)));
    noisy.truncate(NOISIEST);
    noisy
}

/// Kinds and subjects with alerts on more than half of the days.
fn proposals(alerts: &[&FoundAlert], from: Timestamp, to: Timestamp) -> Vec<Proposal> {
    let mut by_scope = BTreeMap::<(Kind, SubjectType, &str), Vec<&FoundAlert>>::new();
    for alert in alerts {
        let scope = (alert.kind, alert.mark.subject_type, alert.mark.subject.as_str());
        by_scope.entry(scope).or_default().push(alert);
    }
    let number = |time: Timestamp| time.seconds().div_euclid(i64::from(DAY));
    let all_days = number(to.plus_nanos(-1)) - number(from) + 1;
    let all_days = usize::try_from(all_days).unwrap_or(usize::MAX);
    let least = (all_days / 2 + 1).max(LEAST_DAYS);
    let mut proposals = Vec::new();
    for ((kind, subject_type, subject), alerts) in by_scope {
        let days: BTreeSet<_> = alerts.iter().map(|alert| number(alert.mark.start)).collect();
        let scores = alerts.iter().map(|alert| alert.score.value());
        let score = Score::clamped(scores.fold(0.0, f64::max));
        let has_scope = matches!(
            subject_type,
            SubjectType::Source | SubjectType::Destination | SubjectType::Pair
        );
        let is_harmless = score.severity() < Severity::High;
        let line = alerts.first().map(|alert| alert.exception.clone());
        if days.len() >= least {
            proposals.push(Proposal {
                kind,
                subject: subject.to_owned(),
                alerts: alerts.len(),
                days: days.len(),
                score,
                severity: score.severity(),
                line: line.filter(|line| has_scope && is_harmless && !line.is_empty()),
            });
        }
    }
    proposals.sort_by(|a, b| b.alerts.cmp(&a.alerts).then_with(|| a.subject.cmp(&b.subject)));
    proposals
}
