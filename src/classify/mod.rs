//! Records of connections → what a learned model says about them → documents.
//!
//! ```text
//! bytes (JSON object | CSV row) ─record→ Model ─prediction, explanation→ document
//!                                  └ bad: named, dead-lettered
//! ```
//!
//! Pure: no clock, no I/O. The id of a document comes from the place of its record, so that a record
//! that is read again is stored once.

mod document;
mod record;
mod settings;

use crate::model::Timestamp;
use crate::models::drift::{Drift, DriftReport};
use crate::models::record::{Record, RowError};
use crate::models::{Model, Prediction, Scratch};
use crate::stores::{Document, Namespace};

pub use document::Place;
use document::prediction_document;
pub use record::{BadRecord, read_record};
pub use settings::{ClassifySettings, ModelName, ModelSettings, RetrainSettings};

/// Rows after which the counts for drift begin to fade.
const DRIFT_ROWS: u64 = 50_000;
/// Features that an explanation names.
pub const EXPLAINED: usize = 5;

/// A model in use under a name.
pub struct Classifier {
    name: String,
    /// The first digits of the SHA-256 of the model file.
    version: String,
    model: Model,
    scratch: Scratch,
    said: Prediction,
    drift: Drift,
    judged: u64,
    attacks: u64,
}

impl Classifier {
    /// Uses `model`, whose file has this SHA-256, under a name.
    pub fn new(name: &str, model: Model, sha256: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: sha256.chars().take(16).collect(),
            model,
            scratch: Scratch::default(),
            said: Prediction::default(),
            drift: Drift::default(),
            judged: 0,
            attacks: 0,
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The version in documents.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Reads a record as the model wants it.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub fn read(&self, bytes: &[u8]) -> Result<Record, BadRecord> {
        read_record(self.model.schema(), bytes)
    }

    /// Judges a record and counts it.
    pub fn judge(&mut self, record: &Record) -> &Prediction {
        self.model.predict_into(record, &mut self.scratch, &mut self.said);
        self.judged += 1;
        self.attacks += u64::from(self.said.is_attack);
        self.drift.note(&self.model, &self.scratch, &self.said);
        if self.drift.rows() >= DRIFT_ROWS {
            self.drift.fade();
        }
        &self.said
    }

    /// Judges a record that came from `place` at `time`, and returns the document.
    pub fn document(
        &mut self,
        record: &Record,
        place: &Place<'_>,
        time: Timestamp,
        namespace: &Namespace,
    ) -> Document {
        self.judge(record);
        let reasons = self.model.explain(record);
        let answer = document::Answer {
            name: &self.name,
            version: &self.version,
            model: &self.model,
            record,
            said: &self.said,
            reasons: &reasons[..reasons.len().min(EXPLAINED)],
        };
        prediction_document(&answer, place, time, namespace)
    }

    /// How many records were judged, and how many of them were called an attack.
    pub fn totals(&self) -> (u64, u64) {
        (self.judged, self.attacks)
    }

    /// How far what was read lately is from what the model was trained on.
    pub fn drift(&self) -> DriftReport {
        self.drift.report(&self.model)
    }
}

/// A row of a table that cannot be used is as bad as a message.
impl From<RowError> for BadRecord {
    fn from(error: RowError) -> Self {
        BadRecord::Row { column: error.column, reason: error.reason }
    }
}

#[cfg(test)]
mod tests;
