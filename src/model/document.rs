//! Anomalies, alerts and window summaries as ECS documents.
//!
//! ECS fields for everything ECS has, the rest under `flowsentry.*`; times are RFC 3339 in UTC. The
//! same documents go to standard output, to the stores and into reports.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Alert, Anomaly, FeatureEvidence, Kind, Subject, Technique, WindowSpan};

/// The ECS version that the documents follow.
pub(super) const ECS_VERSION: &str = "9.4.0";

/// The values of `event.dataset`.
pub mod dataset {
    /// Window summaries.
    pub const WINDOW: &str = "flowsentry.window";
    /// Anomalies.
    pub const ANOMALY: &str = "flowsentry.anomaly";
    /// Alerts.
    pub const ALERT: &str = "flowsentry.alert";
    /// Results of health checks.
    pub const HEALTH: &str = "flowsentry.health";
    /// Facts of sent reports.
    pub const REPORT: &str = "flowsentry.report";
    /// Dead letters.
    pub const DEADLETTER: &str = "flowsentry.deadletter";
}

/// Named numbers of one subject over one window.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowSummary {
    /// When.
    pub span: WindowSpan,
    /// Who.
    pub subject: Subject,
    /// Published name and value, in the order of the names.
    pub features: Vec<(&'static str, f64)>,
}

/// Returns the ECS document of an anomaly. Its id is [`Anomaly::id`].
pub fn anomaly_document(anomaly: &Anomaly) -> Value {
    let span = anomaly.window;
    let mut document = json!({
        "@timestamp": span.start,
        "ecs": { "version": ECS_VERSION },
        "event": {
            "id": anomaly.id(),
            "kind": "event",
            "category": ["network"],
            "type": ["info"],
            "module": "flowsentry",
            "dataset": dataset::ANOMALY,
            "start": span.start,
            "end": span.end(),
            "severity": anomaly.severity().number(),
            "risk_score": rounded(anomaly.score.value()),
            "reason": anomaly.sentence,
        },
        "rule": { "name": unique(anomaly.detectors.iter().map(|verdict| verdict.id)) },
        "flowsentry": { "anomaly": {
            "score": rounded(anomaly.score.value()),
            "grade": anomaly.severity().name(),
            "confidence": rounded(anomaly.confidence),
            "probability": anomaly.probability,
            "kinds": anomaly.kinds,
            "detectors": anomaly.detectors.iter().map(|verdict| json!({
                "id": verdict.id,
                "kind": verdict.kind,
                "score": rounded(verdict.score.value()),
                "probability": verdict.probability,
            })).collect::<Vec<_>>(),
            "subject": subject_object(anomaly.subject),
            "window": {
                "start": span.start,
                "end": span.end(),
                "seconds": span.seconds,
                "truncated": span.truncated,
            },
            "features": feature_list(&anomaly.features),
            "reasons": anomaly.reasons,
        }},
    });
    add_hosts(&mut document, anomaly.subject, &anomaly.related);
    add_threat(&mut document, &anomaly.kinds);
    document
}

/// Returns the ECS document of an alert. Its id is [`Alert::id`].
pub fn alert_document(alert: &Alert) -> Value {
    let mut document = json!({
        "@timestamp": alert.first,
        "ecs": { "version": ECS_VERSION },
        "event": {
            "id": alert.id(),
            "kind": "alert",
            "category": ["network", "intrusion_detection"],
            "type": ["info"],
            "module": "flowsentry",
            "dataset": dataset::ALERT,
            "start": alert.first,
            "end": alert.last,
            "severity": alert.severity().number(),
            "risk_score": rounded(alert.score.value()),
            "reason": alert.sentence,
        },
        "rule": { "name": [alert.kind.title()] },
        "flowsentry": { "alert": {
            "kind": alert.kind,
            "status": alert.status,
            "first": alert.first,
            "last": alert.last,
            "count": alert.count,
            "score": rounded(alert.score.value()),
            "grade": alert.severity().name(),
            "subject": subject_object(alert.subject),
            "anomaly_ids": alert.anomaly_ids,
            "features": feature_list(&alert.features),
            "exception": alert.exception_line(),
            "exception_command": alert.exception_command(),
        }},
    });
    if let Some(exception) = &alert.suppressed_by {
        document["flowsentry"]["alert"]["suppressed_by"] = json!(exception);
    }
    add_hosts(&mut document, alert.subject, &alert.related);
    add_threat(&mut document, &[alert.kind]);
    document
}

impl WindowSummary {
    /// The id: a function of window and subject.
    pub fn id(&self) -> String {
        super::document_id(&[
            "window",
            &self.span.start.nanos().to_string(),
            &self.span.seconds.to_string(),
            self.subject.subject_type().name(),
            &self.subject.to_string(),
        ])
    }

    /// Returns the ECS document.
    pub fn document(&self) -> Value {
        let span = self.span;
        let features: Map<String, Value> =
            self.features.iter().map(|&(name, value)| (name.to_owned(), number(value))).collect();
        let mut document = json!({
            "@timestamp": span.start,
            "ecs": { "version": ECS_VERSION },
            "event": {
                "id": self.id(),
                "kind": "metric",
                "category": ["network"],
                "type": ["info"],
                "module": "flowsentry",
                "dataset": dataset::WINDOW,
                "start": span.start,
                "end": span.end(),
            },
            "flowsentry": { "window": {
                "subject": subject_object(self.subject),
                "start": span.start,
                "end": span.end(),
                "seconds": span.seconds,
                "truncated": span.truncated,
                "features": features,
            }},
        });
        add_hosts(&mut document, self.subject, &[]);
        document
    }
}

fn subject_object(subject: Subject) -> Value {
    json!({ "type": subject.subject_type(), "value": subject.to_string() })
}

fn feature_list(features: &[FeatureEvidence]) -> Vec<Value> {
    let optional = |value: Option<f64>| value.map_or(Value::Null, number);
    let object = |feature: &FeatureEvidence| {
        let mut object = json!({ "name": feature.name, "actual": number(feature.actual) });
        let bounds = [
            ("typical", feature.typical),
            ("lower", feature.lower),
            ("upper", feature.upper),
            ("attribution", feature.share),
        ];
        for (key, value) in bounds.into_iter().filter(|(_, value)| value.is_some()) {
            object[key] = optional(value);
        }
        object
    };
    features.iter().map(object).collect()
}

/// Adds `source.ip`, `destination.ip`, `observer.ip` and `related.ip`.
fn add_hosts(document: &mut Value, subject: Subject, related: &[IpAddr]) {
    let mut all = Vec::new();
    let ends = [("source", subject.source_ip()), ("destination", subject.destination_ip())];
    for (end, ip) in ends {
        if let Some(ip) = ip {
            document[end] = json!({ "ip": ip });
            all.push(ip);
        }
    }
    if let Subject::Exporter(ip) = subject {
        document["observer"] = json!({ "ip": ip });
    }
    all.extend(related);
    if !all.is_empty() {
        document["related"] = json!({ "ip": unique(all.into_iter()) });
    }
}

fn add_threat(document: &mut Value, kinds: &[Kind]) {
    let techniques: Vec<Technique> = unique(kinds.iter().filter_map(|kind| kind.technique()));
    if techniques.is_empty() {
        return;
    }
    let list = |of: fn(&Technique) -> &'static str| unique(techniques.iter().map(of));
    document["threat"] = json!({
        "framework": "MITRE ATT&CK",
        "technique": { "id": list(|t| t.id), "name": list(|t| t.name) },
        "tactic": { "id": list(|t| t.tactic_id), "name": list(|t| t.tactic_name) },
    });
}

/// Returns each item once, in the order of the first times. O(n²), for lists that a person reads.
pub fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// Three decimals are enough for a person and keep documents short.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A number as JSON: whole numbers without a fraction; `null` for NaN and infinities.
fn number(value: f64) -> Value {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= LARGEST_EXACT {
        return json!(value as i64);
    }
    json!(rounded(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AlertStatus, DetectorVerdict, Score, Timestamp};

    fn anomaly() -> Anomaly {
        Anomaly {
            window: WindowSpan {
                start: "2026-11-21T10:00:00Z".parse().unwrap(),
                seconds: 60,
                truncated: false,
            },
            subject: Subject::Source("10.77.0.66".parse().unwrap()),
            kinds: vec![Kind::PortScanVertical, Kind::MalformedFlow],
            score: Score::clamped(72.123_456),
            confidence: 0.75,
            probability: 1e-6,
            detectors: vec![DetectorVerdict {
                id: "port_scan",
                kind: Kind::PortScanVertical,
                score: Score::clamped(70.0),
                probability: 1e-4,
            }],
            features: vec![FeatureEvidence {
                name: "probed_ports".into(),
                actual: 150.0,
                typical: None,
                lower: None,
                upper: Some(15.0),
                share: None,
            }],
            reasons: vec!["tried 150 ports".into()],
            sentence: "10.77.0.66 tried 150 ports.".into(),
            related: vec!["10.77.0.21".parse().unwrap()],
        }
    }

    #[test]
    fn the_anomaly_document_is_the_agreed_one() {
        insta::assert_json_snapshot!(anomaly_document(&anomaly()));
    }

    #[test]
    fn the_alert_document_is_the_agreed_one() {
        let anomaly = anomaly();
        let alert = Alert {
            kind: Kind::PortScanVertical,
            subject: anomaly.subject,
            status: AlertStatus::Open,
            first: anomaly.window.start,
            last: anomaly.window.end(),
            count: 1,
            anomaly_ids: vec![anomaly.id()],
            score: anomaly.score,
            sentence: anomaly.sentence.clone(),
            features: anomaly.features.clone(),
            related: anomaly.related.clone(),
            suppressed_by: None,
        };
        insta::assert_json_snapshot!(alert_document(&alert));
    }

    #[test]
    fn the_window_document_is_the_agreed_one() {
        let summary = WindowSummary {
            span: WindowSpan { start: Timestamp::from_seconds(60), seconds: 60, truncated: true },
            subject: Subject::Network,
            features: vec![
                ("flows", 3.0),
                ("entropy_src_ip", std::f64::consts::LN_2),
                ("bad", f64::NAN),
            ],
        };
        insta::assert_json_snapshot!(summary.document());
    }
}
