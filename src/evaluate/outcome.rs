//! What was to be found against what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::attack::{Attack, Deed};
use super::found::{Found, FoundAlert, FoundAnomaly, is_above_low};
use super::windows::{Least, WindowScores, score_windows};
use crate::model::{Kind, Score, Severity, Timestamp};

/// What came of one attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackOutcome {
    /// Its name.
    pub name: String,
    /// Start of its first deed.
    pub begins: Timestamp,
    /// How many deeds it has: labelled flows, or 1.
    pub deeds: usize,
    /// Whether it must be found.
    pub is_required: bool,
    /// Whether an anomaly of a fitting kind is all that is asked.
    pub is_line: bool,
    /// Whether there is one.
    pub is_noticed: bool,
    /// Kinds of the alerts that name it rightly.
    pub found_by: BTreeSet<Kind>,
    /// Kinds of other alerts about its hosts in its time.
    pub also: BTreeSet<Kind>,
    /// Kinds of all anomalies about its hosts in its time, also of those too low for an alert.
    pub noticed_by: BTreeSet<Kind>,
    /// Seconds from the first deed to the end of the window of the first anomaly of a fitting kind.
    pub latency_seconds: Option<f64>,
    /// Hosts that attack, and those of them that an alert names.
    pub sources: usize,
    /// See `sources`.
    pub sources_named: usize,
}

impl AttackOutcome {
    /// Whether an alert of a fitting kind names it.
    pub fn is_found(&self) -> bool {
        !self.found_by.is_empty()
    }
}

/// Attacks of one name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NameOutcome {
    /// How many there are.
    pub hidden: usize,
    /// How many were found.
    pub found: usize,
    /// How many have an anomaly of a fitting kind, alert or not.
    pub noticed: usize,
    /// Whether that is all that is asked.
    pub is_line: bool,
    /// Median of the latencies of those found.
    pub median_latency_seconds: Option<f64>,
}

/// What alerts of one kind did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindOutcome {
    /// Detectors that say so.
    pub detectors: Vec<String>,
    /// Attacks that it would name rightly.
    pub attacks: usize,
    /// Those of them that it named.
    pub found: usize,
    /// Those of them that have an anomaly of it, alert or not.
    pub noticed: usize,
    /// Its alerts.
    pub alerts: usize,
    /// Its alerts outside of attacks.
    pub outside: usize,
    /// Those of them above low.
    pub outside_above_low: usize,
    /// Median latency of what it found, in seconds.
    pub median_latency_seconds: Option<f64>,
}

/// An alert outside of all attacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutsideAlert {
    /// Start of its first window.
    pub first: Timestamp,
    /// End of its last one.
    pub last: Timestamp,
    /// What.
    pub kind: Kind,
    /// Who.
    pub subject: String,
    /// Score of the worst window.
    pub score: Score,
    /// The word for it.
    pub severity: Severity,
}

/// What was to be found against what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Each attack.
    pub attacks: Vec<AttackOutcome>,
    /// Attacks by name.
    pub by_name: BTreeMap<String, NameOutcome>,
    /// Alerts by kind.
    pub by_kind: BTreeMap<Kind, KindOutcome>,
    /// By (subject, window), where single flows are labelled.
    pub windows: Vec<WindowScores>,
    /// All alerts.
    pub alerts: usize,
    /// All anomalies.
    pub anomalies: usize,
    /// Anomalies above low.
    pub anomalies_above_low: usize,
    /// Alerts outside of attacks and background.
    pub outside: Vec<OutsideAlert>,
    /// Alerts that concern background flows and no attack.
    pub background_alerts: usize,
}

impl Evaluation {
    /// Compares. An attack is found when an alert of a fitting kind names one of its hosts within its
    /// time; an alert of any kind that does so is not outside. With `has_flows` the deeds are single
    /// flows, and windows are compared too.
    pub fn of(attacks: &[Attack], background: &[Deed], found: &Found, has_flows: bool) -> Self {
        let alerts = found.alerts();
        let outcomes: Vec<_> =
            attacks.iter().map(|attack| attack_outcome(attack, &alerts, found)).collect();
        let mut outside = Vec::new();
        let mut background_alerts = 0;
        for alert in &alerts {
            let concerns = |deed: &Deed| alert.mark.concerns(deed);
            if attacks.iter().flat_map(|attack| &attack.deeds).any(concerns) {
                continue;
            }
            match background.iter().any(concerns) {
                true => background_alerts += 1,
                false => outside.push(outside_alert(alert)),
            }
        }
        let lengths: &[(u32, Least)] = match has_flows {
            true => {
                &[(60, Least::Low), (60, Least::Medium), (300, Least::Low), (300, Least::Medium)]
            }
            false => &[],
        };
        let windows = lengths.iter().map(|&how| score_windows(attacks, background, found, how));
        Self {
            by_name: by_name(&outcomes),
            by_kind: by_kind(attacks, &alerts, found, &outside),
            windows: windows.collect(),
            alerts: alerts.len(),
            anomalies: found.anomalies.len(),
            anomalies_above_low: found
                .anomalies
                .iter()
                .filter(|anomaly| is_above_low(anomaly.score))
                .count(),
            attacks: outcomes,
            outside,
            background_alerts,
        }
    }

    /// How many attacks there are.
    pub fn hidden(&self) -> usize {
        self.attacks.len()
    }

    /// How many were found.
    pub fn found(&self) -> usize {
        self.attacks.iter().filter(|attack| attack.is_found()).count()
    }
}

fn attack_outcome(attack: &Attack, alerts: &[&FoundAlert], found: &Found) -> AttackOutcome {
    let (mut found_by, mut also) = (BTreeSet::new(), BTreeSet::new());
    let sources: BTreeSet<&IpAddr> = attack.deeds.iter().flat_map(|deed| &deed.sources).collect();
    let mut named = BTreeSet::<&IpAddr>::new();
    for alert in alerts {
        if !attack.deeds.iter().any(|deed| alert.mark.concerns(deed)) {
            continue;
        }
        let kinds = if attack.fits(alert.kind) { &mut found_by } else { &mut also };
        kinds.insert(alert.kind);
        named.extend(alert.mark.hosts.iter().filter(|ip| sources.contains(ip)));
    }
    let noticed_by = noticed_by(attack, found);
    let is_noticed = noticed_by.iter().any(|&kind| attack.fits(kind));
    // Without an alert, and where one is asked, nobody would have read it.
    let latency_seconds = match found_by.is_empty() && !attack.is_line {
        true => None,
        false => latency(attack, found, |kind| attack.fits(kind)),
    };
    AttackOutcome {
        name: attack.name.clone(),
        begins: attack.begins(),
        deeds: attack.deeds.len(),
        is_required: attack.is_required,
        is_line: attack.is_line,
        is_noticed,
        found_by,
        also,
        noticed_by,
        latency_seconds,
        sources: sources.len(),
        sources_named: named.len(),
    }
}

fn noticed_by(attack: &Attack, found: &Found) -> BTreeSet<Kind> {
    let concerns =
        |anomaly: &&FoundAnomaly| attack.deeds.iter().any(|deed| anomaly.mark.concerns(deed));
    let anomalies = found.anomalies.iter().filter(concerns);
    anomalies.flat_map(|anomaly| &anomaly.verdicts).map(|(_, kind, _)| *kind).collect()
}

/// Seconds from the first deed to the end of the first window with an anomaly of these kinds. A
/// window that ended before it began has nothing of it.
fn latency(attack: &Attack, found: &Found, fits: impl Fn(Kind) -> bool) -> Option<f64> {
    let begins = attack.begins();
    let concerns = |anomaly: &&FoundAnomaly| {
        anomaly.mark.end > begins
            && anomaly.verdicts.iter().any(|(_, kind, _)| fits(*kind))
            && attack.deeds.iter().any(|deed| anomaly.mark.concerns(deed))
    };
    let first = found.anomalies.iter().filter(concerns).map(|anomaly| anomaly.mark.end).min()?;
    Some(first.seconds_since(begins))
}

fn outside_alert(alert: &FoundAlert) -> OutsideAlert {
    OutsideAlert {
        first: alert.mark.start,
        last: alert.mark.end,
        kind: alert.kind,
        subject: alert.mark.subject.clone(),
        score: alert.score,
        severity: alert.score.severity(),
    }
}

fn by_name(attacks: &[AttackOutcome]) -> BTreeMap<String, NameOutcome> {
    let mut by_name = BTreeMap::<String, NameOutcome>::new();
    let mut latencies = BTreeMap::<&str, Vec<f64>>::new();
    for attack in attacks {
        let outcome = by_name.entry(attack.name.clone()).or_default();
        outcome.hidden += 1;
        outcome.found += usize::from(attack.is_found());
        outcome.noticed += usize::from(attack.is_noticed);
        outcome.is_line = attack.is_line;
        latencies.entry(&attack.name).or_default().extend(attack.latency_seconds);
    }
    for (name, outcome) in &mut by_name {
        outcome.median_latency_seconds = latencies.remove(name.as_str()).and_then(median);
    }
    by_name
}

fn by_kind(
    attacks: &[Attack],
    alerts: &[&FoundAlert],
    found: &Found,
    outside: &[OutsideAlert],
) -> BTreeMap<Kind, KindOutcome> {
    let mut by_kind = BTreeMap::<Kind, KindOutcome>::new();
    for alert in alerts {
        by_kind.entry(alert.kind).or_default().alerts += 1;
    }
    for alert in outside {
        let outcome = by_kind.entry(alert.kind).or_default();
        outcome.outside += 1;
        outcome.outside_above_low += usize::from(alert.severity > Severity::Low);
    }
    // A kind that found nothing is worth a row where it is the only one that fits.
    let named = attacks.iter().filter(|attack| attack.fitting.len() == 1);
    for kind in named.flat_map(|attack| &attack.fitting) {
        by_kind.entry(*kind).or_default();
    }
    let detectors = found.detectors();
    for (kind, outcome) in &mut by_kind {
        outcome.detectors = detectors.get(kind).cloned().unwrap_or_default();
        let fitting = |attack: &&Attack| attack.fitting.contains(kind);
        let mut latencies = Vec::new();
        for attack in attacks.iter().filter(fitting) {
            outcome.attacks += 1;
            let names = |alert: &&&FoundAlert| {
                alert.kind == *kind && attack.deeds.iter().any(|deed| alert.mark.concerns(deed))
            };
            let is_found = alerts.iter().any(|alert| names(&alert));
            outcome.found += usize::from(is_found);
            let first = latency(attack, found, |other| other == *kind);
            outcome.noticed += usize::from(first.is_some());
            latencies.extend(first.filter(|_| is_found || attack.is_line));
        }
        outcome.median_latency_seconds = median(latencies);
    }
    by_kind
}

/// The middle one; the mean of the two middle ones of an even number.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
