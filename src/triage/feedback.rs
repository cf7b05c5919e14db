//! Feedback as documents: one per version, created once, reverted by compare-and-set.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::record::{Case, subject_of};
use super::{ATTEMPTS, Desk, MOST_ENTRIES, Signed, TriageError, document_id};
use crate::alerts::{Feedback, Verdict};
use crate::model::{Kind, Score, Subject, Timestamp, one_line};
use crate::stores::{BulkItem, StoreError};

/// `event.dataset` of these documents.
pub(super) const DATASET: &str = "flowsentry.feedback";

/// What a person said of an alert or anomaly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GivenFeedback {
    /// Counts from 1; later ones go before earlier ones of the same kind and subject.
    pub version: u64,
    /// What was said.
    pub verdict: Verdict,
    /// The id of the alert or anomaly.
    pub of: String,
    /// Of what kind.
    pub kind: Kind,
    /// The type of its subject.
    pub subject_type: String,
    /// Its subject.
    pub subject: String,
    /// Its score.
    pub score: f64,
    /// Who says so.
    pub owner: String,
    /// Why.
    pub comment: String,
    /// When.
    pub at: Timestamp,
    /// By which account.
    pub by: String,
    /// When it was taken back.
    pub reverted: Option<Timestamp>,
    /// By which account.
    pub reverted_by: Option<String>,
}

impl GivenFeedback {
    pub(super) fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }

    /// Of whom; `None` when this version does not know such subjects.
    pub fn about(&self) -> Option<Subject> {
        subject_of(&self.subject_type, &self.subject)
    }

    /// What thresholds follow from; `None` when it was taken back.
    pub fn counting(&self) -> Option<Feedback> {
        let subject = self.about()?;
        let counts = self.reverted.is_none();
        counts.then_some(Feedback {
            version: self.version,
            verdict: self.verdict,
            kind: self.kind,
            subject,
            score: Score::clamped(self.score),
        })
    }

    fn document_id(version: u64) -> String {
        format!("feedback-{version:08}")
    }

    fn document(&self) -> Value {
        json!({
            "@timestamp": self.at,
            "event": {
                "id": Self::document_id(self.version), "kind": "state", "module": "flowsentry",
                "dataset": DATASET, "created": self.at,
            },
            "flowsentry": {"feedback": self},
        })
    }
}

impl Desk {
    /// All feedback, reverted too, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn feedback(&self) -> Result<Vec<GivenFeedback>, StoreError> {
        let mut given = self.entries()?.1;
        given.sort_by_key(|entry| entry.version);
        Ok(given)
    }

    /// Writes down what a person says of `case`, and in the alert that it was said.
    ///
    /// # Errors
    /// When the store fails or refuses it.
    pub fn give_feedback(
        &self,
        case: &Case,
        verdict: Verdict,
        signed: Signed,
    ) -> Result<GivenFeedback, TriageError> {
        let Signed { owner, comment, by, at } = signed.cleaned();
        let subject = case.subject();
        let mut entry = GivenFeedback {
            version: 0,
            verdict,
            of: case.id().to_owned(),
            kind: case.kind(),
            subject_type: subject.subject_type().name().to_owned(),
            subject: subject.to_string(),
            score: case.score(),
            owner,
            comment,
            at,
            by,
            reverted: None,
            reverted_by: None,
        };
        for _ in 0..ATTEMPTS {
            let given = self.feedback()?;
            if given.len() >= MOST_ENTRIES / 2 {
                let problem = format!("there are {} entries of feedback already", given.len());
                return Err(TriageError::Refused(problem));
            }
            entry.version = given.last().map_or(0, |last| last.version) + 1;
            let id = document_id(&GivenFeedback::document_id(entry.version), "feedback")?;
            match self.store.create(self.entry_document(id, entry.document()))? {
                BulkItem::Created => {
                    self.tell_alert(&entry.of)?;
                    return Ok(entry);
                }
                // Somebody else took the number.
                BulkItem::Duplicate => {}
                BulkItem::Rejected { reason, .. } => return Err(TriageError::Refused(reason)),
            }
        }
        Err(TriageError::Busy(entry.of))
    }

    /// Takes the feedback of a version back; it stays in the list.
    ///
    /// # Errors
    /// When there is none that counts with this version, or the store fails.
    pub fn revert_feedback(
        &self,
        version: u64,
        by: &str,
        at: Timestamp,
    ) -> Result<GivenFeedback, TriageError> {
        let id = document_id(&GivenFeedback::document_id(version), "feedback")?;
        let mut reverted = None;
        self.change(&self.index_of_entries(), &id, "feedback", |source| {
            let Some(mut entry) = GivenFeedback::read(&source["flowsentry"]["feedback"]) else {
                let problem = format!("the feedback {version} cannot be read by this version");
                return Err(TriageError::Refused(problem));
            };
            if let Some(time) = entry.reverted {
                let problem = format!("the feedback {version} was taken back at {time}");
                return Err(TriageError::Refused(problem));
            }
            entry.reverted = Some(at);
            entry.reverted_by = Some(one_line(by, super::OWNER_CHARACTERS));
            let document = entry.document();
            reverted = Some(entry);
            Ok(Some(document))
        })?;
        let reverted = reverted.ok_or_else(|| TriageError::Busy(version.to_string()))?;
        self.tell_alert(&reverted.of)?;
        Ok(reverted)
    }

    /// Writes into an alert what is said of it: the latest feedback that counts, or nothing. Of an
    /// anomaly nothing is written: it is a fact.
    fn tell_alert(&self, id: &str) -> Result<(), TriageError> {
        let Some(Case::Alert(alert)) = self.find(id)? else { return Ok(()) };
        let document = document_id(id, "alert")?;
        self.change(&alert.index, &document, "alert", |stored| {
            let given = self.feedback()?;
            let latest = given.iter().rfind(|entry| entry.of == id && entry.reverted.is_none());
            let wanted = latest.map_or(Value::Null, |entry| json!(entry.verdict));
            let is_said = stored["flowsentry"]["alert"]["feedback"] == wanted;
            Ok((!is_said).then(|| json!({"flowsentry": {"alert": {"feedback": wanted}}})))
        })?;
        Ok(())
    }
}
