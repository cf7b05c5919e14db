//! Documents into a store, in bounded batches, idempotent on their ids.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;
use tracing::warn;

use crate::model::Timestamp;
use crate::stores::{
    BulkItem, BulkOutcome, Document as StoredDocument, DocumentId, Family, IndexName, Namespace,
    Store, StoreError, UpdateOutcome,
};

use super::{Dataset, DeadLetters, Document, Sink, SinkError};
use crate::testkit::crash;

/// Documents of one bulk call. A cluster cuts them into requests as it likes; a folder is synced
/// once per call, and 4,000 make that cheap.
const BATCH_DOCUMENTS: usize = 4_000;
/// Bytes of one bulk call, as JSON: some thousand documents of the usual size, and a bound on the
/// memory when they are larger.
const BATCH_BYTES: usize = 8 << 20;
/// How often an alert is read again when somebody else changed it meanwhile.
const UPDATE_ATTEMPTS: usize = 5;
/// Reasons of refusal that are kept for the end, and the length at which each is cut.
const REASONS: usize = 3;
const REASON_CHARACTERS: usize = 300;

/// Creates windows and anomalies; creates or updates alerts.
///
/// What was written before is a duplicate, and fine: the same input gives the same ids. Fields of an
/// alert that people set, or that follow what people decide, stay as they are, and an alert that
/// already says the same is not written.
///
/// Anomalies go before alerts: an alert never names one that is not there. A document that the store
/// refuses for good does not hold up the others; [`Self::verdict`] tells of it.
pub struct StoreSink {
    store: Arc<dyn Store>,
    namespace: Namespace,
    facts: Batch,
    alerts: Batch,
    refused: Refused,
    letters: DeadLetters,
}

/// Documents that the store refused for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// Why the first ones.
    pub reasons: Vec<String>,
}

/// Documents in waiting, each id once.
#[derive(Default)]
struct Batch {
    documents: Vec<StoredDocument>,
    /// Where each alert is, so that a later state takes the place of an earlier one.
    places: HashMap<DocumentId, usize>,
    bytes: usize,
}

impl StoreSink {
    /// Returns a sink into `store`.
    pub fn new(store: Arc<dyn Store>, namespace: Namespace) -> Self {
        Self {
            store,
            namespace,
            facts: Batch::default(),
            alerts: Batch::default(),
            refused: Refused::default(),
            letters: DeadLetters::discarded(),
        }
    }

    /// Hands documents that the store refuses for good on to `letters`.
    pub fn with_letters(mut self, letters: DeadLetters) -> Self {
        self.letters = letters;
        self
    }

    /// Tells whether the store took every document so far; ask after the last flush.
    ///
    /// # Errors
    /// [`SinkError::Refused`] when it did not.
    pub fn verdict(&self) -> Result<(), SinkError> {
        match self.refused.count {
            0 => Ok(()),
            _ => Err(SinkError::Refused(self.refused.clone())),
        }
    }

    fn send_facts(&mut self) -> Result<(), SinkError> {
        if self.facts.documents.is_empty() {
            return Ok(());
        }
        // They stay until the store has them: a flush that failed can be repeated.
        let outcome = self.create(self.facts.documents.clone())?;
        crash::point("facts");
        for (document, item) in self.facts.take().iter().zip(outcome.items) {
            if let BulkItem::Rejected { reason, .. } = item {
                self.note_refused(document, &reason)?;
            }
        }
        Ok(())
    }

    fn send_alerts(&mut self) -> Result<(), SinkError> {
        if self.alerts.documents.is_empty() {
            return Ok(());
        }
        let alerts = self.alerts.documents.clone();
        let outcome = self.create(alerts.clone())?;
        let mut refused = Vec::new();
        for (alert, item) in alerts.iter().zip(outcome.items) {
            let refusal = match item {
                BulkItem::Created => None,
                BulkItem::Duplicate => self.update_alert(alert)?,
                BulkItem::Rejected { reason, .. } => Some(reason),
            };
            refused.extend(refusal.map(|reason| (alert, reason)));
        }
        crash::point("alerts");
        self.alerts.take();
        for (alert, reason) in refused {
            self.note_refused(alert, &reason)?;
        }
        Ok(())
    }

    /// One bulk call. A document that may be taken later is an error: the caller repeats the whole
    /// input, and what was written is a duplicate then.
    fn create(&self, documents: Vec<StoredDocument>) -> Result<BulkOutcome, SinkError> {
        let outcome = self.store.bulk(documents)?;
        let mut busy = outcome.rejected().filter(|(_, _, retriable)| *retriable);
        let first = busy.next().map(|(_, reason, _)| (cut(reason), 1 + busy.count()));
        match first {
            None => Ok(outcome),
            Some((reason, count)) => Err(SinkError::Busy { count, reason }),
        }
    }

    /// Brings a stored alert up to date; returns why the store refuses to.
    fn update_alert(&self, alert: &StoredDocument) -> Result<Option<String>, SinkError> {
        let (index, id) = (&alert.index, &alert.id);
        for _ in 0..UPDATE_ATTEMPTS {
            let Some(stored) = self.store.get(index, id)? else { break };
            if is_further(&stored.source, &alert.source) {
                return Ok(None);
            }
            let partial = without_what_people_set(as_read_back(&alert.source), &stored.source);
            if says_already(&stored.source, &partial) {
                return Ok(None);
            }
            match self.store.update(index, id, partial, stored.version)? {
                UpdateOutcome::Updated(_) => return Ok(None),
                UpdateOutcome::Rejected { reason } => return Ok(Some(reason)),
                UpdateOutcome::Conflict | UpdateOutcome::Missing => {}
            }
        }
        Ok(Some("it kept changing while it was updated".to_owned()))
    }

    fn note_refused(&mut self, document: &StoredDocument, reason: &str) -> Result<(), SinkError> {
        let id = &document.id;
        self.refused.count += 1;
        if self.refused.reasons.len() < REASONS {
            let reason = cut(reason);
            warn!(id = id.as_str(), reason, "the store refuses a document");
            self.refused.reasons.push(format!("`{}`: {reason}", id.as_str()));
        }
        self.letters.write_refused(document, reason)
    }
}

impl Batch {
    fn push(&mut self, document: StoredDocument) {
        self.bytes += json_bytes(&document.source);
        self.documents.push(document);
    }

    /// Takes the place of an earlier state of the same document.
    fn push_latest(&mut self, document: StoredDocument) {
        if let Some(&place) = self.places.get(&document.id) {
            self.bytes += json_bytes(&document.source);
            self.bytes -= json_bytes(&self.documents[place].source);
            self.documents[place] = document;
            return;
        }
        self.places.insert(document.id.clone(), self.documents.len());
        self.push(document);
    }

    fn is_full(&self) -> bool {
        self.documents.len() >= BATCH_DOCUMENTS || self.bytes >= BATCH_BYTES
    }

    fn take(&mut self) -> Vec<StoredDocument> {
        std::mem::take(self).documents
    }
}

impl Sink for StoreSink {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        let index =
            IndexName::for_event(family_of(document.dataset), &self.namespace, document.time());
        let id = DocumentId::new(document.id()).map_err(|error| StoreError::Engine {
            action: "naming a document".to_owned(),
            reason: error.to_string(),
        })?;
        let stored = StoredDocument { index, id, source: document.body.clone() };
        if document.dataset == Dataset::Alert {
            self.alerts.push_latest(stored);
            return if self.alerts.is_full() { self.flush() } else { Ok(()) };
        }
        self.facts.push(stored);
        if self.facts.is_full() { self.send_facts() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.send_facts()?;
        self.send_alerts()?;
        // The position is kept after this: what was refused must not be lost then.
        self.letters.flush()
    }
}

const fn family_of(dataset: Dataset) -> Family {
    match dataset {
        Dataset::Window => Family::Windows,
        Dataset::Anomaly => Family::Anomalies,
        Dataset::Alert => Family::Alerts,
    }
}

/// Whether the stored state of an alert comes after `ours`: a replay, or a worker that was thought
/// dead, never takes an alert back to what it was.
fn is_further(stored: &Value, ours: &Value) -> bool {
    let progress = |alert: &Value| {
        let alert = &alert["flowsentry"]["alert"];
        let last: Timestamp = alert["last"].as_str()?.parse().ok()?;
        Some((last, alert["count"].as_u64()?, alert["status"] == "closed"))
    };
    progress(stored) > progress(ours)
}

/// Leaves out what follows the exceptions from the creation on (`triage`), and the status when a
/// person has taken the alert over.
fn without_what_people_set(mut source: Value, stored: &Value) -> Value {
    let status = stored.pointer("/flowsentry/alert/status").and_then(Value::as_str);
    if let Some(alert) = source.pointer_mut("/flowsentry/alert").and_then(Value::as_object_mut) {
        alert.remove("suppressed_by");
        if status == Some("acknowledged") {
            alert.remove("status");
        }
    }
    source
}

/// The document as a store gives it back: numbers that went through text may differ in their last
/// bit from those that did not.
fn as_read_back(source: &Value) -> Value {
    serde_json::from_str(&source.to_string()).expect("what was written as JSON reads as JSON")
}

/// Whether merging `partial` into `stored` would change nothing.
fn says_already(stored: &Value, partial: &Value) -> bool {
    match (stored, partial) {
        (Value::Object(stored), Value::Object(partial)) => partial
            .iter()
            .all(|(key, value)| stored.get(key).is_some_and(|stored| says_already(stored, value))),
        (stored, partial) => stored == partial,
    }
}

/// The length of a document as JSON, without writing it.
pub(super) fn json_bytes(source: &Value) -> usize {
    struct Counter(usize);

    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, source).expect("counting does not fail");
    counter.0
}

/// A reason of the store for a message: bounded, and harmless to a terminal.
pub(super) fn cut(reason: &str) -> String {
    super::printable(&reason.chars().take(REASON_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests;
