//! Whether the flows of the hour can be trusted: were they all there, and were they sound?

use super::baseline::median;
use super::exporters::{Exporter, export_loss, list, silent_exporters};
use super::history::{HOUR_SECONDS, History, Hour, network_windows};
use super::report::{HealthFinding, HealthStatus};
use super::settings::HealthSettings;
use crate::model::Timestamp;
use crate::stores::{Aggregation, Namespace, SearchRequest, Sort, SortValue, Store, StoreError};

/// Windows are missing when there are fewer than this share of the usual number.
const FEW_WINDOWS: f64 = 0.9;
pub(super) const MINUTE_SECONDS: f64 = 60.0;

/// What is being checked.
pub(super) struct Scope<'a> {
    pub store: &'a dyn Store,
    pub namespace: &'a Namespace,
    pub settings: &'a HealthSettings,
    pub hour: Timestamp,
    pub at: Timestamp,
}

/// Returns what all checks of the pipeline found.
///
/// # Errors
/// When the store does not answer.
pub(super) fn findings(
    scope: &Scope<'_>,
    history: &History,
) -> Result<Vec<HealthFinding>, StoreError> {
    let exporters = Exporter::read(scope)?;
    let mut findings = vec![ingest(scope, history)?, freshness(scope)?];
    findings.extend(super::workers::findings(scope)?);
    findings.extend(super::feeds::findings(scope)?);
    findings.extend(super::models::findings(scope)?);
    findings.extend([
        silent_exporters(history, &exporters),
        sampling(scope, history, &exporters),
        clock_skew(scope, history),
        truncation(history),
    ]);
    findings.extend(export_loss(scope, &exporters));
    Ok(findings)
}

// Ingest: windows of the hour.

fn ingest(scope: &Scope<'_>, history: &History) -> Result<HealthFinding, StoreError> {
    const TITLE: &str = "Flows of the hour";
    let Some(checked) = &history.checked else {
        let since = history.earlier.last().map(Hour::end);
        let cause = match since {
            Some(_) => "No flows were indexed in this hour.",
            None => "No flows were indexed in this hour, nor in any hour before that is kept.",
        };
        let remedy = "Check the exporters, goflow2, the Kafka topic and the flowsentry worker, in \
                      the order in which flows pass them.";
        return Ok(HealthFinding::new("ingest", TITLE, HealthStatus::Warn, cause)
            .remedy(remedy)
            .since(since)
            .figures(0.0, usual_windows(history), None));
    };
    let usual = usual_windows(history);
    let hole = longest_hole(scope)?;
    let minutes = hole.seconds / MINUTE_SECONDS;
    let is_long = minutes >= f64::from(scope.settings.gap_minutes);
    let is_missing = usual.is_some_and(|usual| (checked.windows as f64) < FEW_WINDOWS * usual);
    let cause = format!(
        "{} flows in {} windows; the longest hole is {minutes:.0} minutes.",
        checked.flows, checked.windows
    );
    let finding = |status| {
        HealthFinding::new("ingest", TITLE, status, cause).figures(
            checked.windows as f64,
            usual,
            None,
        )
    };
    if !(is_long && is_missing) {
        return Ok(finding(HealthStatus::Ok));
    }
    let remedy = "Check whether the exporters or the worker were stopped; flows that are still in \
                  Kafka are read when it runs again.";
    Ok(finding(HealthStatus::Warn).remedy(remedy).since(Some(hole.start)))
}

/// The median number of windows of the last day's hours.
fn usual_windows(history: &History) -> Option<f64> {
    let last_day = history.earlier.iter().rev().take(24);
    median(&mut last_day.map(|hour| hour.windows as f64).collect::<Vec<_>>())
}

struct Hole {
    start: Timestamp,
    seconds: f64,
}

/// The longest stretch of the checked hour that no window covers.
fn longest_hole(scope: &Scope<'_>) -> Result<Hole, StoreError> {
    let end = scope.hour.plus_seconds(HOUR_SECONDS);
    let request = network_windows(scope.namespace)
        .between(scope.hour, end)
        .sort(Sort::ascending("@timestamp"))
        .size(SearchRequest::MAX_HITS)
        .aggregate("seconds", Aggregation::max("flowsentry.window.seconds"));
    let response = scope.store.search(&request)?;
    let length = response.value("seconds").unwrap_or(0.0).clamp(0.0, HOUR_SECONDS as f64) as i64;
    let mut longest = Hole { start: scope.hour, seconds: 0.0 };
    let mut covered = scope.hour;
    let starts = response.hits.iter().filter_map(|hit| match hit.sort.first() {
        Some(SortValue::Integer(millis)) => Some(Timestamp::from_millis(*millis)),
        _ => None,
    });
    for start in starts.chain([end]) {
        let seconds = start.seconds_since(covered);
        if seconds > longest.seconds {
            longest = Hole { start: covered, seconds };
        }
        covered = covered.max(start.plus_seconds(length));
    }
    Ok(longest)
}

// Freshness: the newest window.

fn freshness(scope: &Scope<'_>) -> Result<HealthFinding, StoreError> {
    const TITLE: &str = "Newest window";
    let days = i64::from(scope.settings.baseline_days);
    let from = scope.at.plus_seconds(-days * 24 * HOUR_SECONDS);
    let request = network_windows(scope.namespace)
        .between(from, scope.at)
        .aggregate("end", Aggregation::max("flowsentry.window.end"));
    let newest = scope.store.search(&request)?.value("end");
    let Some(newest) = newest.map(|millis| Timestamp::from_millis(millis as i64)) else {
        let cause = "There is no window yet.";
        return Ok(HealthFinding::new("freshness", TITLE, HealthStatus::Unknown, cause)
            .remedy("Start `flowsentry run`, or look at its log when it runs."));
    };
    let minutes = (scope.at.seconds_since(newest) / MINUTE_SECONDS).max(0.0);
    let limit = f64::from(scope.settings.late_minutes);
    let cause = format!("The newest window ended {} before the check.", duration(minutes));
    let finding = |status| {
        HealthFinding::new("freshness", TITLE, status, cause).figures(minutes, None, Some(limit))
    };
    if minutes <= limit {
        return Ok(finding(HealthStatus::Ok));
    }
    let remedy = "Check whether flows still arrive and whether the worker keeps up with Kafka; an \
                  hour that is judged before its flows are there is judged on a part of them.";
    Ok(finding(HealthStatus::Warn).remedy(remedy).since(Some(newest)))
}

pub(super) fn duration(minutes: f64) -> String {
    match minutes {
        minutes if minutes < 120.0 => format!("{minutes:.0} minutes"),
        minutes if minutes < 48.0 * 60.0 => format!("{:.0} hours", minutes / 60.0),
        minutes => format!("{:.0} days", minutes / 60.0 / 24.0),
    }
}

// Soundness of the flows.

fn sampling(scope: &Scope<'_>, history: &History, exporters: &[Exporter]) -> HealthFinding {
    let limit = scope.settings.unknown_sampling_share;
    let finding = share_finding(
        Share { id: "sampling", title: "Sampling rates", of: |hour| hour.unknown_sampling, limit },
        history,
        "flows came without a sampling rate and count as not sampled",
    );
    if finding.status < HealthStatus::Warn {
        return finding;
    }
    let without: Vec<String> = exporters
        .iter()
        .filter(|exporter| exporter.unknown_sampling > limit * exporter.flows)
        .map(|exporter| exporter.ip.to_string())
        .collect();
    let by = if without.is_empty() { String::new() } else { format!(" ({})", list(without)) };
    finding.remedy(format!(
        "Let the exporter send its sampling rate{by}, for NetFlow and IPFIX by options records; \
         otherwise bytes and packets are too small by that rate."
    ))
}

fn clock_skew(scope: &Scope<'_>, history: &History) -> HealthFinding {
    let limit = scope.settings.clock_skew_share;
    let finding = share_finding(
        Share { id: "clock_skew", title: "Exporter clocks", of: |hour| hour.clock_skew, limit },
        history,
        "flows had a wrong time, that of their arrival was taken",
    );
    if finding.status < HealthStatus::Warn {
        return finding;
    }
    finding.remedy(
        "Set the clocks of the exporters by NTP, in UTC; look for `clock_skew` in the defects of \
         raw flows to find the device.",
    )
}

/// A share of the flows that should be small.
struct Share {
    id: &'static str,
    title: &'static str,
    of: fn(&Hour) -> f64,
    limit: f64,
}

fn share_finding(share: Share, history: &History, what: &str) -> HealthFinding {
    let Share { id, title, of, limit } = share;
    let checked = history.checked.as_ref().filter(|hour| hour.flows > 0.0);
    let Some(checked) = checked else {
        return HealthFinding::new(id, title, HealthStatus::Unknown, "There were no flows.");
    };
    let value = of(checked) / checked.flows;
    let is_abnormal = |hour: &Hour| of(hour) > limit * hour.flows;
    let since = history.since(is_abnormal);
    let status = if since.is_some() { HealthStatus::Warn } else { HealthStatus::Ok };
    let cause = format!("{:.1} % of the {} {what}.", 100.0 * value, checked.flows);
    HealthFinding::new(id, title, status, cause).since(since).figures(value, None, Some(limit))
}

fn truncation(history: &History) -> HealthFinding {
    const TITLE: &str = "Complete windows";
    let Some(checked) = &history.checked else {
        return HealthFinding::new(
            "truncation",
            TITLE,
            HealthStatus::Unknown,
            "There were no windows.",
        );
    };
    let cause = format!("{} of {} windows were truncated.", checked.truncated, checked.windows);
    let share = checked.truncated as f64 / checked.windows.max(1) as f64;
    let since = history.since(|hour| hour.truncated > 0);
    let status = if since.is_some() { HealthStatus::Warn } else { HealthStatus::Ok };
    let finding = HealthFinding::new("truncation", TITLE, status, cause).since(since).figures(
        share,
        None,
        Some(0.0),
    );
    if since.is_none() {
        return finding;
    }
    finding.remedy(
        "Hosts beyond `windows.max_subjects` were counted in the totals and not judged: raise it \
         when there is memory, or find the scan or flood that invents so many addresses.",
    )
}
