//! Alerts and anomalies as they are read back from documents.

use serde_json::Value;

use super::{Desk, TriageError, document_id};
use crate::model::{AlertStatus, Kind, Score, Severity, Subject, SubjectType, Timestamp};
use crate::stores::{Family, Filter, Hit, IndexName, SourceFields};

/// What exceptions and feedback need of a stored alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// Where it is.
    pub index: IndexName,
    /// Its id.
    pub id: String,
    /// What.
    pub kind: Kind,
    /// Who.
    pub subject: Subject,
    /// Start of the first window.
    pub first: Timestamp,
    /// End of the last window.
    pub last: Timestamp,
    /// Score of the worst window.
    pub score: f64,
    /// How many anomalies were folded in.
    pub count: u64,
    /// Where it stands.
    pub status: String,
    /// The exception that hides it, in words.
    pub suppressed_by: Option<String>,
}

/// What exceptions and feedback need of a stored anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyRecord {
    /// Its id.
    pub id: String,
    /// Who.
    pub subject: Subject,
    /// Start of its window.
    pub start: Timestamp,
    /// End of its window.
    pub end: Timestamp,
    /// Length of its window in seconds.
    pub seconds: u32,
    /// Its kinds, worst first, each with the score that it has alone; never empty.
    pub kinds: Vec<(Kind, f64)>,
}

/// Something that people can say a word about.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// Work.
    Alert(AlertRecord),
    /// A fact.
    Anomaly(AnomalyRecord),
}

impl Case {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Alert(alert) => &alert.id,
            Self::Anomaly(anomaly) => &anomaly.id,
        }
    }

    /// What: of an anomaly the kind whose alerts it folds into, else its worst.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Alert(alert) => alert.kind,
            Self::Anomaly(anomaly) => anomaly.main_kind().0,
        }
    }

    /// Who.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Alert(alert) => alert.subject,
            Self::Anomaly(anomaly) => anomaly.subject,
        }
    }

    /// The score, from 0 to 100, of its kind.
    pub fn score(&self) -> f64 {
        match self {
            Self::Alert(alert) => alert.score,
            Self::Anomaly(anomaly) => anomaly.main_kind().1,
        }
    }
}

impl AlertRecord {
    /// The parts of a document that are read.
    pub(super) fn fields() -> SourceFields {
        let fields =
            ["kind", "subject", "first", "last", "score", "count", "status", "suppressed_by"];
        SourceFields::Only(fields.map(|field| format!("flowsentry.alert.{field}")).to_vec())
    }

    /// `None` when it is no alert that this version knows.
    pub(super) fn read(hit: &Hit) -> Option<Self> {
        let alert = &hit.source["flowsentry"]["alert"];
        Some(Self {
            index: hit.index.clone(),
            id: hit.id.to_string(),
            kind: Kind::parse(alert["kind"].as_str()?)?,
            subject: subject_in(alert)?,
            first: time(&alert["first"])?,
            last: time(&alert["last"])?,
            score: alert["score"].as_f64()?,
            count: alert["count"].as_u64().unwrap_or_default(),
            status: alert["status"].as_str().unwrap_or_default().to_owned(),
            suppressed_by: alert["suppressed_by"].as_str().map(str::to_owned),
        })
    }

    /// The word for its score.
    pub fn severity(&self) -> Severity {
        Score::clamped(self.score).severity()
    }

    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.status != AlertStatus::Closed.name()
    }
}

impl AnomalyRecord {
    fn read(hit: &Hit) -> Option<Self> {
        let anomaly = &hit.source["flowsentry"]["anomaly"];
        let (subject, window) = (subject_in(anomaly)?, &anomaly["window"]);
        let words = anomaly["kinds"].as_array()?.iter();
        let kinds: Vec<(Kind, f64)> = words
            .filter_map(|word| Kind::parse(word.as_str()?))
            .map(|kind| (kind, score_of(kind, anomaly)))
            .collect();
        (!kinds.is_empty()).then_some(())?;
        Some(Self {
            id: hit.id.to_string(),
            subject,
            start: time(&window["start"])?,
            end: time(&window["end"])?,
            seconds: window["seconds"].as_u64()?.try_into().ok()?,
            kinds,
        })
    }

    fn main_kind(&self) -> (Kind, f64) {
        let folds = self.kinds.iter().find(|(kind, _)| self.folds_into(*kind));
        // There is one: that is checked when it is read.
        folds.or(self.kinds.first()).copied().unwrap_or((Kind::ALL[0], 0.0))
    }

    /// Whether alerts of `kind` are about such subjects and windows.
    pub(super) fn folds_into(&self, kind: Kind) -> bool {
        kind.subject_type() == self.subject.subject_type() && kind.window_seconds() == self.seconds
    }
}

impl Desk {
    /// Finds the alert or the anomaly of an id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn find(&self, id: &str) -> Result<Option<Case>, TriageError> {
        let id = document_id(id, "alert or anomaly")?;
        for family in [Family::Alerts, Family::Anomalies] {
            let request = self.request(family).filter(Filter::Ids(vec![id.clone()])).size(1);
            let Some(hit) = self.store.search(&request)?.hits.into_iter().next() else { continue };
            let case = match family {
                Family::Alerts => AlertRecord::read(&hit).map(Case::Alert),
                _ => AnomalyRecord::read(&hit).map(Case::Anomaly),
            };
            return match case {
                Some(case) => Ok(Some(case)),
                None => {
                    let problem =
                        format!("`{}` cannot be read by this version", super::shown(id.as_str()));
                    Err(TriageError::Refused(problem))
                }
            };
        }
        Ok(None)
    }
}

/// The score that the findings of `kind` alone give.
fn score_of(kind: Kind, anomaly: &Value) -> f64 {
    let detectors = anomaly["detectors"].as_array().into_iter().flatten();
    let of_kind = detectors.filter(|verdict| verdict["kind"] == kind.name());
    of_kind.filter_map(|verdict| verdict["score"].as_f64()).fold(0.0, f64::max)
}

fn subject_in(value: &Value) -> Option<Subject> {
    let subject = &value["subject"];
    subject_of(subject["type"].as_str()?, subject["value"].as_str()?)
}

/// Reads a subject from the words of documents: its type, and its value as it is displayed.
pub(super) fn subject_of(subject_type: &str, value: &str) -> Option<Subject> {
    let subject_type = serde_json::from_value(Value::String(subject_type.to_owned())).ok()?;
    Some(match subject_type {
        SubjectType::Network => Subject::Network,
        SubjectType::Exporter => Subject::Exporter(value.parse().ok()?),
        SubjectType::Source => Subject::Source(value.parse().ok()?),
        SubjectType::Destination => Subject::Destination(value.parse().ok()?),
        SubjectType::Pair => {
            let (from, to) = value.split_once('>')?;
            Subject::Pair(from.parse().ok()?, to.parse().ok()?)
        }
        SubjectType::Prefix => {
            let (ip, bits) = value.split_once('/')?;
            Subject::Prefix(ip.parse().ok()?, bits.parse().ok()?)
        }
    })
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::ip;

    #[test]
    fn every_subject_is_read_as_it_is_written() {
        for subject in [
            Subject::Network,
            Subject::Exporter(ip("192.0.2.1")),
            Subject::Source(ip("::ffff:10.0.0.1")),
            Subject::Destination(ip("fd00::1")),
            Subject::Pair(ip("10.0.0.1"), ip("fd00::1")),
        ] {
            let (name, value) = (subject.subject_type().name(), subject.to_string());
            assert_eq!(subject_of(name, &value), Some(subject));
        }
        assert_eq!(subject_of("source", "nobody"), None);
        assert_eq!(subject_of("other", "10.0.0.1"), None);
        assert_eq!(subject_of("pair", "10.0.0.1"), None);
    }
}
