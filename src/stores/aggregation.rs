//! What to compute over the matching documents: the aggregations that all stores have.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::{Direction, Filter, Key, Sort, SourceFields};
use crate::model::Timestamp;

/// How long the buckets of a date histogram are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interval {
    /// So many seconds (at least 1), aligned to the epoch in UTC.
    Fixed {
        /// Length in seconds.
        seconds: u32,
    },
    /// A unit of the calendar of a time zone: a day of 23 or 25 hours where the clock changes.
    Calendar {
        /// Hour or day.
        unit: CalendarUnit,
        /// The zone whose clock counts.
        time_zone: Tz,
    },
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From one full hour of the local clock to the next.
    Hour,
    /// From local midnight to local midnight.
    Day,
}

/// The order of the buckets of a terms aggregation. Equals are ordered by key, ascending.
#[derive(Clone, Debug, PartialEq)]
pub enum TermsOrder {
    /// By number of documents.
    Count(Direction),
    /// By key.
    Key(Direction),
    /// By a metric below the terms. No smallest value counts as larger than any, no largest one
    /// as smaller than any. Not by a mean: the servers do not agree where none of it stands.
    Metric {
        /// Name of a sum, minimum, maximum, value count or cardinality; for stats `name.min`,
        /// `name.max`, `name.sum` or `name.count`.
        path: String,
        /// Up or down.
        direction: Direction,
    },
}

impl TermsOrder {
    /// Returns the order by the metric `path` below the terms.
    pub fn metric(path: impl Into<String>, direction: Direction) -> Self {
        Self::Metric { path: path.into(), direction }
    }
}

/// A named range of numbers: `from` ≤ value < `to`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRange {
    /// The key of the bucket.
    pub key: String,
    /// Lower end, open when absent.
    pub from: Option<f64>,
    /// Upper end, open when absent.
    pub to: Option<f64>,
}

/// Where a composite key takes one of its parts from.
#[derive(Clone, Debug, PartialEq)]
pub enum CompositeSource {
    /// The values of a field.
    Terms {
        /// Dotted field name.
        field: String,
    },
    /// The buckets of a date field.
    DateHistogram {
        /// Dotted field name.
        field: String,
        /// How long.
        interval: Interval,
    },
}

/// Aggregations by name.
pub type Aggregations = BTreeMap<String, Aggregation>;

/// What to compute over documents, and what to compute again within each of its buckets.
///
/// The embedded store is exact throughout. Elasticsearch and OpenSearch estimate
///
/// * terms, when an index has more than 10,000 different values (1,000 within the buckets of other
///   terms): then a value that is rare in every index may be missed or counted too low;
/// * cardinality, above 40,000 different values (1,000 within buckets): a few per cent off;
/// * percentiles, see there.
///
/// They also count the buckets of the whole answer against [`super::SearchRequest::MAX_BUCKETS`].
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// What to compute.
    pub kind: AggregationKind,
    /// What to compute within each bucket; nothing for metrics.
    pub below: Aggregations,
}

/// What to compute over documents.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregationKind {
    /// Buckets of time, oldest first.
    DateHistogram {
        /// Dotted name of a date field.
        field: String,
        /// How long the buckets are.
        interval: Interval,
        /// With `min_doc_count` 0: add empty buckets until those of both moments are there.
        extended_bounds: Option<(Timestamp, Timestamp)>,
        /// Leave out buckets with fewer documents; 0 gives empty buckets between others too.
        min_doc_count: u64,
    },
    /// One bucket for each of the first values of a field.
    Terms {
        /// Dotted field name.
        field: String,
        /// How many buckets.
        size: usize,
        /// Which first.
        order: TermsOrder,
    },
    /// One bucket per range, in the order given, empty ones included.
    Range {
        /// Dotted name of a number field.
        field: String,
        /// The ranges; their keys differ.
        ranges: Vec<NamedRange>,
    },
    /// One bucket per filter, in the order given, empty ones included.
    Filters {
        /// The filters by key; the keys differ.
        filters: Vec<(String, Filter)>,
    },
    /// One bucket per combination of values, by key, ascending, in pages. Not within buckets.
    Composite {
        /// The parts of the key, by name. Documents without one of them are left out.
        sources: Vec<(String, CompositeSource)>,
        /// How many buckets.
        size: usize,
        /// Go on after this key: that of the last bucket of the page before.
        after: Option<Vec<Key>>,
    },
    /// The sum of the values; 0 when there are none.
    Sum {
        /// Dotted name of a number field.
        field: String,
    },
    /// The smallest value; of a date in milliseconds since the epoch.
    Min {
        /// Dotted name of a number or date field.
        field: String,
    },
    /// The largest value; of a date in milliseconds since the epoch.
    Max {
        /// Dotted name of a number or date field.
        field: String,
    },
    /// The mean of the values.
    Avg {
        /// Dotted name of a number field.
        field: String,
    },
    /// How many values there are; equal keywords or addresses of one document count once.
    ValueCount {
        /// Dotted field name.
        field: String,
    },
    /// Count, sum, minimum, maximum and mean.
    Stats {
        /// Dotted name of a number field.
        field: String,
    },
    /// Values that so many per cent of the values do not exceed, interpolated linearly between the
    /// two nearest.
    ///
    /// Elasticsearch and OpenSearch estimate (t-digest, compression 500): what they give lies
    /// between values whose ranks are off by at most one and 0.5 % of the number of values.
    Percentiles {
        /// Dotted name of a number field.
        field: String,
        /// From 0 to 100.
        percents: Vec<f64>,
    },
    /// How many different values there are.
    Cardinality {
        /// Dotted field name.
        field: String,
    },
    /// The first documents.
    TopHits {
        /// How many, at most [`super::SearchRequest::MAX_TOP_HITS`].
        size: usize,
        /// In which order.
        sort: Vec<Sort>,
        /// What they carry.
        source: SourceFields,
    },
}

impl From<AggregationKind> for Aggregation {
    fn from(kind: AggregationKind) -> Self {
        Self { kind, below: Aggregations::new() }
    }
}

impl Aggregation {
    /// Returns the `size` most frequent values of `field`.
    pub fn terms(field: impl Into<String>, size: usize) -> Self {
        Self::terms_by(field, size, TermsOrder::Count(Direction::Descending))
    }

    /// Returns the first `size` values of `field` in `order`.
    pub fn terms_by(field: impl Into<String>, size: usize, order: TermsOrder) -> Self {
        AggregationKind::Terms { field: field.into(), size, order }.into()
    }

    /// Returns buckets of `interval` of `@timestamp`, empty ones in between included.
    pub fn over_time(interval: Interval) -> Self {
        Self::date_histogram(interval, None)
    }

    /// Returns buckets of `interval` of `@timestamp`, empty ones included, from the bucket of
    /// `from` to that of `to` at least.
    pub fn over_time_covering(interval: Interval, from: Timestamp, to: Timestamp) -> Self {
        Self::date_histogram(interval, Some((from, to)))
    }

    fn date_histogram(interval: Interval, extended_bounds: Option<(Timestamp, Timestamp)>) -> Self {
        let field = "@timestamp".to_owned();
        AggregationKind::DateHistogram { field, interval, extended_bounds, min_doc_count: 0 }.into()
    }

    /// Returns one bucket per filter.
    pub fn filters<K: Into<String>>(filters: impl IntoIterator<Item = (K, Filter)>) -> Self {
        let filters = filters.into_iter().map(|(key, filter)| (key.into(), filter)).collect();
        AggregationKind::Filters { filters }.into()
    }

    /// Returns one bucket per range of `field`.
    pub fn ranges(field: impl Into<String>, ranges: Vec<NamedRange>) -> Self {
        AggregationKind::Range { field: field.into(), ranges }.into()
    }

    /// Returns the first page of combinations, `size` buckets of it.
    pub fn composite<K: Into<String>>(
        sources: impl IntoIterator<Item = (K, CompositeSource)>,
        size: usize,
    ) -> Self {
        let sources = sources.into_iter().map(|(key, source)| (key.into(), source)).collect();
        AggregationKind::Composite { sources, size, after: None }.into()
    }

    /// Returns the sum of `field`.
    pub fn sum(field: impl Into<String>) -> Self {
        AggregationKind::Sum { field: field.into() }.into()
    }

    /// Returns the smallest value of `field`.
    pub fn min(field: impl Into<String>) -> Self {
        AggregationKind::Min { field: field.into() }.into()
    }

    /// Returns the largest value of `field`.
    pub fn max(field: impl Into<String>) -> Self {
        AggregationKind::Max { field: field.into() }.into()
    }

    /// Returns the mean of `field`.
    pub fn avg(field: impl Into<String>) -> Self {
        AggregationKind::Avg { field: field.into() }.into()
    }

    /// Returns count, sum, minimum, maximum and mean of `field`.
    pub fn stats(field: impl Into<String>) -> Self {
        AggregationKind::Stats { field: field.into() }.into()
    }

    /// Returns how many values `field` has.
    pub fn value_count(field: impl Into<String>) -> Self {
        AggregationKind::ValueCount { field: field.into() }.into()
    }

    /// Returns how many different values `field` has.
    pub fn cardinality(field: impl Into<String>) -> Self {
        AggregationKind::Cardinality { field: field.into() }.into()
    }

    /// Returns percentiles of `field`.
    pub fn percentiles(field: impl Into<String>, percents: impl Into<Vec<f64>>) -> Self {
        AggregationKind::Percentiles { field: field.into(), percents: percents.into() }.into()
    }

    /// Returns the first `size` documents in the order of `sort`, whole.
    pub fn top_hits(size: usize, sort: Vec<Sort>) -> Self {
        AggregationKind::TopHits { size, sort, source: SourceFields::All }.into()
    }

    /// Adds `aggregation` under `name` to every bucket.
    pub fn with(mut self, name: impl Into<String>, aggregation: Self) -> Self {
        self.below.insert(name.into(), aggregation);
        self
    }
}
