//! The contract of all stores on a cluster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::answer::{AnswerError, read_answer};
use super::bulk;
use super::connection::{Call, Cluster};
use super::error::{Cause, ClusterError};
use super::moment::ClusterMoment;
use super::query::{refusal, search_body};
use super::wire::Method;
use crate::model::Timestamp;
use crate::stores::document::{check_document, merge, unsign_zeros};
use crate::stores::{
    BulkOutcome, Document, DocumentId, Family, Filter, IndexName, Moment, Namespace, Period,
    SearchRequest, SearchResponse, Store, StoreError, Stored, UpdateOutcome, Version,
    refuse_update,
};

/// The longest list of names in a path; servers take 4,096 bytes of request line.
const PATH_BYTES: usize = 3_000;

/// A cluster as store.
///
/// What was written is durable when a call returns, and [`Store::get`] sees it at once. Searches
/// of the same store see it, too, because the store refreshes what it wrote before it searches;
/// searches of others see it at the next refresh of the index (the templates say 1 to 5 s).
///
/// Raw flows live in a data stream that Logstash writes and a lifecycle policy empties.
#[derive(Debug)]
pub struct ClusterStore {
    cluster: Cluster,
    /// Written since the last refresh.
    written: Mutex<BTreeSet<String>>,
    may_not_refresh: AtomicBool,
}

impl ClusterStore {
    /// Returns `cluster` as store.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, written: Mutex::default(), may_not_refresh: AtomicBool::new(false) }
    }

    /// The cluster, for raw calls.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn note_written(&self, names: impl IntoIterator<Item = String>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// Makes what this store wrote visible to searches.
    pub(super) fn refresh(&self, is_wanted: impl Fn(&str) -> bool) -> Result<(), ClusterError> {
        let names = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let (wanted, rest) =
                std::mem::take(&mut *written).into_iter().partition(|name| is_wanted(name));
            *written = rest;
            wanted
        };
        self.refresh_indices(&names).inspect_err(|_| self.note_written(names))
    }

    fn refresh_indices(&self, names: &BTreeSet<String>) -> Result<(), ClusterError> {
        for path in in_paths(names) {
            let call =
                Call::new("refreshing what was written", Method::Post, format!("/{path}/_refresh"))
                    .query("ignore_unavailable", "true");
            match self.cluster.demand(&call) {
                Ok(_) => {}
                // Without the privilege, searches see it a few seconds later.
                Err(ClusterError::Forbidden { reason, .. }) => {
                    if !self.may_not_refresh.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%reason, "indices cannot be refreshed: searches may lag behind by seconds");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a document of a plain index at its newest, refreshed or not.
    fn get_by_id(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError> {
        let action = || format!("reading a document of {index}");
        // In the body, because an id such as `..` cannot be part of a path.
        let wanted = json!({"docs": [{"_index": index.to_string(), "_id": id.as_str()}]});
        let answer =
            self.cluster.demand(&Call::new(action(), Method::Post, "/_mget").json(wanted))?;
        let unreadable = |reason: &str| {
            StoreError::from(ClusterError::Answer { action: action(), reason: reason.to_owned() })
        };
        let document = answer.pointer("/docs/0").ok_or_else(|| unreadable("it is empty"))?;
        if document.get("error").is_some() {
            let Cause { kind, reason } = Cause::read(document);
            if kind == "index_not_found_exception" {
                return Ok(None);
            }
            return Err(unreadable(&format!("{kind}: {reason}")));
        }
        if document.get("found") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let version =
            read_version(document).ok_or_else(|| unreadable("the document has no version"))?;
        let source = document.get("_source").cloned().unwrap_or(Value::Null);
        Ok(Some(Stored { source, version }))
    }
}

/// The name under which a cluster knows `index`.
pub(super) fn target_of(index: &IndexName) -> String {
    match index.family() {
        Family::Flows => stream_of(index.namespace()),
        _ => index.to_string(),
    }
}

/// The data stream of the raw flows of `namespace`.
fn stream_of(namespace: &Namespace) -> String {
    format!("logs-flowsentry.flow-{namespace}")
}

/// All indices of `family` in `namespace`, and no others, for a path.
pub(super) fn targets_of(family: Family, namespace: &Namespace) -> String {
    if family == Family::Flows {
        return stream_of(namespace);
    }
    let all = format!("flowsentry-{}-{namespace}", family.name());
    match family.period() {
        Period::Unlimited => all,
        // The date has no hyphen: one more belongs to a namespace that begins like this one.
        Period::Day | Period::Month | Period::Year => format!("{all}-*,-{all}-*-*"),
    }
}

/// Joins names into lists that are short enough for a path.
fn in_paths(names: &BTreeSet<String>) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for name in names {
        match paths.last_mut() {
            Some(path) if path.len() + name.len() < PATH_BYTES => {
                path.push(',');
                path.push_str(name);
            }
            Some(_) | None => paths.push(name.clone()),
        }
    }
    paths
}

/// Reads `_seq_no` and `_primary_term`.
pub(super) fn read_version(document: &Value) -> Option<Version> {
    let number = |name: &str| document.get(name).and_then(Value::as_u64);
    Some(Version { sequence: number("_seq_no")?, term: number("_primary_term")? })
}

impl Store for ClusterStore {
    fn bulk(&self, mut documents: Vec<Document>) -> Result<BulkOutcome, StoreError> {
        documents.iter_mut().for_each(|document| unsign_zeros(&mut document.source));
        // Before they are sent: an answer that is lost does not undo a creation.
        let targets: BTreeSet<String> =
            documents.iter().map(|document| target_of(&document.index)).collect();
        self.note_written(targets);
        let target = |document: &Document| target_of(&document.index);
        let items = bulk::create_all(&self.cluster, &documents, &target)?;
        Ok(BulkOutcome { items })
    }

    fn update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        mut partial: Value,
        expected: Version,
    ) -> Result<UpdateOutcome, StoreError> {
        if index.family() == Family::Flows {
            let what = "changing raw flows".to_owned();
            return Err(StoreError::Unsupported { what, store: self.cluster.product() });
        }
        let Some(mut stored) = self.get_by_id(index, id)? else {
            return Ok(UpdateOutcome::Missing);
        };
        if let Some(refused) = refuse_update(stored.version, expected, &partial) {
            return Ok(refused);
        }
        unsign_zeros(&mut partial);
        // The server knows the mapping and not the whole catalogue.
        merge(&mut stored.source, partial.clone());
        if let Err(reason) = check_document(index, &stored.source) {
            return Ok(UpdateOutcome::Rejected { reason });
        }
        self.note_written([target_of(index)]);
        let (index, id) = (index.to_string(), id.as_str());
        let Version { sequence, term } = expected;
        let action = json!({"update": {
            "_index": index, "_id": id, "if_seq_no": sequence, "if_primary_term": term
        }});
        let change = json!({"doc": partial, "detect_noop": false});
        let lines = format!("{action}\n{change}\n").into_bytes();
        let action = format!("changing a document of {index}");
        let answer =
            self.cluster.demand(&Call::new(action.clone(), Method::Post, "/_bulk").lines(lines))?;
        let unreadable = |reason: &str| {
            let (action, reason) = (action.clone(), reason.to_owned());
            StoreError::from(ClusterError::Answer { action, reason })
        };
        let item = answer.pointer("/items/0/update").ok_or_else(|| unreadable("it has no item"))?;
        let Cause { kind, reason } = Cause::read(item);
        match item.get("status").and_then(Value::as_u64) {
            Some(200 | 201) => {
                let version = read_version(item).ok_or_else(|| unreadable("it has no version"))?;
                Ok(UpdateOutcome::Updated(version))
            }
            Some(404) => Ok(UpdateOutcome::Missing),
            Some(409) => Ok(UpdateOutcome::Conflict),
            Some(_) if kind == "cluster_block_exception" => {
                Err(ClusterError::ReadOnly { action, reason }.into())
            }
            Some(status @ (429 | 500..=599)) => {
                let status = u16::try_from(status).unwrap_or(500);
                Err(ClusterError::Unavailable { action, status, reason }.into())
            }
            Some(_) => Ok(UpdateOutcome::Rejected { reason: format!("{kind}: {reason}") }),
            None => Err(unreadable("it has no status")),
        }
    }

    fn get(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError> {
        if index.family() != Family::Flows {
            return self.get_by_id(index, id);
        }
        // A data stream has several indices; which one holds the id only a search can tell.
        let mut request = SearchRequest::new(Family::Flows, index.namespace().clone())
            .filter(Filter::Ids(vec![id.clone()]))
            .size(1);
        if let Some((from, to)) = index.span() {
            request = request.between(from, to);
        }
        let found = self.search(&request)?.hits.into_iter().next();
        Ok(found.map(|hit| Stored { source: hit.source, version: hit.version }))
    }

    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, StoreError> {
        request.check()?;
        let targets = targets_of(request.family, &request.namespace);
        self.refresh(|name| is_target(name, request.family, &request.namespace))?;
        let action = format!("searching {}", request.family.name());
        let call = Call::new(action.clone(), Method::Post, format!("/{targets}/_search"))
            .query("ignore_unavailable", "true")
            .query("allow_no_indices", "true")
            .query("allow_partial_search_results", "false")
            .json(search_body(request)?);
        let answer = self.cluster.demand(&call).map_err(|error| refusal(request, error))?;
        read_answer(request, answer).map_err(|error| match error {
            AnswerError::Request(error) => error.into(),
            AnswerError::Unreadable(reason) => ClusterError::Answer { action, reason }.into(),
        })
    }

    fn moment(
        &self,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Box<dyn Moment + '_>, StoreError> {
        self.refresh(|name| is_target(name, family, namespace))?;
        Ok(Box::new(ClusterMoment::open(&self.cluster, family, namespace)?))
    }

    fn drop_before(&self, family: Family, cutoff: Timestamp) -> Result<Vec<IndexName>, StoreError> {
        if family == Family::Flows {
            return Ok(Vec::new());
        }
        let action = format!("listing the indices of {}", family.name());
        let path = format!("/_cat/indices/flowsentry-{}-*", family.name());
        let call = Call::new(action, Method::Get, path).query("h", "index").query("format", "json");
        let answer = self.cluster.find(&call)?.unwrap_or(Value::Null);
        let listed = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let names = listed.iter().filter_map(|row| row.get("index")?.as_str());
        let mut over: Vec<IndexName> = names
            .filter_map(IndexName::parse)
            .filter(|name| name.family() == family)
            .filter(|name| name.span().is_some_and(|(_, to)| to <= cutoff))
            .collect();
        over.sort();
        for path in in_paths(&over.iter().map(ToString::to_string).collect()) {
            let action = format!("dropping {path}");
            let call = Call::new(action, Method::Delete, format!("/{path}"))
                .query("ignore_unavailable", "true");
            self.cluster.demand(&call)?;
        }
        Ok(over)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(self.refresh(|_| true)?)
    }
}

/// Whether the index of this name is one of `family` in `namespace`.
fn is_target(name: &str, family: Family, namespace: &Namespace) -> bool {
    match IndexName::parse(name) {
        Some(index) => index.family() == family && index.namespace() == namespace,
        None => family == Family::Flows && name == stream_of(namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_not_taken_for_the_beginning_of_another() {
        let namespace = Namespace::new("a-b").expect("it is sound");
        let targets = |family| targets_of(family, &namespace);
        assert_eq!(
            targets(Family::Windows),
            "flowsentry-windows-a-b-*,-flowsentry-windows-a-b-*-*"
        );
        assert_eq!(targets(Family::State), "flowsentry-state-a-b");
        assert_eq!(targets(Family::Flows), "logs-flowsentry.flow-a-b");
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let names: BTreeSet<String> = (0..400).map(|number| format!("index-{number:03}")).collect();
        let paths = in_paths(&names);
        assert_eq!(paths.len(), 2);
        assert!(paths.iter().all(|path| path.len() <= PATH_BYTES));
        assert_eq!(paths.join(",").split(',').count(), names.len());
    }
}
