//! Truth, alerts and anomalies made by hand.

use serde_json::{Value, json};

use super::*;
use crate::model::{Kind, Severity, Timestamp};
use crate::simulate::{AttackKind, Episode};
use crate::testkit::ip;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn episode(kind: AttackKind, attacker: &str) -> Attack {
    Attack::from(&Episode {
        kind,
        start: time(1_000),
        end: time(1_200),
        attackers: vec![ip(attacker)],
        victims: vec![ip("10.0.0.9")],
    })
}

fn alert(kind: Kind, host: &str, first: i64, score: f64) -> Value {
    json!({
        "event": {"dataset": "flowsentry.alert", "id": format!("{kind} {host} {first}")},
        "related": {"ip": [host]},
        "flowsentry": {"alert": {
            "kind": kind, "first": time(first), "last": time(first + 60), "score": score,
            "subject": {"type": "source", "value": host},
            "exception": format!("- {{kind: {kind}, source: \"{host}\"}}"),
        }},
    })
}

fn anomaly(kind: Kind, host: &str, start: i64, score: f64) -> Value {
    json!({
        "event": {"dataset": "flowsentry.anomaly", "id": format!("{host} {start}")},
        "related": {"ip": [host]},
        "flowsentry": {"anomaly": {
            "score": score,
            "detectors": [{"id": "d", "kind": kind, "score": score}],
            "subject": {"type": "source", "value": host},
            "window": {"start": time(start), "end": time(start + 60)},
        }},
    })
}

fn found(documents: &[Value]) -> Found {
    let mut found = Found::default();
    documents.iter().for_each(|document| found.note(document));
    found
}

#[test]
fn only_an_alert_of_a_fitting_kind_host_and_time_finds_an_episode() {
    let attacks = [episode(AttackKind::PortScanVertical, "10.0.0.1")];
    let counts = |kind, host, first| {
        let found = found(&[alert(kind, host, first, 50.0)]);
        let evaluation = Evaluation::of(&attacks, &[], &found, false);
        (evaluation.found(), evaluation.outside.len())
    };
    assert_eq!(counts(Kind::PortScanVertical, "10.0.0.1", 1_020), (1, 0));
    assert_eq!(counts(Kind::PortScanVertical, "10.0.0.9", 1_020), (1, 0), "the victim");
    assert_eq!(counts(Kind::TooManyPorts, "10.0.0.1", 1_020), (0, 0), "right, but vague");
    assert_eq!(counts(Kind::PortScanVertical, "10.0.0.2", 1_020), (0, 1));
    assert_eq!(counts(Kind::PortScanVertical, "10.0.0.1", 9_000), (0, 1));
}

#[test]
fn latency_is_the_end_of_the_first_window_of_a_fitting_kind() {
    let attacks = [episode(AttackKind::Beacon, "10.0.0.1")];
    let found = found(&[
        anomaly(Kind::NewPort, "10.0.0.1", 1_020, 10.0),
        anomaly(Kind::Beacon, "10.0.0.1", 1_140, 30.0),
        alert(Kind::Beacon, "10.0.0.1", 1_140, 30.0),
    ]);
    let evaluation = Evaluation::of(&attacks, &[], &found, false);
    assert_eq!(evaluation.attacks[0].latency_seconds, Some(200.0));
    assert_eq!(evaluation.by_kind[&Kind::Beacon].median_latency_seconds, Some(200.0));
    assert_eq!(evaluation.by_kind[&Kind::Beacon].detectors, ["d"]);
}

#[test]
fn an_alert_about_background_is_neither_right_nor_outside() {
    let background = episode(AttackKind::Beacon, "10.0.0.1").deeds;
    let found = found(&[alert(Kind::NewPort, "10.0.0.1", 1_020, 10.0)]);
    let evaluation = Evaluation::of(&[], &background, &found, false);
    assert_eq!((evaluation.outside.len(), evaluation.background_alerts), (0, 1));
}

#[test]
fn windows_are_counted_by_source_and_by_subject() {
    let flow = |start, end| Deed {
        start: time(start),
        end: time(end),
        sources: vec![ip("10.0.0.1")],
        destinations: vec![ip("10.0.0.9")],
    };
    let attack = Attack {
        name: "C&C".to_owned(),
        fitting: vec![],
        is_required: true,
        is_line: false,
        deeds: vec![flow(600, 610), flow(620, 630), flow(900, 950)],
    };
    let found = found(&[
        anomaly(Kind::NewPort, "10.0.0.9", 600, 10.0),
        anomaly(Kind::NewPort, "10.0.0.7", 600, 50.0),
    ]);
    let evaluation = Evaluation::of(&[attack], &[], &found, true);
    let scores = |seconds, least| {
        let is_it = |scores: &&WindowScores| scores.seconds == seconds && scores.least == least;
        let scores = evaluation.windows.iter().find(is_it).unwrap();
        (scores.malicious, scores.found, scores.alarmed, scores.right)
    };
    assert_eq!(scores(60, Least::Low), (2, 1, 2, 1));
    assert_eq!(scores(300, Least::Low), (2, 1, 2, 1));
    assert_eq!(scores(60, Least::Medium), (2, 0, 1, 0));
}

#[test]
fn a_rank_is_asked_for_at_its_time_and_ties_share_the_best_one() {
    let wanted = Expectation { kind: Kind::Beacon, host: ip("10.0.0.1"), top: 2, after_hours: 1 };
    let found = found(&[
        anomaly(Kind::Beacon, "10.0.0.2", 600, 50.0),
        anomaly(Kind::Beacon, "10.0.0.3", 660, 50.0),
        anomaly(Kind::Beacon, "10.0.0.1", 720, 30.0),
        anomaly(Kind::Beacon, "10.0.0.1", 3_000, 50.0),
        anomaly(Kind::Beacon, "10.0.0.4", 9_000, 90.0),
    ]);
    let rank = rank(&found, &wanted, time(0));
    assert_eq!((rank.rank, rank.score, rank.subjects), (Some(1), Some(50.0), 3));
    assert_eq!(rank.first_hours, Some(3_060.0 / 3_600.0));
}

#[test]
fn what_repeats_on_most_days_is_proposed_unless_it_is_high() {
    let day = 86_400;
    let mut documents = Vec::new();
    for n in 0..4 {
        documents.push(alert(Kind::NewPort, "10.0.0.1", n * day + 60, 10.0));
        documents.push(alert(Kind::Beacon, "10.0.0.2", n * day + 60, 80.0));
    }
    documents.push(alert(Kind::NewPort, "10.0.0.3", 60, 10.0));
    let backtest = Backtest::of(&found(&documents), time(0), time(4 * day));
    assert_eq!((backtest.alerts, backtest.alerts_per_day), (9, 2.25));
    assert_eq!(backtest.noisiest[0].subject, "10.0.0.1");
    let proposals: Vec<_> = backtest
        .proposals
        .iter()
        .map(|proposal| (proposal.subject.as_str(), proposal.severity, proposal.line.as_deref()))
        .collect();
    let line = "- {kind: new_port, source: \"10.0.0.1\"}";
    assert_eq!(
        proposals,
        [("10.0.0.1", Severity::Low, Some(line)), ("10.0.0.2", Severity::High, None)]
    );
}
