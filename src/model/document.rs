//! Anomalies, alerts and window summaries as ECS documents.
//!
//! ECS fields for everything ECS has, the rest under `flowsentry.*`; times are RFC 3339 in UTC. The
//! same documents go to standard output, to the stores and into reports.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{
    Alert, Anomaly, FeatureEvidence, FlowEvidence, Kind, SampledCounts, ServicePort, Subject,
    Technique, WindowSpan,
};

/// The ECS version that the documents follow.
pub const ECS_VERSION: &str = "9.4.0";

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
    /// What learned models said about records.
    pub const PREDICTION: &str = "flowsentry.prediction";
    /// Learned models.
    pub const MODEL: &str = "flowsentry.model";
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
    add_evidence(&mut document, "anomaly", (&anomaly.services, &anomaly.flows, anomaly.sampled));
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
    add_evidence(&mut document, "alert", (&alert.services, &alert.flows, alert.sampled));
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

/// Adds services, flows and the error of sampled counts under `flowsentry.<part>`, and the ids of the
/// flows as `network.community_id`, by which the documents of the flows are found.
fn add_evidence(
    document: &mut Value,
    part: &str,
    (services, flows, sampled): (&[ServicePort], &[FlowEvidence], Option<SampledCounts>),
) {
    let own = &mut document["flowsentry"][part];
    if !services.is_empty() {
        own["services"] = services.iter().map(ServicePort::to_string).collect();
    }
    if !flows.is_empty() {
        own["flows"] = flows.iter().map(flow_object).collect();
    }
    if let Some(counts) = sampled {
        own["sampling"] = json!({
            "factor": rounded(counts.factor()),
            "packets": counts.seen_packets,
            "error": rounded(counts.relative_error()),
        });
    }
    let ids = unique(flows.iter().filter_map(FlowEvidence::community_id));
    if !ids.is_empty() {
        document["network"] = json!({ "community_id": ids });
    }
}

fn flow_object(flow: &FlowEvidence) -> Value {
    let mut object = json!({ "start": flow.start, "end": flow.end, "packets": flow.packets });
    let ends = [
        ("source", flow.source, Some(flow.bytes)),
        ("destination", flow.destination, Some(flow.returned_bytes).filter(|&bytes| bytes > 0)),
    ];
    for (name, end, bytes) in ends {
        let fields = [
            ("ip", end.ip.map(|ip| json!(ip))),
            ("port", end.port.map(|port| json!(port))),
            ("bytes", bytes.map(|bytes| json!(bytes))),
        ];
        let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        object[name] = Value::Object(present.collect());
    }
    if let Some(protocol) = flow.protocol {
        object["transport"] = protocol.to_string().into();
    }
    if let Some(id) = flow.community_id() {
        object["community_id"] = id.into();
    }
    object
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
    use crate::model::{AlertStatus, DetectorVerdict, Endpoint, Protocol, Score, Timestamp};

    fn end(ip: &str, port: u16) -> Endpoint {
        Endpoint { ip: Some(ip.parse().unwrap()), port: Some(port) }
    }

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
            services: vec![ServicePort { protocol: Protocol::TCP, port: 22 }],
            flows: vec![FlowEvidence {
                start: "2026-11-21T10:00:07Z".parse().unwrap(),
                end: "2026-11-21T10:00:09.5Z".parse().unwrap(),
                source: end("10.77.0.66", 40_000),
                destination: end("10.77.0.21", 22),
                protocol: Some(Protocol::TCP),
                icmp: None,
                bytes: 5_000,
                returned_bytes: 700,
                packets: 12,
            }],
            sampled: Some(SampledCounts { seen_packets: 96, packets: 9_600 }),
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
            services: anomaly.services.clone(),
            flows: anomaly.flows.clone(),
            sampled: anomaly.sampled,
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
