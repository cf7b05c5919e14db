//! What is asked of the store.
//!
//! A flow from a topic has a *position*: topic, partition and offset. Flows that somebody else
//! indexed have none; all of them together are one more partition, in the order of a time.

use std::collections::BTreeSet;

use super::SourceError;
use crate::model::Timestamp;
use crate::sources::PartitionName;
use crate::stores::{
    Aggregation, AggregationKind, Bucket, CompositeSource, Family, Filter, Key, Limit, Namespace,
    SearchRequest, Sort, SortValue, SourceFields, Store, StoreError,
};

pub(super) const TOPIC: &str = "flowsentry.flow.topic";
pub(super) const PARTITION: &str = "flowsentry.flow.partition";
pub(super) const OFFSET: &str = "flowsentry.flow.offset";
pub(super) const TIME: &str = "@timestamp";
pub(super) const INGESTED: &str = "event.ingested";

/// What tells flows of one moment apart that have no position: an order that every store gives
/// again.
const TIES: [&str; 7] = [
    "event.id",
    "source.ip",
    "source.port",
    "destination.ip",
    "destination.port",
    "event.start",
    "network.bytes",
];

/// Partitions that are listed at a time.
const NAMES: usize = 1_000;

/// The name of the partition of flows without a position. No flow can have it as its position.
pub(super) fn unplaced_name() -> PartitionName {
    PartitionName { topic: "flows without a position".to_owned(), partition: -1 }
}

/// Flows with a position.
fn placed() -> Filter {
    Filter::And(vec![
        Filter::exists(TOPIC),
        Filter::between(PARTITION, 0, i64::from(i32::MAX) + 1),
        Filter::at_least(OFFSET, 0_i64),
    ])
}

/// The flows of a partition.
pub(super) fn of(name: &PartitionName) -> Filter {
    if *name == unplaced_name() {
        return placed().negate();
    }
    Filter::And(vec![
        Filter::term(TOPIC, name.topic.as_str()),
        Filter::term(PARTITION, name.partition),
    ])
}

/// The field that a partition is read in the order of, for as long as it ends.
pub(super) fn offset_field(name: &PartitionName, time: &'static str) -> &'static str {
    if *name == unplaced_name() { time } else { OFFSET }
}

/// Values of `field` from `from` on and below `to`, where it has an end.
pub(super) fn offsets(field: &str, from: i64, to: Option<i64>) -> Filter {
    let value = |offset: i64| match field {
        OFFSET => offset.into(),
        _ => Timestamp::from_millis(offset).into(),
    };
    Filter::Range {
        field: field.to_owned(),
        from: Limit::Included(value(from)),
        to: to.map_or(Limit::Open, |to| Limit::Excluded(value(to))),
    }
}

/// Flows that arrived in the index before `to`, and at `from` or later. Without a time of arrival
/// the event time counts.
pub(super) fn arrived(from: Option<Timestamp>, to: Option<Timestamp>) -> Filter {
    let within = |field: &str| Filter::Range {
        field: field.to_owned(),
        from: from.map_or(Limit::Open, |from| Limit::Included(from.into())),
        to: to.map_or(Limit::Open, |to| Limit::Excluded(to.into())),
    };
    let unstamped = Filter::And(vec![Filter::exists(INGESTED).negate(), within(TIME)]);
    Filter::Or(vec![within(INGESTED), unstamped])
}

/// All raw flows of a namespace.
pub(super) fn flows(namespace: &Namespace) -> SearchRequest {
    SearchRequest::new(Family::Flows, namespace.clone())
}

/// The order in which a partition is read by `field`.
pub(super) fn in_order(request: SearchRequest, field: &str) -> SearchRequest {
    let request = request.sort(Sort::ascending(field));
    if field == OFFSET {
        return request;
    }
    TIES.iter().fold(request, |request, key| request.sort(Sort::ascending(*key)))
}

/// Returns the partitions that `request` finds flows of.
pub(super) fn names(
    store: &dyn Store,
    request: &SearchRequest,
) -> Result<BTreeSet<PartitionName>, SourceError> {
    let mut names = BTreeSet::new();
    let unplaced = request.clone().filter(placed().negate()).size(0);
    if store.search(&unplaced)?.total > 0 {
        names.insert(unplaced_name());
    }
    let sources = ["topic", "partition"]
        .into_iter()
        .zip([TOPIC, PARTITION])
        .map(|(name, field)| (name.to_owned(), CompositeSource::Terms { field: field.to_owned() }));
    let sources: Vec<_> = sources.collect();
    let mut after = None;
    loop {
        let kind = AggregationKind::Composite { sources: sources.clone(), size: NAMES, after };
        let request = request.clone().filter(placed()).size(0);
        let found = store.search(&request.aggregate("names", Aggregation::from(kind)))?;
        let buckets = found.buckets("names");
        names.extend(buckets.iter().filter_map(name_of));
        match buckets.last() {
            Some(Bucket { key: Key::Parts(last), .. }) if buckets.len() == NAMES => {
                after = Some(last.clone());
            }
            Some(_) | None => return Ok(names),
        }
    }
}

fn name_of(bucket: &Bucket) -> Option<PartitionName> {
    let Key::Parts(parts) = &bucket.key else { return None };
    let [Key::Text(topic), Key::Integer(partition)] = parts.as_slice() else { return None };
    // A document may name several partitions, of which some are none.
    let partition = i32::try_from(*partition).ok().filter(|partition| *partition >= 0)?;
    Some(PartitionName { topic: topic.clone(), partition })
}

/// Returns the first offset, in the order of `field`, of the flows that `request` finds; the last
/// one with `last`.
pub(super) fn first_offset(
    store: &dyn Store,
    request: SearchRequest,
    field: &str,
    last: bool,
) -> Result<Option<i64>, StoreError> {
    let sort = if last { Sort::descending(field) } else { Sort::ascending(field) };
    let request = request.filter(Filter::exists(field)).sort(sort).size(1);
    let found = store.search(&request.source(SourceFields::None))?;
    Ok(found.hits.first().and_then(|hit| whole(hit.sort.first())))
}

/// The whole number of a sort value.
pub(super) fn whole(value: Option<&SortValue>) -> Option<i64> {
    if let Some(SortValue::Integer(number)) = value { Some(*number) } else { None }
}
