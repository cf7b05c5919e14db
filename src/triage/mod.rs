//! What people say about alerts, kept in the store: exceptions and feedback, and what they do to
//! alerts that are stored already.
//!
//! ```text
//! exception add/remove → document → rules → alerts of the past (by compare-and-set)
//! feedback             → document → rules, and the alert's `feedback`
//! run                  → reads the documents every so often → rules for the next window
//! ```
//!
//! Whose field is whose: everything of an alert document is the folding worker's, but for
//! `feedback`, `owner` and an acknowledged `status`, which are people's, and `suppressed_by`: the
//! worker writes it when it creates the alert, and never again; from then on it follows the
//! exceptions, whoever applies them ([`Desk::apply`]).

mod exceptions;
mod feedback;
mod past;
mod record;
mod why;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use crate::alerts::{Rules, Settings};
use crate::model::{Timestamp, one_line};
use crate::stores::{
    Document, DocumentId, Family, Filter, Hit, IndexName, Namespace, SearchRequest, Sort, Store,
    StoreError, UpdateOutcome, Version,
};

pub use exceptions::{StoredException, scope_id};
pub use feedback::GivenFeedback;
pub use past::{Applied, DryRun, Reach};
pub use record::{AlertRecord, AnomalyRecord, Case};
pub use why::Known;

/// How often a document is read again when somebody else changed it meanwhile.
const ATTEMPTS: usize = 5;
/// Documents that are read at a time.
const PAGE: usize = 1_000;
/// The longest owner and comment, in characters.
const OWNER_CHARACTERS: usize = 100;
const COMMENT_CHARACTERS: usize = 500;
/// Exceptions and feedback together; more cannot be judged by with every window.
const MOST_ENTRIES: usize = 20_000;

/// Why something cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such thing.
    #[error("there is no {what} `{id}` in this namespace")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// It cannot be done.
    #[error("{0}")]
    Refused(String),
    /// Others were faster again and again.
    #[error("`{0}` kept changing while it was written; try again")]
    Busy(String),
}

/// Who says something, why, and when.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub comment: String,
    /// The account that wrote it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Signed {
    /// Returns it with one line each, of bounded length, that steers no terminal.
    pub fn cleaned(self) -> Self {
        Self {
            owner: one_line(&self.owner, OWNER_CHARACTERS),
            comment: one_line(&self.comment, COMMENT_CHARACTERS),
            by: one_line(&self.by, OWNER_CHARACTERS),
            at: self.at,
        }
    }
}

/// Exceptions, feedback and alerts of one namespace.
#[derive(Clone)]
pub struct Desk {
    store: Arc<dyn Store>,
    namespace: Namespace,
}

impl Desk {
    /// Returns the desk of a namespace.
    pub fn new(store: Arc<dyn Store>, namespace: Namespace) -> Self {
        Self { store, namespace }
    }

    /// Returns what is in force now: the exceptions of the settings and of the store, and the
    /// feedback that counts.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rules(&self, settings: &Settings) -> Result<Rules, StoreError> {
        let (exceptions, feedback) = self.entries()?;
        let enabled = exceptions.iter().filter(|stored| stored.enabled);
        let named = enabled.map(|stored| (stored.id.as_str(), &stored.exception));
        let counting: Vec<_> = feedback.iter().filter_map(GivenFeedback::counting).collect();
        Ok(Rules::new(settings, named, &counting))
    }

    /// Everything that people wrote, by id. What cannot be read (a newer version wrote it) is left
    /// out, and told in the log.
    fn entries(&self) -> Result<(Vec<StoredException>, Vec<GivenFeedback>), StoreError> {
        let datasets = [exceptions::DATASET, feedback::DATASET];
        let request = self
            .request(Family::Exceptions)
            .filter(Filter::terms("event.dataset", datasets))
            .sort(Sort::ascending("event.id"));
        let (mut exceptions, mut given) = (Vec::new(), Vec::new());
        self.each_page(request, &mut |hits| {
            for hit in hits {
                let flowsentry = &hit.source["flowsentry"];
                if let Some(exception) = StoredException::read(&flowsentry["exception"]) {
                    exceptions.push(exception);
                } else if let Some(feedback) = GivenFeedback::read(&flowsentry["feedback"]) {
                    given.push(feedback);
                } else {
                    tracing::warn!(id = shown(hit.id.as_str()), "no exception, no feedback");
                }
            }
            match exceptions.len() + given.len() < MOST_ENTRIES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok((exceptions, given))
    }

    fn request(&self, family: Family) -> SearchRequest {
        SearchRequest::new(family, self.namespace.clone())
    }

    /// Hands all hits to `each`, page by page, until it breaks. Not as a scan, which costs more
    /// requests and, on OpenSearch, a privilege: what is sorted by here never changes.
    fn each_page(
        &self,
        request: SearchRequest,
        each: &mut dyn FnMut(Vec<Hit>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut request = request.size(PAGE);
        loop {
            let hits = self.store.search(&request)?.hits;
            request.search_after = hits.last().map(|hit| hit.sort.clone());
            let is_last = hits.len() < PAGE;
            if each(hits).is_break() || is_last {
                return Ok(());
            }
        }
    }

    fn index_of_entries(&self) -> IndexName {
        IndexName::for_event(Family::Exceptions, &self.namespace, Timestamp::default())
    }

    /// Changes a document by what `change` makes of it, whoever else writes it; nothing when that is
    /// `None`. Returns whether something was changed.
    fn change(
        &self,
        index: &IndexName,
        id: &DocumentId,
        what: &'static str,
        mut change: impl FnMut(&Value) -> Result<Option<Value>, TriageError>,
    ) -> Result<bool, TriageError> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.store.get(index, id)? else {
                return Err(TriageError::Unknown { what, id: shown(id.as_str()) });
            };
            let Some(partial) = change(&stored.source)? else { return Ok(false) };
            if self.try_update(index, id, partial, stored.version)? {
                return Ok(true);
            }
        }
        Err(TriageError::Busy(shown(id.as_str())))
    }

    /// Whether the document still had this version.
    fn try_update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        partial: Value,
        version: Version,
    ) -> Result<bool, TriageError> {
        match self.store.update(index, id, partial, version)? {
            UpdateOutcome::Updated(_) => Ok(true),
            UpdateOutcome::Conflict | UpdateOutcome::Missing => Ok(false),
            UpdateOutcome::Rejected { reason } => Err(TriageError::Refused(reason)),
        }
    }

    fn entry_document(&self, id: DocumentId, source: Value) -> Document {
        Document { index: self.index_of_entries(), id, source }
    }
}

/// What a person typed, for a message.
fn shown(text: &str) -> String {
    one_line(text, 64)
}

fn document_id(text: &str, what: &'static str) -> Result<DocumentId, TriageError> {
    DocumentId::new(text).map_err(|_| TriageError::Unknown { what, id: shown(text) })
}

#[cfg(test)]
mod tests;
