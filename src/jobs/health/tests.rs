//! The check against an embedded store that holds made windows and anomalies.

mod loss;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::model::{
    Anomaly, DetectorVerdict, Kind, Score, Subject, WindowSpan, WindowSummary, anomaly_document,
};
use crate::stores::{
    Document, DocumentId, EmbeddedConfig, EmbeddedStore, Family, Filter, IndexName, SearchRequest,
};

/// The outliers of 23 calm hours with 1,200 flows each: 5 % ± 1.
const CALM: [u32; 23] =
    [60, 48, 72, 55, 66, 59, 61, 70, 50, 63, 57, 68, 52, 60, 71, 49, 62, 58, 64, 56, 69, 51, 65];

/// What one hour of a made site looks like.
#[derive(Clone, Copy)]
struct Made {
    flows: u32,
    outliers: u32,
    windows: u32,
    unknown_sampling: u32,
    clock_skew: u32,
    truncated: u32,
    exporters: u8,
}

fn made(flows: u32, outliers: u32) -> Made {
    Made {
        flows,
        outliers,
        windows: 60,
        unknown_sampling: 0,
        clock_skew: 0,
        truncated: 0,
        exporters: 2,
    }
}

struct Site {
    folder: tempfile::TempDir,
    store: Option<EmbeddedStore>,
    namespace: Namespace,
    settings: HealthSettings,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut site = Self {
            folder,
            store: None,
            namespace: Namespace::default(),
            settings: HealthSettings::default(),
        };
        site.open();
        site
    }

    /// Opens the store afresh, as after a restart.
    fn open(&mut self) {
        self.store = None;
        let config = EmbeddedConfig::at(self.folder.path().join("store"));
        self.store = Some(EmbeddedStore::open(config).unwrap());
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().unwrap()
    }

    fn write(&self, family: Family, time: Timestamp, source: serde_json::Value) -> Document {
        let id = source["event"]["id"].as_str().unwrap();
        let index = IndexName::for_event(family, &self.namespace, time);
        Document { index, id: DocumentId::new(id).unwrap(), source }
    }

    /// Fills the hour that begins at `start`, minute by minute from its beginning.
    fn hour(&self, start: Timestamp, made: Made) {
        let mut documents = Vec::new();
        for index in 0..made.windows {
            let span = WindowSpan {
                start: start.plus_seconds(i64::from(index) * 60),
                seconds: 60,
                truncated: index < made.truncated,
            };
            let part = |total: u32| f64::from(total) / f64::from(made.windows);
            let features = vec![
                ("flows", part(made.flows)),
                ("unknown_sampling", part(made.unknown_sampling)),
                ("clock_skew", part(made.clock_skew)),
            ];
            let network = WindowSummary { span, subject: Subject::Network, features };
            documents.push(self.write(Family::Windows, span.start, network.document()));
            for exporter in 0..made.exporters {
                let features = vec![
                    ("flows", part(made.flows) / f64::from(made.exporters)),
                    (
                        "unknown_sampling",
                        part(made.unknown_sampling) * f64::from(1 - exporter.min(1)),
                    ),
                ];
                let subject = Subject::Exporter(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1 + exporter)));
                let summary = WindowSummary { span, subject, features };
                documents.push(self.write(Family::Windows, span.start, summary.document()));
            }
        }
        for index in 0..made.outliers {
            let anomaly = anomaly(start, index);
            let document = anomaly_document(&anomaly);
            documents.push(self.write(Family::Anomalies, anomaly.window.start, document));
        }
        let outcome = self.store().bulk(documents).unwrap();
        assert_eq!(outcome.rejected().next(), None);
    }

    /// Fills an hour for every entry, from 2026-11-20 00:00 on.
    fn hours(&self, hours: impl IntoIterator<Item = Made>) {
        for (index, made) in (0..).zip(hours) {
            self.hour(nth(index), made);
        }
    }

    /// Judges the hour that begins at `hour`, five minutes after its end.
    fn check(&self, hour: Timestamp) -> HealthReport {
        let at = hour.plus_seconds(HOUR_SECONDS + 300);
        let report = check(self.store(), &self.namespace, &self.settings, at).unwrap();
        assert_eq!(report.hour, hour);
        report
    }

    /// Judges so many hours as the clock would, and returns the places of those with a spike.
    fn spikes(&self, count: i64) -> Vec<i64> {
        (0..count).filter(|index| self.check(nth(*index)).has_spike()).collect()
    }
}

fn nth(index: i64) -> Timestamp {
    let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
    start.plus_seconds(index * HOUR_SECONDS)
}

fn anomaly(hour: Timestamp, index: u32) -> Anomaly {
    let kind = if index.is_multiple_of(3) { Kind::NewPort } else { Kind::PortScanVertical };
    Anomaly {
        window: WindowSpan {
            start: hour.plus_seconds(i64::from(index % 60) * 60),
            seconds: 60,
            truncated: false,
        },
        subject: Subject::Source(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index))),
        kinds: vec![kind],
        score: Score::clamped(60.0),
        confidence: 0.8,
        probability: 1e-4,
        detectors: vec![DetectorVerdict {
            id: "port_scan",
            kind,
            score: Score::clamped(60.0),
            probability: 1e-4,
        }],
        features: Vec::new(),
        reasons: Vec::new(),
        sentence: "Made for a test.".to_owned(),
        related: Vec::new(),
        services: vec![],
        flows: vec![],
        sampled: None,
    }
}

fn calm() -> impl Iterator<Item = Made> {
    CALM.into_iter().map(|outliers| made(1200, outliers))
}

fn status(report: &HealthReport, id: &str) -> HealthStatus {
    report.finding(id).unwrap().status
}

#[test]
fn one_hour_at_20_percent_after_23_at_5_is_exactly_one_spike() {
    let site = Site::new();
    site.hours(calm().chain([made(1200, 240)]));
    assert_eq!(site.spikes(24), [23]);
    let report = site.check(nth(23));
    assert_eq!(status(&report, "outliers"), HealthStatus::Warn);
    assert_eq!(report.finding("outliers").unwrap().since, Some(nth(23)));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn twenty_four_calm_hours_have_no_spike() {
    let site = Site::new();
    site.hours(calm().chain([made(1200, 60)]));
    assert_eq!(site.spikes(24), [0_i64; 0]);
    assert_eq!(site.check(nth(23)).status, HealthStatus::Ok);
    assert_eq!(site.check(nth(23)).exit_code(), 0);
}

#[test]
fn the_first_hours_have_no_basis_and_no_verdict() {
    let site = Site::new();
    site.hours([made(1200, 900); 7]);
    for index in 0..6 {
        let report = site.check(nth(index));
        let finding = report.finding("outliers").unwrap();
        assert_eq!(finding.status, HealthStatus::Unknown);
        assert!(finding.cause.contains("no basis yet"), "{}", finding.cause);
        assert_eq!((report.status, report.exit_code()), (HealthStatus::Unknown, 0));
    }
    assert_eq!(status(&site.check(nth(6)), "outliers"), HealthStatus::Ok);
}

#[test]
fn a_gap_is_neither_a_spike_nor_a_drop_and_is_compared_with_nothing() {
    let site = Site::new();
    for index in (0..10).chain(13..23) {
        site.hour(nth(index), made(1200, CALM[index as usize]));
    }
    assert_eq!(site.spikes(23), [0_i64; 0]);
    let report = site.check(nth(11));
    let ingest = report.finding("ingest").unwrap();
    assert_eq!((ingest.status, ingest.since), (HealthStatus::Warn, Some(nth(10))));
    assert_eq!(ingest.cause, "No flows were indexed in this hour.");
    assert_eq!(status(&report, "outliers"), HealthStatus::Unknown);
    assert_eq!(report.exit_code(), 1);
    let after = site.check(nth(13));
    assert_eq!(after.status, HealthStatus::Ok);
    let outliers = after.finding("outliers").unwrap();
    assert!(outliers.cause.contains("all 10 earlier hours"), "{}", outliers.cause);
    assert_eq!(outliers.figures.unwrap().typical, Some(60.5));
}

#[test]
fn more_traffic_at_the_same_share_is_no_spike() {
    for factor in [1.4, 5.0] {
        let site = Site::new();
        site.hours(calm().chain([made((1200.0 * factor) as u32, (60.0 * factor) as u32)]));
        assert_eq!(site.spikes(24), [0_i64; 0], "{factor} times the traffic");
    }
}

#[test]
fn a_higher_share_of_hardly_any_traffic_is_no_spike() {
    let site = Site::new();
    site.hours(calm().chain([made(120, 60)]));
    assert_eq!(site.spikes(24), [0_i64; 0]);
}

#[test]
fn a_quiet_week_end_is_not_compared_with_working_days() {
    let site = Site::new();
    // 2026-11-20 is a Friday; four weeks of mornings, week-ends with a sixth of the outliers.
    let morning = |day: i64| nth(day * 24 + 9);
    let is_week_end = |day: i64| matches!(day % 7, 1 | 2);
    for day in 0..28 {
        let outliers = if is_week_end(day) { 10 } else { 60 } + (day % 3) as u32;
        for hour in 0..2 {
            let start = morning(day).plus_seconds(hour * HOUR_SECONDS);
            site.hour(start, Made { windows: 6, ..made(1200, outliers) });
        }
    }
    for day in [28, 29, 30, 31] {
        site.hour(morning(day), Made { windows: 6, ..made(1200, 60) });
        let report = site.check(morning(day));
        let finding = report.finding("outliers").unwrap();
        assert_eq!(finding.basis, Some(Basis::HourOfWeek));
        assert_eq!(finding.is_spike(), is_week_end(day), "{}", finding.cause);
    }
}

#[test]
fn a_restart_changes_no_verdict_and_writes_nothing_twice() {
    let mut site = Site::new();
    site.hours(calm().chain([made(1200, 240)]));
    let at = nth(24).plus_seconds(300);
    let run = |site: &Site| run_once(site.store(), &site.namespace, &site.settings, at).unwrap();
    let before = run(&site);
    assert!(before.is_first && before.report.has_spike());
    site.open();
    let after = run(&site);
    assert!(!after.is_first);
    assert_eq!(after.report, before.report);
    let request = SearchRequest::new(Family::Health, site.namespace.clone())
        .filter(Filter::term("flowsentry.health.spikes", "outliers"));
    let response = site.store().search(&request).unwrap();
    assert_eq!(response.total, 1);
    assert_eq!(response.hits[0].id.as_str(), "health-2026-11-20T23-default");
    assert_eq!(response.hits[0].source, before.report.to_document().source);
}

#[test]
fn hours_after_the_moment_of_the_check_do_not_change_it() {
    let site = Site::new();
    site.hours(calm());
    let before = site.check(nth(20));
    site.hour(nth(23), made(1200, 1100));
    assert_eq!(site.check(nth(20)), before);
}

#[test]
fn a_flood_of_outliers_is_critical() {
    let site = Site::new();
    site.hours(calm().chain([made(1200, 1200)]));
    let report = site.check(nth(23));
    assert_eq!(status(&report, "outliers"), HealthStatus::Critical);
    assert_eq!((report.status, report.exit_code()), (HealthStatus::Critical, 2));
}

#[test]
fn few_outliers_are_never_a_spike() {
    let site = Site::new();
    site.hours([made(1200, 0); 23].into_iter().chain([made(1200, 9)]));
    assert_eq!(site.spikes(24), [0_i64; 0]);
    let site = Site::new();
    site.hours([made(1200, 0); 23].into_iter().chain([made(1200, 40)]));
    assert_eq!(site.spikes(24), [23]);
}

#[test]
fn an_exporter_that_falls_silent_is_named() {
    let site = Site::new();
    let alone = Made { exporters: 1, ..made(1200, 60) };
    site.hours([made(1200, 60); 8].into_iter().chain([alone; 26]));
    assert_eq!(status(&site.check(nth(7)), "exporters"), HealthStatus::Ok);
    let report = site.check(nth(10));
    let finding = report.finding("exporters").unwrap();
    assert_eq!((finding.status, finding.since), (HealthStatus::Warn, Some(nth(8))));
    assert!(finding.cause.contains("192.0.2.2 (since 2026-11-20 08:00 UTC)"), "{}", finding.cause);
    assert_eq!(status(&site.check(nth(33)), "exporters"), HealthStatus::Ok, "a day later");
}

#[test]
fn unsound_flows_are_found_with_their_beginning() {
    let site = Site::new();
    let unsound = Made { unknown_sampling: 600, clock_skew: 60, truncated: 3, ..made(1200, 60) };
    site.hours([made(1200, 60); 8].into_iter().chain([unsound; 3]));
    let report = site.check(nth(10));
    for id in ["sampling", "clock_skew", "truncation"] {
        let finding = report.finding(id).unwrap();
        assert_eq!((finding.status, finding.since), (HealthStatus::Warn, Some(nth(8))), "{id}");
    }
    let remedy = &report.finding("sampling").unwrap().remedy;
    assert!(remedy.contains("(192.0.2.1)"), "{remedy}");
}

#[test]
fn an_hour_that_broke_off_is_a_gap_and_a_late_pipeline() {
    let site = Site::new();
    site.hours(calm().take(10).chain([Made { windows: 30, ..made(600, 30) }]));
    let report = site.check(nth(10));
    let half_past = nth(10).plus_seconds(1800);
    for id in ["ingest", "freshness"] {
        let finding = report.finding(id).unwrap();
        assert_eq!((finding.status, finding.since), (HealthStatus::Warn, Some(half_past)), "{id}");
    }
    assert!(!report.has_spike());
}

#[test]
fn an_empty_store_is_said_to_be_empty() {
    let site = Site::new();
    let report = site.check(nth(0));
    assert_eq!(status(&report, "ingest"), HealthStatus::Warn);
    assert_eq!(status(&report, "freshness"), HealthStatus::Unknown);
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_site_without_settled_settings_is_not_judged() {
    let mut site = Site::new();
    site.settings.minimum_count = 0;
    let error = check(site.store(), &site.namespace, &site.settings, nth(1)).unwrap_err();
    assert_eq!(error.to_string(), "setting `health.minimum_count` must be at least 1, got 0");
}

#[test]
fn the_ends_of_time_can_be_judged() {
    let site = Site::new();
    for at in [Timestamp::MIN, Timestamp::MAX] {
        let report = check(site.store(), &site.namespace, &site.settings, at).unwrap();
        assert_eq!(report.finding("ingest").unwrap().status, HealthStatus::Warn);
    }
}

#[test]
fn the_table_is_aligned_and_says_what_to_do() {
    let site = Site::new();
    site.hours(calm().chain([Made { exporters: 1, ..made(1200, 240) }]));
    insta::assert_snapshot!(site.check(nth(23)));
}

#[test]
fn the_document_is_the_agreed_one() {
    let site = Site::new();
    site.hours(calm().chain([Made { exporters: 1, ..made(1200, 240) }]));
    let document = site.check(nth(23)).to_document();
    assert_eq!(document.index.to_string(), "flowsentry-health-default-2026.11");
    insta::assert_json_snapshot!(document.source);
}

#[test]
fn a_report_reads_as_json() {
    let site = Site::new();
    let json = serde_json::to_value(site.check(nth(0))).unwrap();
    assert_eq!(json["namespace"], "default");
    assert_eq!(json["status"], "warn");
    assert_eq!(json["hour"], "2026-11-20T00:00:00.000Z");
    assert_eq!(json["findings"][0]["id"], "ingest");
}

#[test]
fn no_text_of_a_document_steers_the_terminal() {
    let site = Site::new();
    site.hours([made(1200, 0); 6]);
    let mut source = anomaly_document(&anomaly(nth(6), 0));
    source["flowsentry"]["anomaly"]["kinds"] = serde_json::json!(["\u{1b}[2Jscan\n\u{202e}x"]);
    site.hour(nth(6), made(1200, 0));
    let document = site.write(Family::Anomalies, nth(6), source);
    site.store().bulk(vec![document]).unwrap();
    let report = site.check(nth(6));
    assert!(report.findings.iter().any(|finding| finding.id.contains('\u{1b}')));
    let table = report.to_string();
    assert!(table.contains("outliers.\u{fffd}[2Jscan\u{fffd}\u{fffd}x"), "{table}");
    assert!(table.chars().all(|c| c == '\n' || !c.is_control()), "{table:?}");
}
