//! Answers of the servers in terms of the model.
//!
//! A server, or what stands in its place, may answer anything: whatever does not fit is an error
//! with a bounded text.

use std::net::IpAddr;

use serde_json::Value;

use super::error::{Cause, bounded};
use super::store::read_version;
use crate::model::Timestamp;
use crate::stores::fields::FieldKind;
use crate::stores::resolve::known;
use crate::stores::source::project;
use crate::stores::{
    Direction, DocumentId, Family, Hit, IndexName, Namespace, RequestError, SearchRequest,
    SearchResponse, Sort, SortValue, SourceFields, embedded,
};

/// Why an answer is none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum AnswerError {
    /// The request asks for more than any store gives.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It does not say what an answer says.
    #[error("{0}")]
    Unreadable(String),
}

pub(super) type Read<T> = Result<T, AnswerError>;

pub(super) fn unreadable<T>(what: impl AsRef<str>) -> Read<T> {
    Err(AnswerError::Unreadable(bounded(what.as_ref())))
}

/// Reads the answer to the body that [`super::query::search_body`] made of `request`.
pub(super) fn read_answer(request: &SearchRequest, answer: Value) -> Read<SearchResponse> {
    check_whole(&answer)?;
    let total = answer.pointer("/hits/total/value").and_then(Value::as_u64);
    let Some(total) = total else { return unreadable("it has no total of hits") };
    let reader = Reader { family: request.family, namespace: &request.namespace };
    let aggregations = match answer.get("aggregations") {
        Some(results) => reader.all(&request.aggregations, results)?,
        // A server that found no index at all leaves them out.
        None => embedded::nothing_found(&request.aggregations)?,
    };
    let hits = reader.hits(&answer, &request.sort, &request.source)?;
    Ok(SearchResponse { total, hits, aggregations })
}

/// Reads the hits alone.
pub(super) fn read_hits(request: &SearchRequest, answer: &Value) -> Read<Vec<Hit>> {
    check_whole(answer)?;
    let reader = Reader { family: request.family, namespace: &request.namespace };
    reader.hits(answer, &request.sort, &request.source)
}

/// Refuses the answer of some of the shards: sums over a part look like sums over all.
fn check_whole(answer: &Value) -> Read<()> {
    let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or(0);
    if failed > 0 {
        let cause = answer.pointer("/_shards/failures/0/reason").map(Cause::read);
        let reason = cause.map(|cause| cause.reason).unwrap_or_default();
        return unreadable(format!("{failed} shards did not take part: {reason}"));
    }
    match answer.get("timed_out") {
        Some(Value::Bool(true)) => unreadable("the search was cut off by a time-out"),
        _ => Ok(()),
    }
}

/// Reads what belongs to one family of one namespace.
pub(super) struct Reader<'a> {
    pub(super) family: Family,
    namespace: &'a Namespace,
}

impl Reader<'_> {
    pub(super) fn hits(&self, of: &Value, sort: &[Sort], source: &SourceFields) -> Read<Vec<Hit>> {
        match of.pointer("/hits/hits").and_then(Value::as_array) {
            Some(hits) => hits.iter().map(|hit| self.hit(hit, sort, source)).collect(),
            None => unreadable("it has no hits"),
        }
    }

    fn hit(&self, hit: &Value, sort: &[Sort], wanted: &SourceFields) -> Read<Hit> {
        let text = |name: &str| hit.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(version) = read_version(hit) else { return unreadable("a hit has no version") };
        let Ok(id) = DocumentId::new(text("_id")) else { return unreadable("a hit has no id") };
        let source =
            hit.get("_source").cloned().unwrap_or_else(|| Value::Object([].into_iter().collect()));
        Ok(Hit {
            index: self.index_of(hit)?,
            id,
            version,
            source: project(source, wanted),
            sort: self.sort_values(hit, sort)?,
        })
    }

    /// The index of a hit; of a flow the one that holds its day, because the indices behind a data
    /// stream are named after the day on which they were begun.
    fn index_of(&self, hit: &Value) -> Read<IndexName> {
        let name = hit.get("_index").and_then(Value::as_str).unwrap_or_default();
        if self.family != Family::Flows {
            return match IndexName::parse(name) {
                Some(index) => Ok(index),
                None => unreadable(format!("index `{name}` is not one of ours")),
            };
        }
        let millis = hit.pointer("/fields/@timestamp/0").and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        });
        match millis {
            Some(millis) => {
                let time = Timestamp::from_millis(millis);
                Ok(IndexName::for_event(self.family, self.namespace, time))
            }
            None => unreadable("a flow has no time"),
        }
    }

    fn sort_values(&self, hit: &Value, sort: &[Sort]) -> Read<Vec<SortValue>> {
        if sort.is_empty() {
            return Ok(Vec::new());
        }
        // With a point in time, a server adds one of its own.
        let values = hit.get("sort").and_then(Value::as_array);
        let Some(values) = values.filter(|values| values.len() >= sort.len()) else {
            return unreadable("a hit has too few sort values");
        };
        sort.iter().zip(values).map(|(key, value)| self.sort_value(hit, key, value)).collect()
    }

    fn sort_value(&self, hit: &Value, key: &Sort, value: &Value) -> Read<SortValue> {
        let number = || value.as_i64();
        let end = match key.direction {
            Direction::Ascending => i64::MAX,
            Direction::Descending => i64::MIN,
        };
        let read = match known(self.family, &key.field)? {
            FieldKind::Long => number().map(|number| {
                let has_value = || hit.get("fields").and_then(|fields| fields.get(&key.field));
                match number == end && has_value().is_none() {
                    true => SortValue::Missing,
                    false => SortValue::Integer(number),
                }
            }),
            FieldKind::Date => number().map(|number| match number == end {
                true => SortValue::Missing,
                false => SortValue::Integer(number),
            }),
            FieldKind::Boolean => number().map(|number| match number {
                0 | 1 => SortValue::Integer(number),
                _ => SortValue::Missing,
            }),
            FieldKind::Double | FieldKind::DoubleMap => match value {
                // No document holds an infinite number.
                Value::String(_) | Value::Null => Some(SortValue::Missing),
                value => value.as_f64().map(SortValue::Number),
            },
            FieldKind::Keyword | FieldKind::Text => match value {
                Value::Null => Some(SortValue::Missing),
                value => value.as_str().map(|text| SortValue::Text(text.to_owned())),
            },
            FieldKind::Ip => match value {
                Value::Null => Some(SortValue::Missing),
                value => read_address(value).map(SortValue::Ip),
            },
        };
        match read {
            Some(read) => Ok(read),
            None => unreadable(format!("`{value}` is no sort value of `{}`", key.field)),
        }
    }
}

pub(super) fn read_address(value: &Value) -> Option<IpAddr> {
    Some(value.as_str()?.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Aggregation;
    use serde_json::json;

    const SECONDS: &str = "flowsentry.window.seconds";

    fn windows() -> SearchRequest {
        SearchRequest::new(Family::Windows, Namespace::default())
    }

    fn answer(hits: Value) -> Value {
        let total = hits.as_array().map_or(0, Vec::len);
        json!({"timed_out": false, "_shards": {"failed": 0},
            "hits": {"total": {"value": total, "relation": "eq"}, "hits": hits}})
    }

    fn hit(sort: Value, fields: Value) -> Value {
        json!({"_index": "flowsentry-windows-default-2026.11.21", "_id": "a", "_seq_no": 3,
            "_primary_term": 1, "_source": {"a": 1}, "sort": sort, "fields": fields})
    }

    #[test]
    fn the_largest_number_is_told_from_none() {
        let request = windows().sort(Sort::ascending(SECONDS));
        let values = |fields| {
            let answer = answer(json!([hit(json!([i64::MAX]), fields)]));
            read_answer(&request, answer).unwrap().hits[0].sort.clone()
        };
        assert_eq!(values(json!({})), [SortValue::Missing]);
        assert_eq!(values(json!({SECONDS: [i64::MAX]})), [SortValue::Integer(i64::MAX)]);
    }

    #[test]
    fn a_flow_is_in_the_index_of_its_day() {
        let request = SearchRequest::new(Family::Flows, Namespace::default());
        let mut flow = hit(json!([0]), json!({"@timestamp": ["1795255200123"]}));
        flow["_index"] = json!(".ds-logs-flowsentry.flow-default-2026.11.19-000007");
        let found = read_answer(&request, answer(json!([flow]))).unwrap();
        assert_eq!(found.hits[0].index.to_string(), "flowsentry-flows-default-2026.11.21");
        assert!(found.hits[0].sort.is_empty());
    }

    #[test]
    fn an_answer_of_a_part_is_none() {
        let mut part = answer(json!([]));
        part["_shards"] = json!({"failed": 1, "failures": [{"reason": {"reason": "disk\u{7}"}}]});
        let error = read_answer(&windows(), part).unwrap_err().to_string();
        assert_eq!(error, "1 shards did not take part: disk ");
        let mut late = answer(json!([]));
        late["timed_out"] = json!(true);
        assert!(read_answer(&windows(), late).is_err());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let sum =
            windows().aggregate("x", Aggregation::terms("tags", 3)).sort(Sort::ascending(SECONDS));
        for wrong in [
            json!(null),
            json!([]),
            json!({"hits": 5}),
            answer(json!([{}])),
            answer(json!([hit(json!([]), json!({}))])),
            answer(json!([hit(json!(["x"]), json!({}))])),
        ] {
            assert!(read_answer(&sum, wrong.clone()).is_err(), "{wrong}");
        }
        for wrong in [json!({}), json!({"x": {"buckets": [{"key": 5, "doc_count": 1}]}})] {
            let mut answer = answer(json!([]));
            answer["aggregations"] = wrong.clone();
            assert!(read_answer(&sum, answer).is_err(), "{wrong}");
        }
        let mut elsewhere = hit(json!([1]), json!({}));
        elsewhere["_index"] = json!("x");
        let error = read_answer(&sum, answer(json!([elsewhere]))).unwrap_err();
        assert_eq!(error.to_string(), "index `x` is not one of ours");
    }

    #[test]
    fn without_any_index_there_are_empty_results() {
        let request = windows()
            .aggregate("sum", Aggregation::sum("flowsentry.window.features.bytes"))
            .aggregate("tags", Aggregation::terms("tags", 3));
        let found = read_answer(&request, answer(json!([]))).unwrap();
        assert_eq!((found.value("sum"), found.buckets("tags").len()), (Some(0.0), 0));
    }
}
