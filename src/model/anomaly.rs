//! An anomaly: a fact about one subject in one window, written once, never changed.

use std::net::IpAddr;

use super::{
    FeatureEvidence, FlowEvidence, Kind, SampledCounts, Score, ServicePort, Severity, Subject,
    WindowSpan, document_id,
};

/// A fact: this subject was abnormal in this window, and why. A function of the flows, the settings
/// and the starting snapshot alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// When.
    pub window: WindowSpan,
    /// Who.
    pub subject: Subject,
    /// What, worst first; never empty, no repeats.
    pub kinds: Vec<Kind>,
    /// How abnormal, all detectors together.
    pub score: Score,
    /// How sure, from 0 to 1: grows with independent detectors that agree.
    pub confidence: f64,
    /// Combined probability, in (0, 1], of this in ordinary traffic.
    pub probability: f64,
    /// Who said so, most extreme first.
    pub detectors: Vec<DetectorVerdict>,
    /// The numbers behind it, most telling first; one per name.
    pub features: Vec<FeatureEvidence>,
    /// One clause per finding, worst first.
    pub reasons: Vec<String>,
    /// One sentence for a person.
    pub sentence: String,
    /// Other hosts involved, most involved first.
    pub related: Vec<IpAddr>,
    /// The services that it is about, those of the worst finding first; empty when it is about no
    /// particular one.
    pub services: Vec<ServicePort>,
    /// The largest flows behind it, at most [`Anomaly::MAX_FLOWS`].
    pub flows: Vec<FlowEvidence>,
    /// Where its counts stand on sampled packets.
    pub sampled: Option<SampledCounts>,
}

/// One detector's part in an anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorVerdict {
    /// The detector's id.
    pub id: &'static str,
    /// The kind it found.
    pub kind: Kind,
    /// Its own score, within the kind's range.
    pub score: Score,
    /// Its calibrated tail probability.
    pub probability: f64,
}

impl Anomaly {
    /// How many flows an anomaly shows.
    pub const MAX_FLOWS: usize = 5;

    /// The id: a function of window and subject, so that the same input writes the same document.
    pub fn id(&self) -> String {
        document_id(&[
            "anomaly",
            &self.window.start.nanos().to_string(),
            &self.window.seconds.to_string(),
            self.subject.subject_type().name(),
            &self.subject.to_string(),
        ])
    }

    /// The word for the score.
    pub fn severity(&self) -> Severity {
        self.score.severity()
    }

    /// The score that the findings of `kind` alone give; 0 when the anomaly is not of that kind.
    pub fn score_of(&self, kind: Kind) -> Score {
        let scores = self.detectors.iter().filter(|verdict| verdict.kind == kind);
        scores.map(|verdict| verdict.score).fold(Score::default(), |a, b| if b > a { b } else { a })
    }
}
