//! Aggregations of the model as the servers read them.
//!
//! Keys that the caller made up (of ranges, filters and the parts of a composite key) travel as
//! their places in the request: nothing in them can then mean anything to a server.

use serde_json::{Map, Value, json};

use super::conditions::filter;
use super::query::{hits, word};
use crate::stores::{
    Aggregation, AggregationKind, Aggregations, CalendarUnit, CompositeSource, Direction, Family,
    Interval, Key, NamedRange, RequestError, TermsOrder,
};

/// How many terms every shard offers: counts are exact up to so many different values per index.
const SHARD_TERMS: usize = 10_000;
/// The same within the buckets of another terms aggregation, of which every shard may hold as many.
const INNER_SHARD_TERMS: usize = 1_000;

/// Up to how many different values a cardinality is all but exact; the servers' limit. It takes
/// up to 8 bytes each.
const DISTINCT_VALUES: u64 = 40_000;
/// The same within buckets, of which there may be thousands, each with a sketch of its own.
const INNER_DISTINCT_VALUES: u64 = 1_000;

/// How many centroids a sketch of percentiles has: the rank of an estimate is off by 0.5 % of the
/// values at most, and takes up to 320 kB per bucket.
const COMPRESSION: u64 = 500;

/// Where an aggregation stands.
#[derive(Clone, Copy, Default)]
struct Place {
    in_buckets: bool,
    in_terms: bool,
}

/// The value of `aggs`.
pub(super) fn render(family: Family, aggregations: &Aggregations) -> Result<Value, RequestError> {
    render_at(family, aggregations, Place::default())
}

fn render_at(
    family: Family,
    aggregations: &Aggregations,
    place: Place,
) -> Result<Value, RequestError> {
    let mut rendered = Map::new();
    for (name, aggregation) in aggregations {
        let mut body = one(family, aggregation, place)?;
        if !aggregation.below.is_empty() {
            let is_terms = matches!(
                aggregation.kind,
                AggregationKind::Terms { .. } | AggregationKind::Composite { .. }
            );
            let below = Place { in_buckets: true, in_terms: place.in_terms || is_terms };
            body["aggs"] = render_at(family, &aggregation.below, below)?;
        }
        rendered.insert(name.clone(), body);
    }
    Ok(Value::Object(rendered))
}

fn one(family: Family, aggregation: &Aggregation, place: Place) -> Result<Value, RequestError> {
    use AggregationKind as Kind;
    let metric = |name: &str, field: &str| json!({name: {"field": field}});
    Ok(match &aggregation.kind {
        // Empty buckets are made on this side, see `histogram`.
        Kind::DateHistogram { field, interval, min_doc_count, .. } => {
            let mut body = histogram(field, *interval);
            body.insert("min_doc_count".to_owned(), (*min_doc_count).max(1).into());
            json!({"date_histogram": body})
        }
        Kind::Terms { field, size, order } => {
            let offered = if place.in_terms { INNER_SHARD_TERMS } else { SHARD_TERMS };
            json!({"terms": {
                "field": field,
                "size": size,
                "shard_size": (*size).max(offered),
                "order": terms_order(order),
            }})
        }
        Kind::Range { field, ranges } => {
            let ranges: Vec<_> = ranges.iter().enumerate().map(range).collect();
            json!({"range": {"field": field, "keyed": true, "ranges": ranges}})
        }
        Kind::Filters { filters } => {
            let filters = filters.iter().enumerate();
            let filters = filters.map(|(at, (_, one))| Ok((at.to_string(), filter(family, one)?)));
            let filters = filters.collect::<Result<Map<_, _>, RequestError>>()?;
            json!({"filters": {"filters": filters}})
        }
        Kind::Composite { sources, size, after } => composite(sources, *size, after.as_deref()),
        Kind::Sum { field } => metric("sum", field),
        Kind::Min { field } => metric("min", field),
        Kind::Max { field } => metric("max", field),
        Kind::Avg { field } => metric("avg", field),
        Kind::Stats { field } => metric("stats", field),
        Kind::ValueCount { field } => metric("value_count", field),
        Kind::Percentiles { field, percents } => {
            let mut percents = percents.clone();
            percents.sort_by(f64::total_cmp);
            percents.dedup();
            json!({"percentiles": {
                "field": field,
                "percents": percents,
                "keyed": false,
                "tdigest": {"compression": COMPRESSION},
            }})
        }
        Kind::Cardinality { field } => {
            let exact = if place.in_buckets { INNER_DISTINCT_VALUES } else { DISTINCT_VALUES };
            json!({"cardinality": {"field": field, "precision_threshold": exact}})
        }
        Kind::TopHits { size, sort, source } => {
            json!({"top_hits": hits(family, sort, *size, source)?})
        }
    })
}

fn histogram(field: &str, interval: Interval) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("field".to_owned(), field.into());
    match interval {
        Interval::Fixed { seconds } => {
            body.insert("fixed_interval".to_owned(), format!("{seconds}s").into());
        }
        Interval::Calendar { unit, time_zone } => {
            let unit = match unit {
                CalendarUnit::Hour => "1h",
                CalendarUnit::Day => "1d",
            };
            body.insert("calendar_interval".to_owned(), unit.into());
            body.insert("time_zone".to_owned(), time_zone.name().into());
        }
    }
    body
}

fn terms_order(order: &TermsOrder) -> Value {
    let by = |name: &str, direction: Direction| json!({name: word(direction)});
    let ties = by("_key", Direction::Ascending);
    match order {
        TermsOrder::Count(direction) => json!([by("_count", *direction), ties]),
        TermsOrder::Key(direction) => json!([by("_key", *direction)]),
        TermsOrder::Metric { path, direction } => json!([by(path, *direction), ties]),
    }
}

fn range((at, range): (usize, &NamedRange)) -> Value {
    let mut body = Map::new();
    body.insert("key".to_owned(), at.to_string().into());
    for (name, end) in [("from", range.from), ("to", range.to)] {
        // An infinite end is an open one; JSON has no word for it.
        if let Some(end) = end.filter(|end| end.is_finite()) {
            body.insert(name.to_owned(), end.into());
        }
    }
    Value::Object(body)
}

fn composite(sources: &[(String, CompositeSource)], size: usize, after: Option<&[Key]>) -> Value {
    let sources = sources.iter().enumerate().map(|(at, (_, source))| {
        let body = match source {
            CompositeSource::Terms { field } => json!({"terms": {"field": field}}),
            CompositeSource::DateHistogram { field, interval } => {
                json!({"date_histogram": histogram(field, *interval)})
            }
        };
        json!({at.to_string(): body})
    });
    let sources: Vec<_> = sources.collect();
    let mut body = json!({"size": size, "sources": sources});
    if let Some(after) = after {
        let after = after.iter().enumerate().map(|(at, key)| (at.to_string(), key_value(key)));
        body["after"] = Value::Object(after.collect());
    }
    json!({"composite": body})
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Boolean(value) => json!(value),
        Key::Integer(value) => json!(value),
        Key::Number(value) => json!(value),
        Key::Ip(value) => json!(value),
        Key::Text(value) => json!(value),
        Key::Parts(parts) => parts.iter().map(key_value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(aggregation: Aggregation) -> Value {
        let mut all = Aggregations::new();
        all.insert("x".to_owned(), aggregation);
        render(Family::Windows, &all).unwrap()["x"].clone()
    }

    const BYTES: &str = "flowsentry.window.features.bytes";

    #[test]
    fn empty_buckets_are_not_asked_for() {
        let day = Interval::Calendar { unit: CalendarUnit::Day, time_zone: chrono_tz::Asia::Tokyo };
        assert_eq!(
            rendered(Aggregation::over_time(day)),
            json!({"date_histogram": {
                "field": "@timestamp", "calendar_interval": "1d", "time_zone": "Asia/Tokyo",
                "min_doc_count": 1,
            }})
        );
    }

    #[test]
    fn ties_are_ordered_by_key_and_sketches_shrink_within_buckets() {
        let order = TermsOrder::metric("hosts", Direction::Descending);
        let inner = Aggregation::terms("tags", 3);
        let terms = Aggregation::terms_by("tags", 5, order)
            .with("hosts", Aggregation::cardinality("source.ip"))
            .with("inner", inner);
        let body = rendered(terms);
        assert_eq!(body["terms"]["order"], json!([{"hosts": "desc"}, {"_key": "asc"}]));
        assert_eq!(body["terms"]["shard_size"], 10_000);
        assert_eq!(body["aggs"]["hosts"]["cardinality"]["precision_threshold"], 1_000);
        assert_eq!(body["aggs"]["inner"]["terms"]["shard_size"], 1_000);
    }

    #[test]
    fn keys_of_the_caller_travel_as_places() {
        let range = NamedRange { key: "\"}{".to_owned(), from: None, to: Some(f64::INFINITY) };
        let body = rendered(Aggregation::ranges(BYTES, vec![range]));
        assert_eq!(body["range"]["ranges"], json!([{"key": "0"}]));
        let by_tag = CompositeSource::Terms { field: "tags".to_owned() };
        let kind = AggregationKind::Composite {
            sources: vec![("../".to_owned(), by_tag)],
            size: 2,
            after: Some(vec![Key::Text("a".to_owned())]),
        };
        let body = rendered(kind.into());
        assert_eq!(body["composite"]["sources"], json!([{"0": {"terms": {"field": "tags"}}}]));
        assert_eq!(body["composite"]["after"], json!({"0": "a"}));
    }
}
