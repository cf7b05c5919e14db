//! Letters as documents of the store.

use std::sync::Arc;

use super::{LetterPlace, WAITING_BYTES};
use crate::model::Letter;
use crate::sinks::SinkError;
use crate::sinks::store::{cut, json_bytes};
use crate::stores::{
    BulkItem, Document, DocumentId, Family, IndexName, Namespace, Store, StoreError,
};

/// Most letters in waiting.
const WAITING: usize = 256;

/// Creates letters by their ids: what was written before stays.
pub struct LetterIndex {
    store: Arc<dyn Store>,
    namespace: Namespace,
    waiting: Vec<Document>,
    bytes: usize,
}

impl LetterIndex {
    /// Returns the letters of `namespace` in `store`.
    pub fn new(store: Arc<dyn Store>, namespace: Namespace) -> Self {
        Self { store, namespace, waiting: Vec::new(), bytes: 0 }
    }
}

impl LetterPlace for LetterIndex {
    fn write(&mut self, letter: &Letter) -> Result<(), SinkError> {
        let index = IndexName::for_event(Family::DeadLetters, &self.namespace, letter.time);
        let id = DocumentId::new(letter.id.as_str()).map_err(|error| StoreError::Engine {
            action: "naming a dead letter".to_owned(),
            reason: error.to_string(),
        })?;
        let source = letter.document();
        self.bytes += json_bytes(&source);
        self.waiting.push(Document { index, id, source });
        let is_full = self.waiting.len() >= WAITING || self.bytes >= WAITING_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let outcome = self.store.bulk(self.waiting.clone())?;
        let mut busy = outcome.rejected().filter(|(_, _, retriable)| *retriable);
        let first = busy.next().map(|(_, reason, _)| (cut(reason), 1 + busy.count()));
        if let Some((reason, count)) = first {
            return Err(SinkError::Busy { count, reason });
        }
        self.bytes = 0;
        for (letter, item) in std::mem::take(&mut self.waiting).iter().zip(outcome.items) {
            // A letter about a letter would be refused as well.
            if let BulkItem::Rejected { reason, .. } = item {
                let (id, reason) = (letter.id.as_str(), cut(&reason));
                tracing::error!(id, reason, "the store refuses a dead letter: it is lost");
            }
        }
        Ok(())
    }
}
