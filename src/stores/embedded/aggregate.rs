//! Aggregations over the matching documents of one segment.
//!
//! A [`Node`] is an aggregation with its columns opened and its filters run. Buckets split a list
//! of documents into lists; what lies below runs over each of them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use tantivy::SegmentReader;

use super::columns::Values;
use super::condition::{DocumentSet, matching};
use super::hits::Sorter;
use super::partial::{Numbers, Partial, PartialBucket};
use crate::stores::calendar::{bucket_start, next_start};
use crate::stores::resolve::{known, resolve};
use crate::stores::{
    Aggregation, AggregationKind, Aggregations, CompositeSource, Family, Interval, Key, NamedRange,
    StoreError,
};

/// Where a segment is: which shard of the search, which segment of it.
pub(super) struct Segment<'a> {
    pub family: Family,
    pub shard: usize,
    pub ord: u32,
    pub reader: &'a SegmentReader,
}

/// What failed below a segment; the search names the index.
pub(super) enum SegmentError {
    Engine(String),
    Store(StoreError),
}

impl From<String> for SegmentError {
    fn from(reason: String) -> Self {
        Self::Engine(reason)
    }
}

impl<E: Into<StoreError>> From<E> for SegmentError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// An aggregation made ready for one segment.
pub(super) struct Node<'a> {
    kind: NodeKind<'a>,
    below: Vec<Node<'a>>,
}

enum NodeKind<'a> {
    Buckets(Split<'a>),
    Numbers(Option<Values>),
    Count(Option<Values>),
    Values(Option<Values>),
    Distinct(Keyed),
    Hits { sorter: Sorter, size: usize },
}

/// How documents fall into buckets.
enum Split<'a> {
    Time { values: Option<Values>, interval: Interval },
    Terms(Keyed),
    Ranges { values: Option<Values>, ranges: &'a [NamedRange] },
    Filters(Vec<DocumentSet>),
    Parts(Vec<Part>),
}

/// A part of a composite key.
enum Part {
    Terms(Keyed),
    Time { values: Option<Values>, interval: Interval },
}

/// A column whose codes were turned into keys before, for as far as they were met.
struct Keyed {
    values: Option<Values>,
    keys: RefCell<HashMap<u64, Key>>,
}

/// Returns the nodes of `aggregations` for a segment, in the order of their names.
pub(super) fn prepare<'a>(
    segment: &Segment<'_>,
    aggregations: &'a Aggregations,
) -> Result<Vec<Node<'a>>, SegmentError> {
    aggregations.values().map(|aggregation| Node::prepare(segment, aggregation)).collect()
}

impl Segment<'_> {
    fn open(&self, field: &str) -> Result<Option<Values>, SegmentError> {
        let kind = known(self.family, field)?;
        Ok(Values::open(self.reader, field, kind)?)
    }

    fn keyed(&self, field: &str) -> Result<Keyed, SegmentError> {
        Ok(Keyed { values: self.open(field)?, keys: RefCell::default() })
    }
}

impl<'a> Node<'a> {
    fn prepare(segment: &Segment<'_>, aggregation: &'a Aggregation) -> Result<Self, SegmentError> {
        use AggregationKind as Kind;
        let kind = match &aggregation.kind {
            Kind::DateHistogram { field, interval, .. } => {
                NodeKind::Buckets(Split::Time { values: segment.open(field)?, interval: *interval })
            }
            Kind::Terms { field, .. } => NodeKind::Buckets(Split::Terms(segment.keyed(field)?)),
            Kind::Range { field, ranges } => {
                NodeKind::Buckets(Split::Ranges { values: segment.open(field)?, ranges })
            }
            Kind::Filters { filters } => {
                let sets = filters.iter().map(|(_, filter)| {
                    let condition = resolve(segment.family, filter)?;
                    Ok(matching(segment.reader, &condition)?)
                });
                NodeKind::Buckets(Split::Filters(sets.collect::<Result<_, SegmentError>>()?))
            }
            Kind::Composite { sources, .. } => {
                let parts = sources.iter().map(|(_, source)| Part::prepare(segment, source));
                NodeKind::Buckets(Split::Parts(parts.collect::<Result<_, _>>()?))
            }
            Kind::Sum { field }
            | Kind::Min { field }
            | Kind::Max { field }
            | Kind::Avg { field }
            | Kind::Stats { field } => NodeKind::Numbers(segment.open(field)?),
            Kind::ValueCount { field } => NodeKind::Count(segment.open(field)?),
            Kind::Percentiles { field, .. } => NodeKind::Values(segment.open(field)?),
            Kind::Cardinality { field } => NodeKind::Distinct(segment.keyed(field)?),
            Kind::TopHits { size, sort, .. } => {
                NodeKind::Hits { sorter: Sorter::prepare(segment, sort, None)?, size: *size }
            }
        };
        Ok(Self { kind, below: prepare(segment, &aggregation.below)? })
    }

    /// Returns the result over `documents`, which are ascending.
    pub(super) fn collect(&self, documents: &[u32]) -> Result<Partial, String> {
        let mut buffer = Vec::new();
        Ok(match &self.kind {
            NodeKind::Buckets(split) => {
                let mut buckets = HashMap::new();
                for (key, documents) in split.buckets(documents)? {
                    let below = collect_all(&self.below, &documents)?;
                    let count = documents.len() as u64;
                    buckets.insert(key, PartialBucket { count, below });
                }
                Partial::Buckets(buckets)
            }
            NodeKind::Numbers(values) => {
                let mut numbers = Numbers::default();
                for (values, doc) in values.iter().flat_map(|values| each(values, documents)) {
                    values.numbers(doc, |number| numbers.insert(number));
                }
                Partial::Numbers(numbers)
            }
            NodeKind::Count(values) => {
                let values = values.iter().flat_map(|values| each(values, documents));
                Partial::Count(values.map(|(values, doc)| values.count(doc, &mut buffer)).sum())
            }
            NodeKind::Values(values) => {
                let mut numbers = Vec::new();
                for (values, doc) in values.iter().flat_map(|values| each(values, documents)) {
                    values.numbers(doc, |number| numbers.push(number));
                }
                Partial::Values(numbers)
            }
            NodeKind::Distinct(column) => Partial::Distinct(column.distinct(documents)?),
            NodeKind::Hits { sorter, size } => Partial::Hits(sorter.first(documents, *size)?),
        })
    }
}

fn each<'v>(values: &'v Values, documents: &'v [u32]) -> impl Iterator<Item = (&'v Values, u32)> {
    documents.iter().map(move |doc| (values, *doc))
}

/// Returns the results of all nodes over `documents`.
pub(super) fn collect_all(nodes: &[Node<'_>], documents: &[u32]) -> Result<Vec<Partial>, String> {
    nodes.iter().map(|node| node.collect(documents)).collect()
}

impl Split<'_> {
    /// Returns the documents of every bucket that has some. The keys of ranges and filters are
    /// their places in the request.
    fn buckets(&self, documents: &[u32]) -> Result<Vec<(Key, Vec<u32>)>, String> {
        let place = |(at, documents): (i64, Vec<u32>)| (Key::Integer(at), documents);
        Ok(match self {
            Self::Time { values, interval } => split_by_time(values.as_ref(), *interval, documents)
                .into_iter()
                .map(place)
                .collect(),
            Self::Terms(column) => column.split(documents)?,
            Self::Ranges { values, ranges } => {
                let Some(values) = values else { return Ok(Vec::new()) };
                let in_range = |range: &NamedRange, doc| {
                    let mut found = false;
                    values.numbers(doc, |number| {
                        found |= range.from.is_none_or(|from| number >= from)
                            && range.to.is_none_or(|to| number < to);
                    });
                    found
                };
                let split = (0..).zip(*ranges).map(|(at, range)| {
                    (at, documents.iter().copied().filter(|doc| in_range(range, *doc)).collect())
                });
                split.map(place).collect()
            }
            Self::Filters(sets) => {
                let split = (0..).zip(sets).map(|(at, set)| {
                    (at, documents.iter().copied().filter(|doc| set.contains(*doc)).collect())
                });
                split.map(place).collect()
            }
            Self::Parts(parts) => split_by_parts(parts, documents)?,
        })
    }
}

/// Returns documents by the first millisecond of their bucket.
fn split_by_time(
    values: Option<&Values>,
    interval: Interval,
    documents: &[u32],
) -> HashMap<i64, Vec<u32>> {
    let mut buckets: HashMap<i64, Vec<u32>> = HashMap::new();
    let Some(Values::Whole(column)) = values else { return buckets };
    // Neighbours mostly share a bucket, and local days are costly to find.
    let mut current = 0..0;
    let mut seen = Vec::new();
    for doc in documents {
        seen.clear();
        for at in column.values_for_doc(*doc) {
            if !current.contains(&at) {
                let start = bucket_start(interval, at);
                current = start..next_start(interval, start);
            }
            if !seen.contains(&current.start) {
                seen.push(current.start);
                buckets.entry(current.start).or_default().push(*doc);
            }
        }
    }
    buckets
}

impl Keyed {
    /// Returns documents by key.
    fn split(&self, documents: &[u32]) -> Result<Vec<(Key, Vec<u32>)>, String> {
        let Some(values) = &self.values else { return Ok(Vec::new()) };
        let mut by_code: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut codes = Vec::new();
        for doc in documents {
            values.codes(*doc, &mut codes);
            for code in &codes {
                by_code.entry(*code).or_default().push(*doc);
            }
        }
        self.read_keys(values, by_code.keys().copied())?;
        let keys = self.keys.borrow();
        let bucket = |(code, documents)| keys.get(&code).map(|key| (key.clone(), documents));
        Ok(by_code.into_iter().filter_map(bucket).collect())
    }

    fn distinct(&self, documents: &[u32]) -> Result<HashSet<Key>, String> {
        let Some(values) = &self.values else { return Ok(HashSet::new()) };
        let mut all = HashSet::new();
        let mut codes = Vec::new();
        for doc in documents {
            values.codes(*doc, &mut codes);
            all.extend(codes.iter().copied());
        }
        self.read_keys(values, all.iter().copied())?;
        let keys = self.keys.borrow();
        Ok(all.iter().filter_map(|code| keys.get(code).cloned()).collect())
    }

    /// Returns the keys of one document.
    fn keys_of(&self, doc: u32) -> Result<Vec<Key>, String> {
        let Some(values) = &self.values else { return Ok(Vec::new()) };
        let mut codes = Vec::new();
        values.codes(doc, &mut codes);
        self.read_keys(values, codes.iter().copied())?;
        let keys = self.keys.borrow();
        Ok(codes.iter().filter_map(|code| keys.get(code).cloned()).collect())
    }

    /// Makes sure that the keys of `codes` are known.
    fn read_keys(&self, values: &Values, codes: impl Iterator<Item = u64>) -> Result<(), String> {
        let mut keys = self.keys.borrow_mut();
        let mut missing: Vec<_> = codes.filter(|code| !keys.contains_key(code)).collect();
        missing.sort_unstable();
        let read = values.keys(&missing)?;
        keys.extend(missing.into_iter().zip(read));
        Ok(())
    }
}

impl Part {
    fn prepare(segment: &Segment<'_>, source: &CompositeSource) -> Result<Self, SegmentError> {
        Ok(match source {
            CompositeSource::Terms { field } => Self::Terms(segment.keyed(field)?),
            CompositeSource::DateHistogram { field, interval } => {
                Self::Time { values: segment.open(field)?, interval: *interval }
            }
        })
    }

    fn keys_of(&self, doc: u32) -> Result<Vec<Key>, String> {
        Ok(match self {
            Self::Terms(column) => column.keys_of(doc)?,
            Self::Time { values, interval } => {
                let starts = split_by_time(values.as_ref(), *interval, &[doc]);
                let mut starts: Vec<_> = starts.into_keys().map(Key::Integer).collect();
                starts.sort();
                starts
            }
        })
    }
}

/// Returns documents by combinations of the parts' keys.
fn split_by_parts(parts: &[Part], documents: &[u32]) -> Result<Vec<(Key, Vec<u32>)>, String> {
    // All keys of the terms parts at once, dictionary front to back.
    for part in parts {
        if let Part::Terms(column) = part {
            column.distinct(documents)?;
        }
    }
    let mut buckets: HashMap<Key, Vec<u32>> = HashMap::new();
    for doc in documents {
        let mut combinations = vec![Vec::with_capacity(parts.len())];
        for part in parts {
            let keys = part.keys_of(*doc)?;
            let extended = combinations.iter().flat_map(|combination: &Vec<Key>| {
                keys.iter().map(move |key| {
                    let mut longer = combination.clone();
                    longer.push(key.clone());
                    longer
                })
            });
            combinations = extended.collect();
        }
        for combination in combinations {
            buckets.entry(Key::Parts(combination)).or_default().push(*doc);
        }
    }
    Ok(buckets.into_iter().collect())
}
