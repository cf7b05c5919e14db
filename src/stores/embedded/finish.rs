//! A search over all its indices: every segment adds its part, then the parts become the answer.

use std::cmp::Ordering;

use super::aggregate::{Segment, SegmentError, collect_all, prepare};
use super::condition::matching;
use super::hits::{Candidate, Shard, Sorter, fetch, first_hits};
use super::index::engine_error;
use super::partial::{Partial, PartialBucket, add_all, empty};
use crate::model::Timestamp;
use crate::stores::calendar::bucket_text;
use crate::stores::histogram::{fill, too_many};
use crate::stores::resolve::{Condition, resolve};
use crate::stores::{
    Aggregation, AggregationKind, AggregationResult, AggregationResults, Aggregations, Bucket,
    Direction, Key, RequestError, SearchRequest, SearchResponse, Stats, StoreError, TermsOrder,
};

/// Answers `request`, which was checked, over `shards`.
pub(super) fn search(
    request: &SearchRequest,
    shards: &[Shard],
) -> Result<SearchResponse, StoreError> {
    let mut found = find(request, shards)?;
    let aggregations = Finish { shards }.all(&request.aggregations, found.partials)?;
    let page = found.hits.split_off(request.from.min(found.hits.len()));
    let hits = fetch(shards, page, &request.source)?;
    Ok(SearchResponse { total: found.total, hits, aggregations })
}

fn find(request: &SearchRequest, shards: &[Shard]) -> Result<Found, StoreError> {
    let condition = condition_of(request)?;
    let mut found = Found { total: 0, hits: Vec::new(), partials: empty(&request.aggregations) };
    for (at, shard) in shards.iter().enumerate() {
        for (ord, reader) in (0..).zip(shard.searcher.segment_readers()) {
            let segment = Segment { family: request.family, shard: at, ord, reader };
            found.add(request, &condition, &segment).map_err(|error| match error {
                SegmentError::Engine(reason) => engine_error(&shard.name, "searching", reason),
                SegmentError::Store(error) => error,
            })?;
        }
    }
    Ok(found)
}

/// Returns the candidates for the hits of `request`, which was checked, in order.
pub(super) fn candidates(
    request: &SearchRequest,
    shards: &[Shard],
) -> Result<Vec<Candidate>, StoreError> {
    find(request, shards).map(|found| found.hits)
}

/// Returns what each of `aggregations` says about no documents at all.
pub(in crate::stores) fn nothing_found(
    aggregations: &Aggregations,
) -> Result<AggregationResults, RequestError> {
    match (Finish { shards: &[] }).all(aggregations, empty(aggregations)) {
        Ok(results) => Ok(results),
        Err(StoreError::Request(error)) => Err(error),
        Err(_) => unreachable!("nothing is read where there are no documents"),
    }
}

fn condition_of(request: &SearchRequest) -> Result<Condition, StoreError> {
    let filter = resolve(request.family, &request.filter)?;
    let Some(time) = request.time else { return Ok(filter) };
    let (from, to) = (time.from.millis(), time.to.millis());
    let to = if time.to == Timestamp::MAX { i64::MAX } else { to.saturating_sub(1) };
    let time = Condition::Whole { field: "@timestamp".to_owned(), from, to };
    Ok(Condition::And(vec![time, filter]))
}

/// What the segments so far have found.
struct Found {
    total: u64,
    hits: Vec<Candidate>,
    partials: Vec<Partial>,
}

impl Found {
    fn add(
        &mut self,
        request: &SearchRequest,
        condition: &Condition,
        segment: &Segment<'_>,
    ) -> Result<(), SegmentError> {
        let documents = matching(segment.reader, condition)?.live(segment.reader);
        if documents.is_empty() {
            return Ok(());
        }
        self.total += documents.len() as u64;
        let wanted = request.from + request.size;
        if wanted > 0 {
            let after = request.search_after.as_deref();
            let sorter = Sorter::prepare(segment, &request.sort, after)?;
            self.hits.extend(sorter.first(&documents, wanted)?);
            first_hits(&mut self.hits, &request.sort, wanted);
        }
        let nodes = prepare(segment, &request.aggregations)?;
        let partials = collect_all(&nodes, &documents)?;
        add_all(&request.aggregations, &mut self.partials, partials);
        Ok(())
    }
}

/// Turns sums of parts into results.
struct Finish<'a> {
    shards: &'a [Shard],
}

impl Finish<'_> {
    fn all(
        &self,
        aggregations: &Aggregations,
        partials: Vec<Partial>,
    ) -> Result<AggregationResults, StoreError> {
        let named = aggregations.iter().zip(partials).map(|((name, aggregation), partial)| {
            Ok((name.clone(), self.one(name, aggregation, partial)?))
        });
        named.collect()
    }

    fn one(
        &self,
        name: &str,
        aggregation: &Aggregation,
        partial: Partial,
    ) -> Result<AggregationResult, StoreError> {
        Ok(match partial {
            Partial::Buckets(buckets) => {
                self.buckets(name, aggregation, buckets.into_iter().collect())?
            }
            Partial::Numbers(numbers) => match &aggregation.kind {
                AggregationKind::Stats { .. } => AggregationResult::Stats(Stats {
                    count: numbers.count,
                    sum: numbers.sum(),
                    min: numbers.min(),
                    max: numbers.max(),
                    avg: numbers.mean(),
                }),
                AggregationKind::Min { .. } => AggregationResult::Value(numbers.min()),
                AggregationKind::Max { .. } => AggregationResult::Value(numbers.max()),
                AggregationKind::Avg { .. } => AggregationResult::Value(numbers.mean()),
                _ => AggregationResult::Value(Some(numbers.sum())),
            },
            Partial::Count(count) => AggregationResult::Value(Some(count as f64)),
            Partial::Distinct(keys) => AggregationResult::Value(Some(keys.len() as f64)),
            Partial::Values(values) => {
                let AggregationKind::Percentiles { percents, .. } = &aggregation.kind else {
                    return Ok(AggregationResult::Value(None));
                };
                AggregationResult::Percentiles(percentiles(percents, values))
            }
            Partial::Hits(mut candidates) => {
                let AggregationKind::TopHits { size, sort, source } = &aggregation.kind else {
                    return Ok(AggregationResult::Value(None));
                };
                first_hits(&mut candidates, sort, *size);
                AggregationResult::Hits(fetch(self.shards, candidates, source)?)
            }
        })
    }

    fn buckets(
        &self,
        name: &str,
        aggregation: &Aggregation,
        mut buckets: Vec<(Key, PartialBucket)>,
    ) -> Result<AggregationResult, StoreError> {
        use AggregationKind as Kind;
        buckets.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut other_doc_count = 0;
        match &aggregation.kind {
            Kind::DateHistogram { interval, extended_bounds, min_doc_count, .. } => {
                if *min_doc_count == 0 {
                    let empty = || PartialBucket::empty(&aggregation.below);
                    buckets = fill(name, *interval, *extended_bounds, buckets, empty)?;
                } else {
                    buckets.retain(|(_, bucket)| bucket.count >= *min_doc_count);
                }
            }
            Kind::Terms { size, order, .. } => {
                sort_terms(order, &aggregation.below, &mut buckets);
                let rest = buckets.iter().skip(*size);
                other_doc_count = rest.map(|(_, bucket)| bucket.count).sum();
                buckets.truncate(*size);
            }
            Kind::Range { ranges, .. } => {
                let keys = ranges.iter().map(|range| range.key.as_str());
                buckets = named(keys, buckets, &aggregation.below);
            }
            Kind::Filters { filters } => {
                let keys = filters.iter().map(|(key, _)| key.as_str());
                buckets = named(keys, buckets, &aggregation.below);
            }
            Kind::Composite { size, after, .. } => {
                if let Some(after) = after {
                    let after = Key::Parts(after.clone());
                    buckets.retain(|(key, _)| *key > after);
                }
                buckets.truncate(*size);
            }
            _ => {}
        }
        if buckets.len() > SearchRequest::MAX_BUCKETS {
            return Err(too_many(name).into());
        }
        let buckets = buckets.into_iter().map(|(key, bucket)| {
            let key_as_string = match (&aggregation.kind, &key) {
                (Kind::DateHistogram { interval, .. }, Key::Integer(at)) => {
                    Some(bucket_text(*interval, *at))
                }
                _ => None,
            };
            let aggregations = self.all(&aggregation.below, bucket.below)?;
            Ok(Bucket { key, key_as_string, doc_count: bucket.count, aggregations })
        });
        let buckets = buckets.collect::<Result<_, StoreError>>()?;
        Ok(AggregationResult::Buckets { buckets, other_doc_count })
    }
}

/// Returns one bucket per key, in the order of the request; `buckets` are numbered by it.
fn named<'k>(
    keys: impl Iterator<Item = &'k str>,
    buckets: Vec<(Key, PartialBucket)>,
    below: &Aggregations,
) -> Vec<(Key, PartialBucket)> {
    let mut present = buckets.into_iter().peekable();
    let bucket = |(at, key): (i64, &str)| {
        let found = present.next_if(|(place, _)| *place == Key::Integer(at));
        let bucket = found.map_or_else(|| PartialBucket::empty(below), |(_, bucket)| bucket);
        (Key::Text(key.to_owned()), bucket)
    };
    (0..).zip(keys).map(bucket).collect()
}

/// Sorts buckets that are in the order of their keys; equals stay in it.
fn sort_terms(order: &TermsOrder, below: &Aggregations, buckets: &mut Vec<(Key, PartialBucket)>) {
    match order {
        TermsOrder::Key(Direction::Ascending) => {}
        TermsOrder::Key(Direction::Descending) => buckets.reverse(),
        TermsOrder::Count(Direction::Ascending) => buckets.sort_by_key(|(_, bucket)| bucket.count),
        TermsOrder::Count(Direction::Descending) => {
            buckets.sort_by_key(|(_, bucket)| std::cmp::Reverse(bucket.count));
        }
        TermsOrder::Metric { path, direction } => {
            let (metric, part) = path.split_once('.').unwrap_or((path, ""));
            let Some(at) = below.keys().position(|name| name == metric) else { return };
            let Some(kind) = below.get(metric).map(|aggregation| &aggregation.kind) else { return };
            let mut valued: Vec<_> = std::mem::take(buckets)
                .into_iter()
                .map(|(key, bucket)| (metric_value(kind, part, &bucket.below[at]), key, bucket))
                .collect();
            valued.sort_by(|(a, ..), (b, ..)| compare_metrics(*direction, *a, *b));
            buckets.extend(valued.into_iter().map(|(_, key, bucket)| (key, bucket)));
        }
    }
}

fn compare_metrics(direction: Direction, a: f64, b: f64) -> Ordering {
    match direction {
        Direction::Ascending => a.total_cmp(&b),
        Direction::Descending => b.total_cmp(&a),
    }
}

/// The number that a bucket is ordered by: no value is beyond all smallest and all largest ones.
fn metric_value(kind: &AggregationKind, part: &str, partial: &Partial) -> f64 {
    use AggregationKind as Kind;
    match partial {
        Partial::Count(count) => *count as f64,
        Partial::Distinct(keys) => keys.len() as f64,
        Partial::Numbers(numbers) => match (kind, part) {
            (Kind::Min { .. }, _) | (Kind::Stats { .. }, "min") => {
                numbers.min().unwrap_or(f64::INFINITY)
            }
            (Kind::Max { .. }, _) | (Kind::Stats { .. }, "max") => {
                numbers.max().unwrap_or(f64::NEG_INFINITY)
            }
            (Kind::Stats { .. }, "count") => numbers.count as f64,
            _ => numbers.sum(),
        },
        // Nothing is ordered by these.
        Partial::Buckets(_) | Partial::Values(_) | Partial::Hits(_) => 0.0,
    }
}

/// Interpolates linearly between the two nearest ranks.
fn percentiles(percents: &[f64], mut values: Vec<f64>) -> Vec<(f64, Option<f64>)> {
    values.sort_by(f64::total_cmp);
    let at = |percent: f64| {
        let last = values.len().checked_sub(1)?;
        let rank = percent / 100.0 * last as f64;
        let (low, high) = (values[rank.floor() as usize], values[(rank.ceil() as usize).min(last)]);
        Some(low * (1.0 - rank.fract()) + high * rank.fract())
    };
    percents.iter().map(|percent| (*percent, at(*percent))).collect()
}
