//! Results of an aggregation over some of the documents, which add up to the result over all.

use std::collections::{HashMap, HashSet};

use super::hits::{Candidate, first_hits};
use crate::stores::{Aggregation, AggregationKind, Aggregations, Key};

/// The result of one aggregation over some documents.
pub(super) enum Partial {
    Buckets(HashMap<Key, PartialBucket>),
    Numbers(Numbers),
    Count(u64),
    /// All values, for percentiles.
    Values(Vec<f64>),
    Distinct(HashSet<Key>),
    Hits(Vec<Candidate>),
}

/// One bucket over some documents; `below` follows the order of the request's names.
pub(super) struct PartialBucket {
    pub count: u64,
    pub below: Vec<Partial>,
}

impl PartialBucket {
    /// A bucket without documents.
    pub(super) fn empty(below: &Aggregations) -> Self {
        Self { count: 0, below: empty(below) }
    }
}

/// Returns the results over no documents.
pub(super) fn empty(aggregations: &Aggregations) -> Vec<Partial> {
    aggregations.values().map(Partial::empty).collect()
}

impl Partial {
    fn empty(aggregation: &Aggregation) -> Self {
        use AggregationKind as Kind;
        match &aggregation.kind {
            Kind::DateHistogram { .. }
            | Kind::Terms { .. }
            | Kind::Range { .. }
            | Kind::Filters { .. }
            | Kind::Composite { .. } => Self::Buckets(HashMap::new()),
            Kind::Sum { .. }
            | Kind::Min { .. }
            | Kind::Max { .. }
            | Kind::Avg { .. }
            | Kind::Stats { .. } => Self::Numbers(Numbers::default()),
            Kind::ValueCount { .. } => Self::Count(0),
            Kind::Percentiles { .. } => Self::Values(Vec::new()),
            Kind::Cardinality { .. } => Self::Distinct(HashSet::new()),
            Kind::TopHits { .. } => Self::Hits(Vec::new()),
        }
    }

    /// Adds the result of the same aggregation over other documents.
    pub(super) fn add(&mut self, aggregation: &Aggregation, other: Self) {
        match (self, other) {
            (Self::Buckets(buckets), Self::Buckets(others)) => {
                for (key, other) in others {
                    let empty = || PartialBucket::empty(&aggregation.below);
                    let bucket = buckets.entry(key).or_insert_with(empty);
                    bucket.count += other.count;
                    add_all(&aggregation.below, &mut bucket.below, other.below);
                }
            }
            (Self::Numbers(numbers), Self::Numbers(others)) => numbers.add(others),
            (Self::Count(count), Self::Count(other)) => *count += other,
            (Self::Values(values), Self::Values(others)) => values.extend(others),
            (Self::Distinct(keys), Self::Distinct(others)) => keys.extend(others),
            (Self::Hits(hits), Self::Hits(others)) => {
                hits.extend(others);
                if let AggregationKind::TopHits { size, sort, .. } = &aggregation.kind {
                    first_hits(hits, sort, *size);
                }
            }
            // Both sides come from the same aggregation.
            _ => {}
        }
    }
}

/// Adds results of the same aggregations over other documents.
pub(super) fn add_all(aggregations: &Aggregations, partials: &mut [Partial], others: Vec<Partial>) {
    for ((aggregation, partial), other) in aggregations.values().zip(partials).zip(others) {
        partial.add(aggregation, other);
    }
}

/// Count, sum and extremes of some values.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub count: u64,
    sum: f64,
    /// What rounding took from `sum` (Neumaier), so that the order of documents hardly matters.
    lost: f64,
    min: f64,
    max: f64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, lost: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Numbers {
    /// Adds one value.
    pub(super) fn insert(&mut self, value: f64) {
        self.count += 1;
        self.add_to_sum(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn add_to_sum(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) =
            if self.sum.abs() >= value.abs() { (self.sum, value) } else { (value, self.sum) };
        self.lost += (large - sum) + small;
        self.sum = sum;
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.add_to_sum(other.sum);
        self.lost += other.lost;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The sum; infinite where it leaves the range of doubles.
    pub(super) fn sum(&self) -> f64 {
        // The correction is NaN once the sum is infinite.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }

    /// The smallest value.
    pub(super) fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value.
    pub(super) fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / self.count as f64)
    }
}
