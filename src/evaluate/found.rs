//! What was found, read back from the documents.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::attack::Deed;
use crate::model::{Kind, Score, Severity, SubjectType, Timestamp, dataset};

/// Windows last a minute, so a document may begin and end so much outside of a deed.
const TOLERANCE_SECONDS: i64 = 60;

/// Who and when, of an alert or an anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its first moment.
    pub start: Timestamp,
    /// The moment after it.
    pub end: Timestamp,
    /// Subject and related hosts.
    pub hosts: Vec<IpAddr>,
    /// The prefix that it is about, if it is about one.
    pub prefix: Option<IpNet>,
    /// What kind of subject.
    pub subject_type: SubjectType,
    /// The subject alone, in words.
    pub subject: String,
}

impl Mark {
    /// Whether it names a host of the deed within its time.
    pub fn concerns(&self, deed: &Deed) -> bool {
        self.start <= deed.end.plus_seconds(TOLERANCE_SECONDS)
            && self.end >= deed.start.plus_seconds(-TOLERANCE_SECONDS)
            && (deed.is_of_everybody() || deed.hosts().any(|ip| self.names(ip)))
    }

    /// Whether it is about a host, alone or among others.
    pub fn names(&self, ip: &IpAddr) -> bool {
        self.hosts.contains(ip)
            || self.prefix.is_some_and(|prefix| prefix.contains(ip))
            || self.subject_type == SubjectType::Network
    }

    fn read(document: &Value, object: &Value, start: &str, end: &str) -> Option<Self> {
        let time = |key: &str| object.pointer(key)?.as_str()?.parse::<Timestamp>().ok();
        let hosts = document.pointer("/related/ip").and_then(Value::as_array);
        let hosts =
            hosts.into_iter().flatten().filter_map(|ip| ip.as_str()?.parse().ok()).collect();
        let subject = object.pointer("/subject/value")?.as_str()?.to_owned();
        let subject_type = serde_json::from_value(object.pointer("/subject/type")?.clone()).ok()?;
        let prefix = match subject_type {
            SubjectType::Prefix => subject.parse().ok(),
            _ => None,
        };
        Some(Self { start: time(start)?, end: time(end)?, hosts, prefix, subject_type, subject })
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundAlert {
    /// Who and when: from the start of the first window to the end of the last.
    pub mark: Mark,
    /// What.
    pub kind: Kind,
    /// Score of the worst window.
    pub score: Score,
    /// The line to paste under `alerts.exceptions:`.
    pub exception: String,
}

/// An anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundAnomaly {
    /// Who and in which window.
    pub mark: Mark,
    /// The score of all detectors together.
    pub score: Score,
    /// Who said what, with its own score.
    pub verdicts: Vec<(String, Kind, f64)>,
}

/// Everything that was found, as far as an evaluation needs it: some 300 bytes each.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The last state of each alert, by id.
    alerts: BTreeMap<String, FoundAlert>,
    /// In the order of the windows.
    pub anomalies: Vec<FoundAnomaly>,
}

impl Found {
    /// Takes an alert or an anomaly; other documents are passed over.
    pub fn note(&mut self, document: &Value) {
        let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match text("/event/dataset") {
            dataset::ALERT => {
                if let Some(alert) = found_alert(document) {
                    self.alerts.insert(text("/event/id").to_owned(), alert);
                }
            }
            dataset::ANOMALY => self.anomalies.extend(found_anomaly(document)),
            _ => {}
        }
    }

    /// The alerts in the order of their first windows.
    pub fn alerts(&self) -> Vec<&FoundAlert> {
        let mut alerts: Vec<_> = self.alerts.values().collect();
        alerts.sort_by(|a, b| {
            let order = |alert: &FoundAlert| (alert.mark.start, alert.kind);
            order(a).cmp(&order(b)).then_with(|| a.mark.subject.cmp(&b.mark.subject))
        });
        alerts
    }

    /// The detectors that gave anomalies of each kind.
    pub fn detectors(&self) -> BTreeMap<Kind, Vec<String>> {
        let mut detectors = BTreeMap::<Kind, Vec<String>>::new();
        for (detector, kind, _) in self.anomalies.iter().flat_map(|anomaly| &anomaly.verdicts) {
            let known = detectors.entry(*kind).or_default();
            if !known.contains(detector) {
                known.push(detector.clone());
            }
        }
        detectors
    }
}

/// Whether somebody should look at it.
pub(super) fn is_above_low(score: Score) -> bool {
    score.severity() > Severity::Low
}

fn found_alert(document: &Value) -> Option<FoundAlert> {
    let alert = document.pointer("/flowsentry/alert")?;
    Some(FoundAlert {
        mark: Mark::read(document, alert, "/first", "/last")?,
        kind: Kind::parse(alert.get("kind")?.as_str()?)?,
        score: Score::clamped(alert.get("score")?.as_f64()?),
        exception: alert.get("exception").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

fn found_anomaly(document: &Value) -> Option<FoundAnomaly> {
    let anomaly = document.pointer("/flowsentry/anomaly")?;
    let verdict = |verdict: &Value| {
        let kind = Kind::parse(verdict.get("kind")?.as_str()?)?;
        Some((verdict.get("id")?.as_str()?.to_owned(), kind, verdict.get("score")?.as_f64()?))
    };
    let verdicts = anomaly.get("detectors")?.as_array()?.iter().filter_map(verdict).collect();
    Some(FoundAnomaly {
        mark: Mark::read(document, anomaly, "/window/start", "/window/end")?,
        score: Score::clamped(anomaly.get("score")?.as_f64()?),
        verdicts,
    })
}
