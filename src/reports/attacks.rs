//! Section: what kinds of attack and anomaly there were, how bad, and when.

use serde::Serialize;

use super::collect::{STEP, Source};
use super::verdict::plural;
use super::{Day, Figure, Picture, ReportData, ReportError};
use crate::charts::{Bar, Bars, Columns, Series, Unit, palette};
use crate::model::{Kind, Severity, Timestamp};
use crate::stores::{Aggregation, Family, SearchRequest};

/// Kinds, severities and hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Attacks {
    /// Alerts that were active on the day, without suppressed ones.
    pub alerts: Figure,
    /// Anomalies of the day.
    pub anomalies: Figure,
    /// Alerts that an exception hides.
    pub suppressed: u64,
    /// The kinds that occurred, in the order of the closed table.
    pub kinds: Vec<KindCount>,
    /// How many other kinds were looked for.
    pub kinds_not_seen: usize,
    /// Critical, high, medium, low, zeros included.
    pub severities: Vec<SeverityCount>,
    /// Every hour of the day, zeros included.
    pub hours: Vec<HourAnomalies>,
}

/// How often a kind occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// The word in documents.
    pub kind: Kind,
    /// The words for people.
    pub title: String,
    /// Alerts of this kind.
    pub alerts: u64,
    /// Anomalies that show this kind, alone or with others.
    pub anomalies: u64,
}

/// How often a severity occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeverityCount {
    /// The word.
    pub severity: Severity,
    /// Alerts of this severity.
    pub alerts: u64,
    /// Anomalies of this severity.
    pub anomalies: u64,
}

/// Anomalies of one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HourAnomalies {
    /// Hour of the local clock.
    pub label: String,
    /// First moment.
    pub start: Timestamp,
    /// Of severity low.
    pub low: u64,
    /// Of severity medium.
    pub medium: u64,
    /// Of severity high.
    pub high: u64,
    /// Of severity critical.
    pub critical: u64,
}

/// Worst first, as people read them.
const SEVERITIES: [Severity; 4] =
    [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];

pub(super) fn collect(source: &Source<'_>) -> Result<Attacks, ReportError> {
    let day = source.scope.day;
    let by_hour = Aggregation::over_time(STEP)
        .with("grades", Aggregation::terms("flowsentry.anomaly.grade", SEVERITIES.len()));
    let kinds = Aggregation::terms("flowsentry.anomaly.kinds", Kind::ALL.len());
    let request = anomalies(source, day).aggregate("steps", by_hour).aggregate("kinds", kinds);
    let response = source.search(&request)?;

    let count_kind = |kind: Kind| {
        let mut buckets = response.buckets("kinds").iter();
        buckets.find(|b| b.key.as_text() == Some(kind.name())).map_or(0, |b| b.doc_count)
    };
    let kinds = Kind::ALL.iter().map(|&kind| {
        let alerts = source.alerts.iter().filter(|alert| alert.kind == Some(kind)).count() as u64;
        KindCount { kind, title: kind.title().to_owned(), alerts, anomalies: count_kind(kind) }
    });
    let kinds: Vec<_> = kinds.filter(|kind| kind.alerts + kind.anomalies > 0).collect();
    let mut hours = empty_hours(day);
    for step in response.buckets("steps") {
        let time = Timestamp::from_millis(step.key.as_integer().unwrap_or_default());
        if let Some(hour) = day.hour_of(time).and_then(|index| hours.get_mut(index)) {
            for grade in step.buckets("grades") {
                hour.add(grade.key.as_text().unwrap_or_default(), grade.doc_count);
            }
        }
    }
    Ok(Attacks {
        alerts: Figure::new(source.alerts.len() as u64, previous_alerts(source)?),
        anomalies: Figure::new(response.total, previous_anomalies(source)?),
        suppressed: source.suppressed,
        kinds_not_seen: Kind::ALL.len() - kinds.len(),
        kinds,
        severities: SEVERITIES.map(|severity| count_severity(source, &hours, severity)).to_vec(),
        hours,
    })
}

fn anomalies(source: &Source<'_>, day: Day) -> SearchRequest {
    source.request(Family::Anomalies).between(day.from(), day.to()).size(0)
}

fn previous_anomalies(source: &Source<'_>) -> Result<Option<u64>, ReportError> {
    let request = anomalies(source, source.scope.day.earlier(1));
    let total = source.search(&request)?.total;
    Ok(source.has_previous.then_some(total))
}

fn previous_alerts(source: &Source<'_>) -> Result<Option<u64>, ReportError> {
    let request = source.active_alerts(source.scope.day.earlier(1), false).size(0);
    let total = source.search(&request)?.total;
    Ok(source.has_previous.then_some(total))
}

fn count_severity(
    source: &Source<'_>,
    hours: &[HourAnomalies],
    severity: Severity,
) -> SeverityCount {
    let alerts = source.alerts.iter().filter(|alert| alert.severity() == severity).count() as u64;
    let anomalies = hours.iter().map(|hour| hour.of(severity)).sum();
    SeverityCount { severity, alerts, anomalies }
}

fn empty_hours(day: Day) -> Vec<HourAnomalies> {
    let hours = day.hours().into_iter();
    let empty = hours.map(|hour| HourAnomalies {
        label: hour.label,
        start: hour.start,
        low: 0,
        medium: 0,
        high: 0,
        critical: 0,
    });
    empty.collect()
}

impl HourAnomalies {
    /// Anomalies of this hour with this severity.
    pub fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Low => self.low,
            Severity::Medium => self.medium,
            Severity::High => self.high,
            Severity::Critical => self.critical,
        }
    }

    fn add(&mut self, grade: &str, count: u64) {
        match grade {
            "critical" => self.critical += count,
            "high" => self.high += count,
            "medium" => self.medium += count,
            _ => self.low += count,
        }
    }
}

pub(super) fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => palette::LOW,
        Severity::Medium => palette::MEDIUM,
        Severity::High => palette::HIGH,
        Severity::Critical => palette::CRITICAL,
    }
}

const NO_ANOMALIES: &str = "No anomalies on this day";

pub(super) fn pictures(report: &ReportData) -> Vec<Picture> {
    vec![hours_picture(&report.attacks), kinds_picture(&report.attacks)]
}

fn hours_picture(attacks: &Attacks) -> Picture {
    let series = SEVERITIES.iter().rev().map(|&severity| Series {
        name: severity.name().to_owned(),
        values: attacks.hours.iter().map(|hour| hour.of(severity) as f64).collect(),
        color: color(severity),
    });
    let chart = Columns {
        title: "Anomalies per hour".to_owned(),
        labels: attacks.hours.iter().map(|hour| hour.label.clone()).collect(),
        series: series.collect(),
        unit: Unit::Count,
        when_empty: NO_ANOMALIES.to_owned(),
    };
    let counts = attacks.severities.iter().map(|s| format!("{} {}", s.anomalies, s.severity));
    let alt = format!("Anomalies per hour: {}", counts.collect::<Vec<_>>().join(", "));
    Picture { id: "anomalies_per_hour", alt, svg: chart.svg() }
}

fn kinds_picture(attacks: &Attacks) -> Picture {
    let rows = attacks.kinds.iter().map(|kind| Bar {
        label: kind.title.clone(),
        value: kind.anomalies as f64,
        note: if kind.alerts == 0 { String::new() } else { plural(kind.alerts, "alert") },
        color: palette::BLUE,
    });
    let chart = Bars {
        title: "Anomalies by kind".to_owned(),
        rows: rows.collect(),
        unit: Unit::Count,
        when_empty: NO_ANOMALIES.to_owned(),
    };
    let seen: Vec<_> =
        attacks.kinds.iter().map(|kind| format!("{} {}", kind.title, kind.anomalies)).collect();
    let seen = if seen.is_empty() { NO_ANOMALIES.to_owned() } else { seen.join(", ") };
    Picture { id: "kinds", alt: format!("Anomalies by kind: {seen}"), svg: chart.svg() }
}
