//! Documents into a store, in bounded batches, idempotent on their ids.

use std::sync::Arc;

use serde_json::Value;

use crate::stores::{
    BulkItem, Document as StoredDocument, DocumentId, Family, IndexName, Namespace, Store,
    StoreError, UpdateOutcome,
};

use super::{Dataset, Document, Sink, SinkError};

/// Documents of one bulk call: about half a megabyte.
const BATCH_DOCUMENTS: usize = 1_000;
/// How often an alert is read again when somebody else changed it meanwhile.
const UPDATE_ATTEMPTS: usize = 5;

/// Creates windows and anomalies; creates or updates alerts.
///
/// What was written before is a duplicate, and fine: the same input gives the same ids. Fields of an
/// alert that people set stay as they are.
pub struct StoreSink {
    store: Arc<dyn Store>,
    namespace: Namespace,
    waiting: Vec<StoredDocument>,
}

impl StoreSink {
    /// Returns a sink into `store`.
    pub fn new(store: Arc<dyn Store>, namespace: Namespace) -> Self {
        Self { store, namespace, waiting: Vec::new() }
    }

    fn send(&mut self) -> Result<(), SinkError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let outcome = self.store.bulk(std::mem::take(&mut self.waiting))?;
        refuse(&outcome.items)
    }

    fn write_alert(&self, document: StoredDocument) -> Result<(), SinkError> {
        let (index, id, source) =
            (document.index.clone(), document.id.clone(), document.source.clone());
        let outcome = self.store.bulk(vec![document])?;
        if outcome.duplicates() == 0 {
            return refuse(&outcome.items);
        }
        for _ in 0..UPDATE_ATTEMPTS {
            let Some(stored) = self.store.get(&index, &id)? else { break };
            let partial = without_what_people_set(source.clone(), &stored.source);
            match self.store.update(&index, &id, partial, stored.version)? {
                UpdateOutcome::Updated(_) => return Ok(()),
                UpdateOutcome::Rejected { reason } => {
                    return Err(SinkError::Refused { count: 1, reason });
                }
                UpdateOutcome::Conflict | UpdateOutcome::Missing => {}
            }
        }
        let reason = format!("alert `{}` kept changing while it was updated", id.as_str());
        Err(SinkError::Refused { count: 1, reason })
    }
}

/// Leaves out the status when a person has taken the alert over.
fn without_what_people_set(mut source: Value, stored: &Value) -> Value {
    let status = stored.pointer("/flowsentry/alert/status").and_then(Value::as_str);
    if status == Some("acknowledged")
        && let Some(alert) = source.pointer_mut("/flowsentry/alert").and_then(Value::as_object_mut)
    {
        alert.remove("status");
    }
    source
}

fn refuse(items: &[BulkItem]) -> Result<(), SinkError> {
    let reasons: Vec<&str> = items
        .iter()
        .filter_map(|item| match item {
            BulkItem::Rejected { reason, .. } => Some(reason.as_str()),
            BulkItem::Created | BulkItem::Duplicate => None,
        })
        .collect();
    match reasons.first() {
        None => Ok(()),
        Some(&first) => Err(SinkError::Refused { count: reasons.len(), reason: first.to_owned() }),
    }
}

const fn family_of(dataset: Dataset) -> Family {
    match dataset {
        Dataset::Window => Family::Windows,
        Dataset::Anomaly => Family::Anomalies,
        Dataset::Alert => Family::Alerts,
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
            // Anomalies go first: an alert never names one that is not there.
            self.send()?;
            return self.write_alert(stored);
        }
        self.waiting.push(stored);
        if self.waiting.len() >= BATCH_DOCUMENTS { self.send() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.send()
    }
}
