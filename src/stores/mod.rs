//! Where documents live: one contract, [`Store`], whatever keeps them.
//!
//! ```text
//! Document ─check (fields)→ bulk ─→ one outcome per document
//! SearchRequest ─check (fields)→ search ─→ SearchResponse
//! ```
//!
//! All stores share the names ([`IndexName`]), the field catalogue ([`fields`]), the request model
//! and the checks, so that a document or request that one takes, all take. [`EmbeddedStore`] keeps
//! everything in one folder without any service.
//!
//! **The contract blocks.** Reports, jobs and commands are straight-line code, the embedded store
//! is disk-bound and blocking by nature, and a trait without `async` is usable as
//! `Arc<dyn Store>` without boxing a future per call. Async callers use `spawn_blocking`; a store
//! that is an HTTP client drives it on a run time of its own, so that no call ever enters the
//! caller's.

mod aggregation;
mod calendar;
mod check;
mod cluster;
mod document;
mod embedded;
pub mod fields;
mod filter;
mod histogram;
mod moment;
mod names;
mod request;
mod resolve;
mod response;
mod source;

use std::ops::ControlFlow;

use serde_json::Value;

use crate::model::Timestamp;

pub use aggregation::{
    Aggregation, AggregationKind, Aggregations, CalendarUnit, CompositeSource, Interval,
    NamedRange, TermsOrder,
};
pub(crate) use cluster::bounded;
pub use cluster::{
    Call, Cluster, ClusterError, ClusterSettings, ClusterStore, Flavour, InvalidVersion, Method,
    Reply, Server, ServerVersion, SslSettings, VerificationMode, read_secret,
};
pub use document::Document;
pub use embedded::{EmbeddedConfig, EmbeddedStore};
pub use filter::{Filter, Limit, Scalar};
pub use moment::{Moment, Pages};
pub use names::{
    DocumentId, Family, IndexName, InvalidDocumentId, InvalidNamespace, Namespace, Period,
};
pub use request::{Direction, SearchRequest, Sort, SortValue, SourceFields, TimeRange};
pub use response::{
    AggregationResult, AggregationResults, Bucket, Hit, Key, SearchResponse, Stats,
};

/// Keeps documents, finds them, adds them up.
///
/// All methods block until the store has answered. What a method has returned is durable and seen
/// by every later call, by any caller.
pub trait Store: Send + Sync {
    /// Creates each document unless its id exists in its index; never overwrites.
    ///
    /// One document's rejection does not touch the others. The call may be repeated as a whole:
    /// what was created before is a duplicate then. The same id twice in one call is created once.
    ///
    /// # Errors
    /// When the store fails as a whole; any part may have been created then.
    fn bulk(&self, documents: Vec<Document>) -> Result<BulkOutcome, StoreError>;

    /// Merges `partial` into the document `id` if it still has the version `expected`: objects key
    /// by key, all else replaced.
    ///
    /// # Errors
    /// When the store fails; the update may or may not have happened then.
    fn update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        partial: Value,
        expected: Version,
    ) -> Result<UpdateOutcome, StoreError>;

    /// Returns the document `id`, `None` when it does not exist.
    ///
    /// # Errors
    /// When the store fails.
    fn get(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError>;

    /// Answers `request`.
    ///
    /// # Errors
    /// When the request is not valid for the family's fields ([`SearchRequest::check`]), when the
    /// store cannot do what it asks for, or when the store fails.
    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, StoreError>;

    /// Creates one document unless its id exists in its index.
    ///
    /// # Errors
    /// As [`Self::bulk`].
    fn create(&self, document: Document) -> Result<BulkItem, StoreError> {
        let outcome = self.bulk(vec![document])?;
        Ok(outcome.items.into_iter().next().expect("a bulk has one item per document"))
    }

    /// Holds the documents of `family` in `namespace` as they are now, to read them in pages. What is
    /// written later is not seen. OpenSearch before 2.4 cannot hold a moment, and a server that
    /// forgets one (a restart, minutes without a request) is asked for a new one: a document written
    /// meanwhile may be seen then.
    ///
    /// # Errors
    /// When the store fails.
    fn moment(
        &self,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Box<dyn Moment + '_>, StoreError>;

    /// Hands all hits of `request` to `each`, at most `page` at a time, in order and as of one
    /// moment; see [`Self::moment`] and [`Moment::pages`]. Ends early when `each` breaks.
    ///
    /// # Errors
    /// As [`Self::search`]; some pages may have been handed out then.
    fn scan(
        &self,
        request: &SearchRequest,
        page: usize,
        each: &mut dyn FnMut(Vec<Hit>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        request.check_scan(page)?;
        let moment = self.moment(request.family, &request.namespace)?;
        let mut pages = moment.pages(request, page)?;
        loop {
            let hits = pages.next_page()?;
            if hits.is_empty() || each(hits).is_break() {
                return Ok(());
            }
        }
    }

    /// Drops the indices of `family`, in all namespaces, whose whole period ended at or before
    /// `cutoff`, and returns their names. Families without a period lose nothing.
    ///
    /// # Errors
    /// When the store fails; some indices may be gone then.
    fn drop_before(&self, family: Family, cutoff: Timestamp) -> Result<Vec<IndexName>, StoreError>;

    /// Moves everything to where it is cheapest to read; nothing is lost without it.
    ///
    /// # Errors
    /// When the store fails.
    fn flush(&self) -> Result<(), StoreError>;
}

/// What became of the documents of a bulk call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// One per document, in order.
    pub items: Vec<BulkItem>,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkItem {
    /// It is there now.
    Created,
    /// Its id was there before; that document was not touched.
    Duplicate,
    /// It was not taken.
    Rejected {
        /// Why, for a person.
        reason: String,
        /// Whether the same document may be taken later (the store was busy).
        retriable: bool,
    },
}

impl BulkOutcome {
    /// How many documents were created.
    pub fn created(&self) -> usize {
        self.items.iter().filter(|item| **item == BulkItem::Created).count()
    }

    /// How many documents were there before.
    pub fn duplicates(&self) -> usize {
        self.items.iter().filter(|item| **item == BulkItem::Duplicate).count()
    }

    /// The rejected documents: place in the call, reason, whether they may be taken later.
    pub fn rejected(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.items.iter().enumerate().filter_map(|(at, item)| match item {
            BulkItem::Rejected { reason, retriable } => Some((at, reason.as_str(), *retriable)),
            BulkItem::Created | BulkItem::Duplicate => None,
        })
    }
}

/// The version of a document: changes with every write to it. Opaque but for equality; made of
/// the sequence number and primary term of Elasticsearch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// `_seq_no`: counts the writes to the index.
    pub sequence: u64,
    /// `_primary_term`: counts the fail-overs of the shard; always 1 in the embedded store.
    pub term: u64,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Done; the document has this version now.
    Updated(Version),
    /// The document has changed meanwhile; read it again.
    Conflict,
    /// There is no such document.
    Missing,
    /// The merged document would not be taken.
    Rejected {
        /// Why, for a person.
        reason: String,
    },
}

/// Why an update of a document of version `found` is not even tried; `None` when it may be.
fn refuse_update(found: Version, expected: Version, partial: &Value) -> Option<UpdateOutcome> {
    if found != expected {
        return Some(UpdateOutcome::Conflict);
    }
    let reason = "a partial document is a JSON object".to_owned();
    (!partial.is_object()).then_some(UpdateOutcome::Rejected { reason })
}

/// A document as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The document.
    pub source: Value,
    /// Its version, for [`Store::update`].
    pub version: Version,
}

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request is wrong; no store answers it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// This store cannot do that.
    #[error("{what} is not supported by the {store} store")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// By which store.
        store: &'static str,
    },
    /// Another process has the folder open.
    #[error("the embedded store in `{path}` is open in another process")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The disk failed.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The cluster did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The engine failed, or its files are damaged.
    #[error("{action}: {reason}")]
    Engine {
        /// What was tried.
        action: String,
        /// What went wrong.
        reason: String,
    },
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It names a field that is not in the catalogue.
    #[error("unknown field `{field}` in {} documents", family.name())]
    UnknownField {
        /// The field.
        field: String,
        /// Whose documents.
        family: Family,
    },
    /// It uses a field as its type does not allow.
    #[error("field `{field}` is of type {kind} and cannot be used for {purpose}")]
    WrongType {
        /// The field.
        field: String,
        /// Its type.
        kind: &'static str,
        /// What for.
        purpose: String,
    },
    /// It contradicts itself or goes beyond a limit.
    #[error("{0}")]
    Invalid(String),
}
