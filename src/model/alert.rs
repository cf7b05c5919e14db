//! An alert: work for a person, folded from anomalies.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{FeatureEvidence, Kind, Score, Severity, Subject, Timestamp, document_id};

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
        let mut scope = format!("kind: {}", self.kind);
        for (end, ip) in
            [("source", self.subject.source_ip()), ("destination", self.subject.destination_ip())]
        {
            if let Some(ip) = ip {
                scope.push_str(&format!(", {end}: \"{ip}\""));
            }
        }
        format!("- {{{scope}, owner: \"\", comment: \"\"}}")
    }

    /// The word for the score of the worst window.
    pub fn severity(&self) -> Severity {
        self.score.severity()
    }
}
