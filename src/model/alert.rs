//! An alert: work for a person, folded from anomalies.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    FeatureEvidence, FlowEvidence, Kind, SampledCounts, Score, ServicePort, Severity, Subject,
    Timestamp, document_id,
};

/// Anomalies of one kind and one subject over consecutive windows, with a life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What.
    pub kind: Kind,
    /// Who.
    pub subject: Subject,
    /// Where it stands.
    pub status: AlertStatus,
    /// Start of the first window.
    pub first: Timestamp,
    /// End of the last window.
    pub last: Timestamp,
    /// How many anomalies were folded in.
    pub count: u64,
    /// Ids of the anomalies, oldest first, at most [`Alert::MAX_ANOMALY_IDS`].
    pub anomaly_ids: Vec<String>,
    /// Score of the worst window.
    pub score: Score,
    /// Sentence of the worst window.
    pub sentence: String,
    /// Features of the worst window.
    pub features: Vec<FeatureEvidence>,
    /// Other hosts of all windows, at most [`Alert::MAX_RELATED`].
    pub related: Vec<IpAddr>,
    /// Services of the worst window.
    #[serde(default)]
    pub services: Vec<ServicePort>,
    /// Largest flows of the worst window.
    #[serde(default)]
    pub flows: Vec<FlowEvidence>,
    /// Where the counts of the worst window stand on sampled packets.
    #[serde(default)]
    pub sampled: Option<SampledCounts>,
    /// The exception that covers the alert, in words; such an alert asks nobody for attention.
    pub suppressed_by: Option<String>,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// Still folding, nobody has looked.
    Open,
    /// Somebody looks at it.
    Acknowledged,
    /// No anomaly for longer than the gap, or closed by a person.
    Closed,
}

impl AlertStatus {
    /// The word in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

impl Alert {
    /// How many anomaly ids an alert keeps; `count` goes on.
    pub const MAX_ANOMALY_IDS: usize = 100;
    /// How many other hosts an alert names.
    pub const MAX_RELATED: usize = 20;

    /// The id: a function of kind, subject and first window.
    pub fn id(&self) -> String {
        document_id(&[
            "alert",
            self.kind.name(),
            self.subject.subject_type().name(),
            &self.subject.to_string(),
            &self.first.nanos().to_string(),
        ])
    }

    /// The line to paste under `alerts.exceptions:` when this alert is harmless.
    pub fn exception_line(&self) -> String {
        let scope = self
            .scope()
            .into_iter()
            .fold(String::new(), |text, (end, ip)| format!("{text}, {end}: \"{ip}\""));
        format!("- {{kind: {}{scope}, owner: \"\", comment: \"\"}}", self.kind)
    }

    /// The command that excepts what is like this alert, to paste into a shell. Made of words of ours,
    /// digits, dots and colons alone: nothing that a shell reads otherwise.
    pub fn exception_command(&self) -> String {
        let scope = self
            .scope()
            .into_iter()
            .fold(String::new(), |text, (end, ip)| format!("{text} --{end} {ip}"));
        format!(
            "flowsentry exception add --kind {}{scope} --until 90d --owner \"$USER\" --comment \
             \"known and harmless\"",
            self.kind
        )
    }

    /// The ends of the subject, by their names in exceptions.
    fn scope(&self) -> Vec<(&'static str, String)> {
        match self.subject {
            Subject::Network => Vec::new(),
            Subject::Exporter(ip) => vec![("exporter", ip.to_string())],
            Subject::Source(ip) => vec![("source", ip.to_string())],
            Subject::Destination(ip) => vec![("destination", ip.to_string())],
            Subject::Pair(from, to) => {
                vec![("source", from.to_string()), ("destination", to.to_string())]
            }
            Subject::Prefix(..) => vec![("destination", self.subject.to_string())],
        }
    }

    /// The word for the score of the worst window.
    pub fn severity(&self) -> Severity {
        self.score.severity()
    }
}
