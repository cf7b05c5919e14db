//! The devices that export: who fell silent, and what they sent that never came.

use std::net::IpAddr;

use super::baseline::median;
use super::history::{HOUR_SECONDS, History, by_hour, feature};
use super::pipeline::Scope;
use super::report::{HealthFinding, HealthStatus};
use crate::model::{SubjectType, Timestamp};
use crate::stores::{Aggregation, Bucket, Family, Filter, SearchRequest, SourceFields, StoreError};

/// How many exporters are compared; far more than one site has.
const MOST_EXPORTERS: usize = 1_000;
/// How many exporters a sentence names.
const NAMED_EXPORTERS: usize = 5;
/// An exporter that sent in fewer hours was perhaps never meant to go on.
const FEWEST_EXPORTER_HOURS: usize = 2;
/// Fewer lost records or datagrams in an hour are not worth a look, whatever their share.
const FEWEST: f64 = 10.0;
/// So many hours tell what share of datagrams is usually without flows.
const FEWEST_SHARES: usize = 3;
/// What is summed per exporter and hour.
const SUMS: [&str; 6] = [
    "flows",
    "unknown_sampling",
    "expected_records",
    "lost_records",
    "expected_datagrams",
    "lost_datagrams",
];

/// One exporter over the checked hour and the 24 hours before it.
pub(super) struct Exporter {
    pub ip: IpAddr,
    /// The hours before the checked one in which it sent, oldest first.
    earlier: Vec<Timestamp>,
    sends_now: bool,
    /// In the checked hour.
    pub flows: f64,
    pub unknown_sampling: f64,
    records: Missing,
    datagrams: Missing,
    /// The shares of datagrams that were missing in the hours before.
    earlier_shares: Vec<f64>,
}

/// What an exporter sent in an hour, and how much of it is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    expected: f64,
    lost: f64,
}

impl Missing {
    fn read(bucket: &Bucket, expected: &str, lost: &str) -> Self {
        let value = |name| bucket.value(name).unwrap_or(0.0);
        Self { expected: value(expected), lost: value(lost) }
    }

    fn share(self) -> f64 {
        if self.expected > 0.0 { self.lost / self.expected } else { 0.0 }
    }
}

impl Exporter {
    pub(super) fn read(scope: &Scope<'_>) -> Result<Vec<Self>, StoreError> {
        let exporter = SubjectType::Exporter.name();
        let hours = SUMS
            .iter()
            .fold(by_hour(), |hours, name| hours.with(*name, Aggregation::sum(feature(name))));
        let from = scope.hour.plus_seconds(-24 * HOUR_SECONDS);
        let request = SearchRequest::new(Family::Windows, scope.namespace.clone())
            .between(from, scope.hour.plus_seconds(HOUR_SECONDS))
            .filter(Filter::term("flowsentry.window.subject.type", exporter))
            .source(SourceFields::None)
            .size(0)
            .aggregate(
                "exporters",
                Aggregation::terms("observer.ip", MOST_EXPORTERS).with("hours", hours),
            );
        let response = scope.store.search(&request)?;
        let read = |bucket: &Bucket| Self::of(bucket, scope.hour);
        let mut exporters: Vec<_> = response.buckets("exporters").iter().filter_map(read).collect();
        exporters.sort_by_key(|exporter| exporter.ip);
        Ok(exporters)
    }

    fn of(bucket: &Bucket, hour: Timestamp) -> Option<Self> {
        let mut exporter = Self {
            ip: bucket.key.as_ip()?,
            earlier: Vec::new(),
            sends_now: false,
            flows: 0.0,
            unknown_sampling: 0.0,
            records: Missing::default(),
            datagrams: Missing::default(),
            earlier_shares: Vec::new(),
        };
        for bucket in bucket.buckets("hours") {
            let start = Timestamp::from_millis(bucket.key.as_integer()?);
            let datagrams = Missing::read(bucket, "expected_datagrams", "lost_datagrams");
            if start == hour {
                exporter.records = Missing::read(bucket, "expected_records", "lost_records");
                exporter.datagrams = datagrams;
                exporter.sends_now = true;
                exporter.flows = bucket.value("flows").unwrap_or(0.0);
                exporter.unknown_sampling = bucket.value("unknown_sampling").unwrap_or(0.0);
            } else {
                exporter.earlier.push(start);
                if datagrams.expected > 0.0 {
                    exporter.earlier_shares.push(datagrams.share());
                }
            }
        }
        Some(exporter)
    }

    /// Whether it sent in at least half of the hours with flows between its first and its last: one
    /// that speaks now and then may well be silent for an hour.
    fn was_regular(&self, history: &History) -> bool {
        let (Some(&first), Some(&last)) = (self.earlier.first(), self.earlier.last()) else {
            return false;
        };
        let between = history.earlier.iter().filter(|hour| (first..=last).contains(&hour.start));
        self.earlier.len() >= FEWEST_EXPORTER_HOURS && 2 * self.earlier.len() >= between.count()
    }

    /// The share of datagrams that is usually missing: those without flows, as far as is known.
    fn usual_share(&self) -> f64 {
        if self.earlier_shares.len() < FEWEST_SHARES {
            return 0.0;
        }
        median(&mut self.earlier_shares.clone()).unwrap_or(0.0)
    }

    /// What it lost beyond `limit` in the checked hour, in words.
    fn loss(&self, limit: f64) -> Option<String> {
        let usual = self.usual_share();
        let is_loss = |missing: Missing, limit| missing.share() > limit && missing.lost >= FEWEST;
        let parts: Vec<String> = [
            (self.records, "records", is_loss(self.records, limit)),
            (self.datagrams, "datagrams", is_loss(self.datagrams, limit + usual)),
        ]
        .into_iter()
        .filter(|(_, _, is_loss)| *is_loss)
        .map(|(missing, unit, _)| {
            let Missing { expected, lost } = missing;
            format!("{:.1} %, {lost} of {expected} {unit}", 100.0 * missing.share())
        })
        .collect();
        (!parts.is_empty()).then(|| format!("{} ({})", self.ip, parts.join("; ")))
    }

    fn silent_since(&self) -> Option<Timestamp> {
        self.earlier.last().map(|hour| hour.plus_seconds(HOUR_SECONDS))
    }
}

pub(super) fn silent_exporters(history: &History, exporters: &[Exporter]) -> HealthFinding {
    const TITLE: &str = "Exporters";
    if history.checked.is_none() {
        let cause = "No flows were indexed in this hour, from no exporter.";
        return HealthFinding::new("exporters", TITLE, HealthStatus::Unknown, cause);
    }
    if exporters.is_empty() {
        let cause = "The flows of the last 24 hours name no exporter.";
        return HealthFinding::new("exporters", TITLE, HealthStatus::Unknown, cause);
    }
    let sending = exporters.iter().filter(|exporter| exporter.sends_now).count();
    let silent: Vec<&Exporter> = exporters
        .iter()
        .filter(|exporter| !exporter.sends_now && exporter.was_regular(history))
        .collect();
    let known = (sending + silent.len()) as f64;
    let finding = |status, cause| {
        HealthFinding::new("exporters", TITLE, status, cause).figures(
            sending as f64,
            Some(known),
            None,
        )
    };
    if silent.is_empty() {
        return finding(HealthStatus::Ok, format!("{sending} exporters sent flows."));
    }
    let names = |exporter: &&Exporter| match exporter.silent_since() {
        Some(since) => format!("{} (since {})", exporter.ip, minute(since)),
        None => exporter.ip.to_string(),
    };
    let cause = format!(
        "{} of {known} exporters fell silent: {}.",
        silent.len(),
        list(silent.iter().map(names).collect())
    );
    let remedy = "Check the device, its export settings and the path to the collector; after a day \
                  of silence it is no longer named.";
    let since = silent.iter().filter_map(|exporter| exporter.silent_since()).min();
    finding(HealthStatus::Warn, cause).remedy(remedy).since(since)
}

/// What exporters sent by their own count and never came. `None` when no export of the hour was
/// numbered in a way that is understood.
pub(super) fn export_loss(scope: &Scope<'_>, exporters: &[Exporter]) -> Option<HealthFinding> {
    const TITLE: &str = "Lost exports";
    let limit = scope.settings.export_loss_share;
    let share = |exporter: &Exporter| exporter.records.share().max(exporter.datagrams.share());
    let numbered = exporters
        .iter()
        .filter(|exporter| exporter.records.expected + exporter.datagrams.expected > 0.0);
    let worst = numbered.clone().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let count = numbered.clone().count();
    let finding = |status, cause| {
        HealthFinding::new("export_loss", TITLE, status, cause).figures(
            share(worst),
            None,
            Some(limit),
        )
    };
    let losing: Vec<String> = numbered.filter_map(|exporter| exporter.loss(limit)).collect();
    if losing.is_empty() {
        let (most, ip) = (100.0 * share(worst), worst.ip);
        let cause = format!("By their own count, exporters miss at most {most:.1} % ({ip}).");
        return Some(finding(HealthStatus::Ok, cause));
    }
    let cause =
        format!("{} of {count} exporters sent more than came: {}.", losing.len(), list(losing));
    let remedy = "Look for dropped UDP packets at the collector (`netstat -su`), enlarge its \
                  receive buffer, and check the path to it and its way into Kafka; datagrams of \
                  NetFlow 9 and sFlow that hold no flows (templates, counters) count as missing \
                  until their share is known from the hours before.";
    Some(finding(HealthStatus::Warn, cause).remedy(remedy).since(Some(scope.hour)))
}

/// The first few names, and how many more there are.
pub(super) fn list(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED_EXPORTERS);
    names.truncate(NAMED_EXPORTERS);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

pub(super) fn minute(time: Timestamp) -> String {
    time.to_utc().format("%Y-%m-%d %H:%M UTC").to_string()
}
