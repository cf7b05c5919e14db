//! Results of aggregations in terms of the model.

use serde_json::Value;

use super::answer::{Read, Reader, read_address, unreadable};
use crate::stores::calendar::bucket_text;
use crate::stores::fields::FieldKind;
use crate::stores::histogram::fill;
use crate::stores::resolve::known;
use crate::stores::{
    Aggregation, AggregationKind, AggregationResult, AggregationResults, Aggregations, Bucket,
    CompositeSource, Key, Stats, embedded,
};

impl Reader<'_> {
    /// Reads the results of `aggregations`.
    pub(super) fn all(
        &self,
        aggregations: &Aggregations,
        results: &Value,
    ) -> Read<AggregationResults> {
        let named = aggregations.iter().map(|(name, aggregation)| {
            let Some(result) = results.get(name) else {
                return unreadable(format!("aggregation `{name}` is missing"));
            };
            Ok((name.clone(), self.one(name, aggregation, result)?))
        });
        named.collect()
    }

    fn one(
        &self,
        name: &str,
        aggregation: &Aggregation,
        result: &Value,
    ) -> Read<AggregationResult> {
        use AggregationKind as Kind;
        Ok(match &aggregation.kind {
            Kind::DateHistogram { .. }
            | Kind::Terms { .. }
            | Kind::Range { .. }
            | Kind::Filters { .. }
            | Kind::Composite { .. } => {
                let others = result.get("sum_other_doc_count").and_then(Value::as_u64);
                AggregationResult::Buckets {
                    buckets: self.buckets(name, aggregation, result)?,
                    other_doc_count: others.unwrap_or(0),
                }
            }
            Kind::Sum { .. }
            | Kind::Min { .. }
            | Kind::Max { .. }
            | Kind::Avg { .. }
            | Kind::ValueCount { .. }
            | Kind::Cardinality { .. } => AggregationResult::Value(number(result.get("value"))),
            Kind::Stats { .. } => AggregationResult::Stats(Stats {
                count: result.get("count").and_then(Value::as_u64).unwrap_or(0),
                sum: number(result.get("sum")).unwrap_or(0.0),
                min: number(result.get("min")),
                max: number(result.get("max")),
                avg: number(result.get("avg")),
            }),
            Kind::Percentiles { percents, .. } => {
                AggregationResult::Percentiles(percentiles(percents, result))
            }
            Kind::TopHits { sort, source, .. } => {
                AggregationResult::Hits(self.hits(result, sort, source)?)
            }
        })
    }

    fn buckets(&self, name: &str, of: &Aggregation, result: &Value) -> Read<Vec<Bucket>> {
        use AggregationKind as Kind;
        match &of.kind {
            Kind::Range { ranges, .. } => {
                let keys = ranges.iter().map(|range| &range.key);
                self.placed(name, keys, &of.below, result)
            }
            Kind::Filters { filters } => {
                self.placed(name, filters.iter().map(|(key, _)| key), &of.below, result)
            }
            Kind::DateHistogram { interval, extended_bounds, min_doc_count, .. } => {
                let listed =
                    self.listed(name, result, &of.below, |key| key.as_i64().map(Key::Integer))?;
                let listed =
                    listed.into_iter().map(|bucket| (bucket.key.clone(), bucket)).collect();
                let filled = match min_doc_count {
                    0 => {
                        let none = embedded::nothing_found(&of.below)?;
                        let empty = || Bucket {
                            key: Key::Integer(0),
                            key_as_string: None,
                            doc_count: 0,
                            aggregations: none.clone(),
                        };
                        fill(name, *interval, *extended_bounds, listed, empty)?
                    }
                    _ => listed,
                };
                let dated = filled.into_iter().map(|(key, bucket)| {
                    let key_as_string = key.as_integer().map(|at| bucket_text(*interval, at));
                    Bucket { key, key_as_string, ..bucket }
                });
                Ok(dated.collect())
            }
            Kind::Terms { field, .. } => {
                let kind = known(self.family, field)?;
                self.listed(name, result, &of.below, |key| read_key(kind, key))
            }
            Kind::Composite { sources, .. } => {
                let mut kinds = Vec::with_capacity(sources.len());
                for (_, source) in sources {
                    kinds.push(match source {
                        CompositeSource::Terms { field } => known(self.family, field)?,
                        CompositeSource::DateHistogram { .. } => FieldKind::Date,
                    });
                }
                self.listed(name, result, &of.below, |key| {
                    let parts = kinds.iter().enumerate();
                    let parts = parts.map(|(at, kind)| read_key(*kind, key.get(at.to_string())?));
                    parts.collect::<Option<Vec<_>>>().map(Key::Parts)
                })
            }
            Kind::Sum { .. }
            | Kind::Min { .. }
            | Kind::Max { .. }
            | Kind::Avg { .. }
            | Kind::ValueCount { .. }
            | Kind::Stats { .. }
            | Kind::Percentiles { .. }
            | Kind::Cardinality { .. }
            | Kind::TopHits { .. } => Ok(Vec::new()),
        }
    }

    /// Buckets in a list, each with its key.
    fn listed(
        &self,
        name: &str,
        result: &Value,
        below: &Aggregations,
        read: impl Fn(&Value) -> Option<Key>,
    ) -> Read<Vec<Bucket>> {
        let Some(buckets) = result.get("buckets").and_then(Value::as_array) else {
            return unreadable(format!("aggregation `{name}` has no buckets"));
        };
        let buckets = buckets.iter().map(|bucket| {
            let Some(key) = bucket.get("key").and_then(&read) else {
                return unreadable(format!("a bucket of `{name}` has no key"));
            };
            self.bucket(key, bucket, below)
        });
        buckets.collect()
    }

    /// Buckets by their places in the request.
    fn placed<'k>(
        &self,
        name: &str,
        keys: impl Iterator<Item = &'k String>,
        below: &Aggregations,
        result: &Value,
    ) -> Read<Vec<Bucket>> {
        let buckets = keys.enumerate().map(|(at, key)| {
            let bucket = result.get("buckets").and_then(|buckets| buckets.get(at.to_string()));
            let Some(bucket) = bucket else {
                return unreadable(format!("a bucket of `{name}` is missing"));
            };
            self.bucket(Key::Text(key.clone()), bucket, below)
        });
        buckets.collect()
    }

    fn bucket(&self, key: Key, bucket: &Value, below: &Aggregations) -> Read<Bucket> {
        let Some(doc_count) = bucket.get("doc_count").and_then(Value::as_u64) else {
            return unreadable("a bucket has no count");
        };
        let aggregations = self.all(below, bucket)?;
        Ok(Bucket { key, key_as_string: None, doc_count, aggregations })
    }
}

fn read_key(kind: FieldKind, key: &Value) -> Option<Key> {
    match kind {
        FieldKind::Long | FieldKind::Date => key.as_i64().map(Key::Integer),
        FieldKind::Double | FieldKind::DoubleMap => key.as_f64().map(Key::Number),
        FieldKind::Keyword | FieldKind::Text => key.as_str().map(|text| Key::Text(text.to_owned())),
        FieldKind::Ip => read_address(key).map(Key::Ip),
        // A number in terms, a word in composite keys.
        FieldKind::Boolean => {
            key.as_bool().or_else(|| key.as_i64().map(|number| number != 0)).map(Key::Boolean)
        }
    }
}

/// A number of a metric; null is none, and sums may leave the range of JSON.
fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        value => value.as_f64(),
    }
}

/// The servers sort the percents; they go back into the order of the request.
fn percentiles(percents: &[f64], result: &Value) -> Vec<(f64, Option<f64>)> {
    let values = result.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of = |percent: f64| {
        let same = |value: &&Value| number(value.get("key")) == Some(percent);
        values.iter().find(same).and_then(|value| number(value.get("value")))
    };
    percents.iter().map(|percent| (*percent, of(*percent))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn percents_keep_the_order_of_the_request() {
        let result = json!({"values": [{"key": 5.0, "value": 1.0}, {"key": 50.0, "value": null}]});
        assert_eq!(percentiles(&[50.0, 5.0], &result), [(50.0, None), (5.0, Some(1.0))]);
    }
}
