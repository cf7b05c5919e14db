//! Folding, one anomaly at a time.

use super::*;
use crate::model::{DetectorVerdict, WindowSpan};

fn anomaly(minute: i64, kind: Kind, score: f64) -> Anomaly {
    let start = Timestamp::from_seconds(minute * 60);
    let source = "10.0.0.1".parse().unwrap();
    Anomaly {
        window: WindowSpan { start, seconds: 60, truncated: false },
        subject: Subject::Source(source),
        kinds: vec![kind],
        score: Score::clamped(score),
        confidence: 0.5,
        probability: 0.01,
        detectors: vec![DetectorVerdict {
            id: "test",
            kind,
            score: Score::clamped(score),
            probability: 0.01,
        }],
        features: vec![],
        reasons: vec![],
        sentence: format!("minute {minute}"),
        related: vec![],
        services: vec![],
        flows: vec![],
        sampled: None,
    }
}

fn fold(alerts: &mut Alerts, anomaly: &Anomaly) -> Vec<Alert> {
    let mut changed = Vec::new();
    alerts.fold(anomaly.window.end(), std::slice::from_ref(anomaly), &mut changed);
    changed
}

#[test]
fn consecutive_windows_are_one_alert_that_keeps_its_id_and_its_worst_window() {
    let mut alerts = Alerts::new(Settings::default());
    let first = fold(&mut alerts, &anomaly(0, Kind::PortScanVertical, 50.0));
    fold(&mut alerts, &anomaly(1, Kind::PortScanVertical, 80.0));
    let last = fold(&mut alerts, &anomaly(5, Kind::PortScanVertical, 60.0));
    assert_eq!(first[0].id(), last[0].id());
    assert_eq!((last[0].count, last[0].score.value()), (3, 80.0));
    assert_eq!(last[0].sentence, "minute 1");
    assert_eq!(alerts.opened(), 1);
}

#[test]
fn a_gap_closes_an_alert_and_the_next_anomaly_opens_another() {
    let mut alerts = Alerts::new(Settings::default());
    let first = fold(&mut alerts, &anomaly(0, Kind::Blacklist, 70.0));
    let mut closed = Vec::new();
    alerts.close_quiet(Timestamp::from_seconds(60 + 900), &mut closed);
    assert!(closed.is_empty(), "the gap is not over yet");
    alerts.close_quiet(Timestamp::from_seconds(60 + 901), &mut closed);
    assert_eq!(closed[0].status, AlertStatus::Closed);
    let second = fold(&mut alerts, &anomaly(30, Kind::Blacklist, 70.0));
    assert_ne!(first[0].id(), second[0].id());
}

#[test]
fn a_weak_anomaly_opens_nothing_but_extends_what_is_open() {
    let mut alerts = Alerts::new(Settings::default());
    assert!(fold(&mut alerts, &anomaly(0, Kind::Blacklist, 39.0)).is_empty());
    fold(&mut alerts, &anomaly(1, Kind::Blacklist, 60.0));
    assert_eq!(fold(&mut alerts, &anomaly(2, Kind::Blacklist, 5.0))[0].count, 2);
}

#[test]
fn a_vague_kind_opens_no_alert_beside_the_scan_that_explains_it() {
    let mut alerts = Alerts::new(Settings::default());
    let mut both = anomaly(0, Kind::PortScanVertical, 80.0);
    both.kinds.push(Kind::TooManyPorts);
    both.detectors.push(DetectorVerdict { kind: Kind::TooManyPorts, ..both.detectors[0].clone() });
    let opened: Vec<Kind> = fold(&mut alerts, &both).iter().map(|alert| alert.kind).collect();
    assert_eq!(opened, [Kind::PortScanVertical]);
    assert_eq!(fold(&mut alerts, &anomaly(1, Kind::TooManyPorts, 60.0)).len(), 1);
}

#[test]
fn anomalies_of_another_subject_type_or_length_do_not_fold() {
    let mut alerts = Alerts::new(Settings::default());
    assert!(fold(&mut alerts, &anomaly(0, Kind::VolumeOutlier, 60.0)).is_empty());
}

#[test]
fn the_number_of_open_alerts_is_bounded_and_what_is_refused_is_counted() {
    let mut alerts = Alerts::new(Settings { max_open: 1, ..Settings::default() });
    fold(&mut alerts, &anomaly(0, Kind::Blacklist, 60.0));
    fold(&mut alerts, &anomaly(0, Kind::PortScanSlow, 60.0));
    assert_eq!((alerts.open_count(), alerts.refused()), (1, 1));
}

#[test]
fn an_excepted_alert_says_by_what() {
    let line =
        r#"{kind: port_scan_vertical, source: 10.0.0.0/24, owner: anna, comment: "our scanner"}"#;
    let settings = Settings {
        exceptions: vec![serde_yaml_ng::from_str(line).unwrap()],
        ..Settings::default()
    };
    let mut alerts = Alerts::new(settings);
    let alert = &fold(&mut alerts, &anomaly(0, Kind::PortScanVertical, 60.0))[0];
    assert_eq!(
        alert.suppressed_by.as_deref(),
        Some("port_scan_vertical from 10.0.0.0/24 (anna: our scanner)")
    );
    let other = &fold(&mut alerts, &anomaly(0, Kind::PortScanSlow, 60.0))[0];
    assert_eq!(other.suppressed_by, None);
}

fn anomaly_of(number: u8, minute: i64, kind: Kind, score: f64) -> Anomaly {
    let source = std::net::Ipv4Addr::new(10, 0, 1, number);
    Anomaly { subject: Subject::Source(source.into()), ..anomaly(minute, kind, score) }
}

fn fold_all(alerts: &mut Alerts, anomalies: &[Anomaly]) -> Vec<Alert> {
    let mut changed = Vec::new();
    alerts.fold(anomalies[0].window.end(), anomalies, &mut changed);
    changed
}

fn with_budget(budget_per_day: u32) -> Alerts {
    Alerts::new(Settings { budget_per_day, ..Settings::default() })
}

#[test]
fn of_one_window_the_highest_scores_go_first() {
    let scores = [50.0, 70.0, 60.0, 80.0, 55.0, 65.0];
    let kind = Kind::PortScanVertical;
    let mut anomalies: Vec<Anomaly> =
        (1..).zip(scores).map(|(number, score)| anomaly_of(number, 0, kind, score)).collect();
    let mut alerts = with_budget(4);
    let opened: Vec<f64> =
        fold_all(&mut alerts, &anomalies).iter().map(|alert| alert.score.value()).collect();
    assert_eq!(opened, [70.0, 80.0], "half the share at once, in the order of the subjects");
    assert_eq!(alerts.withheld().by_kind().collect::<Vec<_>>(), [(kind, 4)]);
    anomalies.reverse();
    let mut other = with_budget(4);
    let mut again: Vec<f64> =
        fold_all(&mut other, &anomalies).iter().map(|alert| alert.score.value()).collect();
    again.reverse();
    assert_eq!(opened, again);
    assert_eq!(alerts.budget(), other.budget());
}

#[test]
fn critical_and_hidden_alerts_need_no_room() {
    let exceptions = vec![serde_yaml_ng::from_str("source: 10.0.1.9").unwrap()];
    let settings = Settings { budget_per_day: 1, exceptions, ..Settings::default() };
    let mut alerts = Alerts::new(settings);
    let kind = Kind::PortScanVertical;
    for number in 1..9 {
        fold_all(&mut alerts, &[anomaly_of(number, 0, kind, 90.0)]);
    }
    assert!(fold_all(&mut alerts, &[anomaly_of(9, 0, kind, 60.0)])[0].suppressed_by.is_some());
    assert_eq!(alerts.opened(), 9);
    assert_eq!(fold_all(&mut alerts, &[anomaly_of(10, 0, kind, 60.0)]).len(), 1, "still room");
    assert!(fold_all(&mut alerts, &[anomaly_of(11, 0, kind, 60.0)]).is_empty());
    assert_eq!(alerts.withheld().total(), 1);
    // It was withheld, and becomes critical.
    assert_eq!(fold_all(&mut alerts, &[anomaly_of(11, 1, kind, 85.0)]).len(), 1);
    assert_eq!(alerts.withheld().total(), 0);
}

#[test]
fn rules_act_on_open_alerts_from_the_next_window_on_both_ways() {
    let settings = Settings::default();
    let mut alerts = Alerts::new(settings.clone());
    let shared = SharedRules::new(Rules::new(&settings, [], &[]));
    alerts.follow(shared.clone());
    let kind = Kind::Blacklist;
    assert_eq!(fold(&mut alerts, &anomaly(0, kind, 70.0))[0].suppressed_by, None);
    let exception = Exception { kind: Some(kind), ..Exception::default() };
    shared.set(Rules::new(&settings, [("ab12", &exception)], &[]));
    let hidden = fold(&mut alerts, &anomaly(1, kind, 70.0))[0].suppressed_by.clone();
    assert_eq!(hidden.as_deref(), Some("exception ab12: blacklist"));
    assert!(Rules::is_of_store(hidden.as_deref().unwrap()));
    shared.set(Rules::new(&settings, [], &[]));
    assert_eq!(fold(&mut alerts, &anomaly(2, kind, 70.0))[0].suppressed_by, None);
}

#[test]
fn what_goes_on_after_its_exception_has_ended_is_an_alert_of_its_own() {
    let exceptions =
        vec![serde_yaml_ng::from_str("{kind: blacklist, expires: 1970-01-01T00:02:00Z}").unwrap()];
    let mut alerts = Alerts::new(Settings { exceptions, ..Settings::default() });
    let kind = Kind::Blacklist;
    let hidden = fold(&mut alerts, &anomaly(0, kind, 70.0)).remove(0);
    assert!(fold(&mut alerts, &anomaly(1, kind, 70.0))[0].suppressed_by.is_some());
    let changed = fold(&mut alerts, &anomaly(2, kind, 70.0));
    assert_eq!(changed.len(), 2);
    assert_eq!((changed[0].id(), changed[0].status), (hidden.id(), AlertStatus::Closed));
    assert!(changed[0].suppressed_by.is_some(), "what it hid stays hidden");
    assert_eq!((changed[1].status, &changed[1].suppressed_by), (AlertStatus::Open, &None));
    assert_ne!(changed[1].id(), hidden.id());
}

#[test]
fn feedback_shifts_the_threshold_of_its_scope() {
    let settings = Settings::default();
    let mut alerts = Alerts::new(settings.clone());
    let kind = Kind::Blacklist;
    let subject = anomaly(0, kind, 0.0).subject;
    let entry = |verdict, score| Feedback {
        version: 1,
        verdict,
        kind,
        subject,
        score: Score::clamped(score),
    };
    let shared = SharedRules::new(Rules::new(&settings, [], &[entry(Verdict::Benign, 70.0)]));
    alerts.follow(shared.clone());
    assert!(fold(&mut alerts, &anomaly(0, kind, 70.0)).is_empty());
    assert_eq!(fold(&mut alerts, &anomaly_of(1, 0, kind, 70.0)).len(), 1, "others are others");
    assert_eq!(fold(&mut alerts, &anomaly(1, kind, 71.0)).len(), 1, "worse than what was harmless");
    alerts.close_quiet(Timestamp::from_seconds(100_000), &mut Vec::new());
    shared.set(Rules::new(&settings, [], &[entry(Verdict::Benign, 99.0)]));
    assert_eq!(fold(&mut alerts, &anomaly(2_000, kind, 85.0)).len(), 1, "critical opens always");
    alerts.close_quiet(Timestamp::from_seconds(500_000), &mut Vec::new());
    shared.set(Rules::new(&settings, [], &[entry(Verdict::Attack, 70.0)]));
    assert_eq!(fold(&mut alerts, &anomaly(9_000, kind, 30.0)).len(), 1);
    assert!(fold(&mut alerts, &anomaly_of(1, 9_000, kind, 30.0)).is_empty());
}

#[test]
fn a_restart_goes_on_with_budget_and_open_alerts() {
    let mut alerts = with_budget(2);
    let kind = Kind::Blacklist;
    for number in 1..5 {
        fold_all(&mut alerts, &[anomaly_of(number, 0, kind, 60.0)]);
    }
    let mut resumed = with_budget(2);
    resumed.resume(alerts.open_alerts().cloned().collect(), alerts.budget());
    for minute in 1..3_000 {
        let anomalies: Vec<Anomaly> = (1..9)
            .map(|number| anomaly_of(number, minute * 7, kind, 40.0 + f64::from(number)))
            .collect();
        assert_eq!(fold_all(&mut alerts, &anomalies), fold_all(&mut resumed, &anomalies));
        let end = anomalies[0].window.end();
        alerts.close_quiet(end, &mut Vec::new());
        resumed.close_quiet(end, &mut Vec::new());
    }
    assert_eq!(alerts.budget(), resumed.budget());
}
