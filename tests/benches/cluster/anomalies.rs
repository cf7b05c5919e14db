//! Anomaly documents as the scorer's sinks write them.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use flowsentry::model::{
    Anomaly, DetectorVerdict, FeatureEvidence, Kind, Score, Subject, Timestamp, WindowSpan,
    anomaly_document,
};
use flowsentry::stores::{Document, DocumentId, Family, IndexName, Namespace};

const DAY: &str = "2026-11-21T00:00:00Z";

fn index_name(namespace: &str) -> anyhow::Result<IndexName> {
    Ok(IndexName::for_event(Family::Anomalies, &Namespace::new(namespace)?, DAY.parse()?))
}

/// The name of the index of all documents of one namespace.
pub fn index(namespace: &str) -> anyhow::Result<String> {
    Ok(index_name(namespace)?.to_string())
}

/// The documents of these numbers; the same numbers give the same documents.
pub fn documents(namespace: &str, numbers: Range<usize>) -> anyhow::Result<Vec<Document>> {
    let index = index_name(namespace)?;
    let day: Timestamp = DAY.parse()?;
    let document = |number: usize| {
        let anomaly = anomaly(day, number);
        Ok(Document {
            index: index.clone(),
            id: DocumentId::new(anomaly.id())?,
            source: anomaly_document(&anomaly),
        })
    };
    numbers.map(document).collect()
}

/// A port scan of one host in one minute of the day.
fn anomaly(day: Timestamp, number: usize) -> Anomaly {
    let host = |offset: usize| {
        let spread = (number / 1_440 + offset) as u32;
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + spread))
    };
    let minute = i64::try_from(number % 1_440).unwrap_or(0);
    // Any numbers that differ from document to document.
    let noise = (number * 2_654_435_761 % 100_003) as f64;
    let verdict = |id, kind, probability| DetectorVerdict {
        id,
        kind,
        score: Score::clamped(40.0 + noise % 60.0),
        probability,
    };
    let evidence = |name: &'static str, factor: f64| FeatureEvidence {
        name: name.into(),
        actual: noise * factor,
        typical: Some(3.0 * factor),
        lower: Some(0.0),
        upper: Some(20.0 * factor),
        share: None,
    };
    let reason = format!("tried {noise} ports of {} within 60 s (typical: 3)", host(77));
    Anomaly {
        window: WindowSpan { start: day.plus_seconds(minute * 60), seconds: 60, truncated: false },
        subject: Subject::Source(host(0)),
        kinds: vec![Kind::PortScanVertical, Kind::NewPort],
        score: Score::clamped(40.0 + noise % 60.0),
        confidence: 0.8,
        probability: 1.0 / (1.0 + noise),
        detectors: vec![
            verdict("port_scan", Kind::PortScanVertical, 1e-6),
            verdict("new_port", Kind::NewPort, 1e-3),
        ],
        features: vec![
            evidence("uniqDstPorts", 1.0),
            evidence("sumOfFlows", 2.0),
            evidence("sumOfPackets", 4.0),
            evidence("sumOfBytes", 240.0),
        ],
        sentence: format!("{} {reason}.", host(0)),
        reasons: vec![reason, "talked to a port that nobody used before".to_owned()],
        related: (77..82).map(host).collect(),
        services: vec![],
        flows: vec![],
        sampled: None,
    }
}
