//! What workers leave word of: one document each, replaced whenever they say something new.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::pipeline::Scope;
use crate::model::{Timestamp, hex};
use crate::stores::{
    BulkItem, Document, DocumentId, Family, Filter, IndexName, Namespace, SearchRequest, Sort,
    Store, StoreError, UpdateOutcome,
};

/// How many workers are looked at; far more than there are.
const MOST_WORKERS: usize = 100;

/// One worker's word.
pub(super) struct Word<'w> {
    /// What it is about.
    pub kind: &'static str,
    /// A name of the worker that stays over restarts.
    pub worker: &'w str,
    /// When it is said.
    pub at: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
}

/// Writes down what a worker says; what it said before is replaced.
///
/// # Errors
/// When the store fails. A document that is refused, or that somebody else has just written, is
/// left: the next one comes.
pub(super) fn tell(
    store: &dyn Store,
    namespace: &Namespace,
    word: &Word<'_>,
    facts: Value,
) -> Result<(), StoreError> {
    let index = IndexName::for_event(Family::State, namespace, word.at);
    let digest = hex(&Sha256::digest(word.worker)[..12]);
    let id = DocumentId::new(format!("{}-{digest}", word.kind)).expect("short and plain");
    let mut state = json!({ "kind": word.kind, "owner": word.worker, "expires": word.expires });
    state[word.kind] = facts;
    let source = json!({ "@timestamp": word.at, "flowsentry": { "state": state } });
    let document = Document { index: index.clone(), id: id.clone(), source: source.clone() };
    match store.create(document)? {
        BulkItem::Created | BulkItem::Rejected { .. } => return Ok(()),
        BulkItem::Duplicate => {}
    }
    let Some(stored) = store.get(&index, &id)? else { return Ok(()) };
    match store.update(&index, &id, source, stored.version)? {
        UpdateOutcome::Updated(_)
        | UpdateOutcome::Conflict
        | UpdateOutcome::Missing
        | UpdateOutcome::Rejected { .. } => Ok(()),
    }
}

/// What workers say about `kind` that still holds.
///
/// # Errors
/// When the store does not answer.
pub(super) fn told(scope: &Scope<'_>, kind: &'static str) -> Result<Vec<Value>, StoreError> {
    let request = SearchRequest::new(Family::State, scope.namespace.clone())
        .filter(Filter::term("flowsentry.state.kind", kind))
        .sort(Sort::descending("flowsentry.state.expires"))
        .size(MOST_WORKERS);
    let hits = scope.store.search(&request)?.hits;
    let states = hits.into_iter().map(|mut hit| hit.source["flowsentry"]["state"].take());
    let is_current = |state: &Value| {
        let expires: Option<Timestamp> =
            state["expires"].as_str().and_then(|text| text.parse().ok());
        expires.is_some_and(|expires| expires >= scope.at)
    };
    Ok(states.filter(is_current).collect())
}
