//! The one request model: what a store can be asked, in the subset that Elasticsearch, OpenSearch
//! and the embedded store answer alike.
//!
//! ```
//! use flowsentry::stores::{
//!     Aggregation, Direction, Family, Filter, Namespace, SearchRequest, TermsOrder,
//! };
//!
//! let busiest = SearchRequest::new(Family::Windows, Namespace::default())
//!     .filter(Filter::term("flowsentry.window.subject.type", "source"))
//!     .size(0)
//!     .aggregate(
//!         "hosts",
//!         Aggregation::terms_by("source.ip", 10, TermsOrder::metric("bytes", Direction::Descending))
//!             .with("bytes", Aggregation::sum("flowsentry.window.features.sumOfBytes")),
//!     );
//! assert_eq!(busiest.check(), Ok(()));
//! ```

use std::net::IpAddr;

use super::{Aggregation, Aggregations, Family, Filter, Namespace};
use crate::model::Timestamp;

/// A stretch of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First moment.
    pub from: Timestamp,
    /// First moment after it.
    pub to: Timestamp,
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// One key of the order of hits.
///
/// Documents without the field come last in either direction; of several values the smallest
/// counts going up, the largest going down. In the order of a long, none is equal to the very last
/// number: `i64::MAX` going up, `i64::MIN` going down.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// Dotted field name.
    pub field: String,
    /// Up or down.
    pub direction: Direction,
}

impl Sort {
    /// Returns the order by `field`, smallest first.
    pub fn ascending(field: impl Into<String>) -> Self {
        Self { field: field.into(), direction: Direction::Ascending }
    }

    /// Returns the order by `field`, largest first.
    pub fn descending(field: impl Into<String>) -> Self {
        Self { field: field.into(), direction: Direction::Descending }
    }
}

/// The value of a sort key of a hit; hand all of them to [`SearchRequest::after`] for the next page.
#[derive(Clone, Debug, PartialEq)]
pub enum SortValue {
    /// The document does not have the field.
    Missing,
    /// A long, a boolean (0 or 1), or a date in milliseconds since the epoch.
    Integer(i64),
    /// A double.
    Number(f64),
    /// A keyword.
    Text(String),
    /// An address.
    Ip(IpAddr),
}

/// Which parts of a document a hit carries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum SourceFields {
    /// The whole document.
    #[default]
    All,
    /// Nothing: ids and sort values alone.
    None,
    /// These fields and what lies below them, by dotted name.
    Only(Vec<String>),
}

/// One search over the indices of one family in one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// What to search.
    pub family: Family,
    /// Whose.
    pub namespace: Namespace,
    /// Only documents whose `@timestamp` lies in it; other indices are not even opened. Not for
    /// families without a period.
    pub time: Option<TimeRange>,
    /// Only documents for which it holds.
    pub filter: Filter,
    /// Order of the hits; end it with a field that no two documents share when paging. Without
    /// it, and between equals, the embedded store gives older indices and documents first; the
    /// others promise nothing.
    pub sort: Vec<Sort>,
    /// How many hits to skip; `from + size` is at most [`SearchRequest::MAX_HITS`].
    pub from: usize,
    /// How many hits to return.
    pub size: usize,
    /// Only hits after this one in the order of `sort`: one value per sort key.
    pub search_after: Option<Vec<SortValue>>,
    /// What the hits carry.
    pub source: SourceFields,
    /// Aggregations over all matching documents, by name.
    pub aggregations: Aggregations,
}

impl SearchRequest {
    /// The most hits of one answer, as `index.max_result_window` of Elasticsearch.
    pub const MAX_HITS: usize = 10_000;
    /// The most buckets of one aggregation, as `search.max_buckets` of Elasticsearch.
    pub const MAX_BUCKETS: usize = 65_535;
    /// The most hits of one top hits aggregation.
    pub const MAX_TOP_HITS: usize = 100;
    /// How deep filters and aggregations may nest.
    pub const MAX_DEPTH: usize = 16;

    /// Returns the request for the first ten documents of `family`, in no particular order.
    pub fn new(family: Family, namespace: Namespace) -> Self {
        Self {
            family,
            namespace,
            time: None,
            filter: Filter::All,
            sort: Vec::new(),
            from: 0,
            size: 10,
            search_after: None,
            source: SourceFields::All,
            aggregations: Aggregations::new(),
        }
    }

    /// Restricts it to documents with `from` ≤ `@timestamp` < `to`.
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.time = Some(TimeRange { from, to });
        self
    }

    /// Restricts it further to documents for which `filter` holds.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = match self.filter {
            Filter::All => filter,
            Filter::And(mut filters) => {
                filters.push(filter);
                Filter::And(filters)
            }
            other => Filter::And(vec![other, filter]),
        };
        self
    }

    /// Adds a sort key.
    pub fn sort(mut self, sort: Sort) -> Self {
        self.sort.push(sort);
        self
    }

    /// Sets how many hits to return.
    pub fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    /// Sets how many hits to skip.
    pub fn skip(mut self, from: usize) -> Self {
        self.from = from;
        self
    }

    /// Goes on after the hit with these sort values.
    pub fn after(mut self, values: Vec<SortValue>) -> Self {
        self.search_after = Some(values);
        self
    }

    /// Sets what the hits carry.
    pub fn source(mut self, source: SourceFields) -> Self {
        self.source = source;
        self
    }

    /// Adds an aggregation under `name`.
    pub fn aggregate(mut self, name: impl Into<String>, aggregation: Aggregation) -> Self {
        self.aggregations.insert(name.into(), aggregation);
        self
    }
}
