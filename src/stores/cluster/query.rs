//! Requests of the model as the servers read them.

use serde_json::{Map, Value, json};

use super::aggregations;
use super::conditions::{dates, filter};
use super::error::ClusterError;
use crate::model::Timestamp;
use crate::stores::fields::FieldKind;
use crate::stores::histogram::too_many;
use crate::stores::resolve::known;
use crate::stores::{
    Direction, Family, RequestError, SearchRequest, Sort, SortValue, SourceFields, StoreError,
};

/// What stands for a boolean that is not there, because the two products differ in what they put
/// in its place: above true going up, below false going down.
const MISSING_BOOLEANS: [i64; 2] = [2, -1];

/// The body of `POST <target>/_search`.
///
/// # Errors
/// What [`SearchRequest::check`] refuses.
pub(super) fn search_body(request: &SearchRequest) -> Result<Value, RequestError> {
    request.check()?;
    let mut body = hits(request.family, &request.sort, request.size, &request.source)?;
    body.insert("query".to_owned(), query(request)?);
    body.insert("from".to_owned(), request.from.into());
    // Without it the servers stop to count at 10,000.
    body.insert("track_total_hits".to_owned(), true.into());
    if let Some(after) = &request.search_after {
        let values = request.sort.iter().zip(after).map(|(sort, value)| {
            let kind = known(request.family, &sort.field)?;
            Ok(sort_value(kind, sort.direction, value))
        });
        let values = values.collect::<Result<Vec<_>, RequestError>>()?;
        body.insert("search_after".to_owned(), values.into());
    }
    if !request.aggregations.is_empty() {
        let rendered = aggregations::render(request.family, &request.aggregations)?;
        body.insert("aggs".to_owned(), rendered);
    }
    Ok(Value::Object(body))
}

/// The part of a search, or of top hits, that says which hits and what they carry.
pub(super) fn hits(
    family: Family,
    sort: &[Sort],
    size: usize,
    source: &SourceFields,
) -> Result<Map<String, Value>, RequestError> {
    let mut body = Map::new();
    body.insert("size".to_owned(), size.into());
    body.insert("seq_no_primary_term".to_owned(), true.into());
    let mut keys = Vec::with_capacity(sort.len());
    let mut values = Vec::new();
    for Sort { field, direction } in sort {
        let kind = known(family, field)?;
        keys.push(json!({field: sort_key(kind, *direction)}));
        // Tells the largest of all numbers from none.
        if kind == FieldKind::Long {
            values.push(json!({"field": field}));
        }
    }
    // Any other order would have to be computed.
    if keys.is_empty() {
        keys.push("_doc".into());
    }
    // The indices behind a data stream do not say which day they hold.
    if family == Family::Flows {
        values.push(json!({"field": "@timestamp", "format": "epoch_millis"}));
    }
    body.insert("sort".to_owned(), keys.into());
    if !values.is_empty() {
        body.insert("docvalue_fields".to_owned(), values.into());
    }
    match source {
        SourceFields::All => {}
        SourceFields::None => {
            body.insert("_source".to_owned(), false.into());
        }
        SourceFields::Only(fields) if fields.is_empty() => {
            body.insert("_source".to_owned(), false.into());
        }
        // The empty name is the whole document.
        SourceFields::Only(fields) if fields.iter().any(String::is_empty) => {}
        SourceFields::Only(fields) => {
            body.insert("_source".to_owned(), json!({"includes": fields}));
        }
    }
    Ok(body)
}

fn sort_key(kind: FieldKind, direction: Direction) -> Value {
    let missing = match (kind, direction) {
        (FieldKind::Boolean, Direction::Ascending) => json!(MISSING_BOOLEANS[0]),
        (FieldKind::Boolean, Direction::Descending) => json!(MISSING_BOOLEANS[1]),
        _ => json!("_last"),
    };
    // An index in which no document has the feature does not know the field.
    json!({"order": word(direction), "missing": missing, "unmapped_type": type_name(kind)})
}

pub(super) const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "asc",
        Direction::Descending => "desc",
    }
}

/// The servers' name of a type with searchable values.
const fn type_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Keyword | FieldKind::Text => "keyword",
        FieldKind::Ip => "ip",
        FieldKind::Date => "date",
        FieldKind::Long => "long",
        FieldKind::Double | FieldKind::DoubleMap => "double",
        FieldKind::Boolean => "boolean",
    }
}

/// A sort value as `search_after` takes it: what the server gave for it.
fn sort_value(kind: FieldKind, direction: Direction, value: &SortValue) -> Value {
    let is_up = direction == Direction::Ascending;
    match value {
        SortValue::Integer(number) => json!(number),
        SortValue::Number(number) if number.is_finite() => json!(number),
        SortValue::Number(number) if *number > 0.0 => json!("Infinity"),
        SortValue::Number(_) => json!("-Infinity"),
        SortValue::Text(text) => json!(text),
        SortValue::Ip(address) => json!(address),
        SortValue::Missing => match kind {
            FieldKind::Long | FieldKind::Date => json!(if is_up { i64::MAX } else { i64::MIN }),
            FieldKind::Boolean => json!(MISSING_BOOLEANS[usize::from(!is_up)]),
            FieldKind::Double | FieldKind::DoubleMap => {
                json!(if is_up { "Infinity" } else { "-Infinity" })
            }
            FieldKind::Keyword | FieldKind::Ip | FieldKind::Text => Value::Null,
        },
    }
}

/// The query of a search: its time and its filter.
fn query(request: &SearchRequest) -> Result<Value, RequestError> {
    let filter = filter(request.family, &request.filter)?;
    let Some(time) = request.time else { return Ok(json!({"bool": {"filter": [filter]}})) };
    let to = (time.to < Timestamp::MAX).then(|| time.to.millis().saturating_sub(1));
    let time = dates("@timestamp", time.from.millis(), to.unwrap_or(i64::MAX));
    Ok(json!({"bool": {"filter": [time, filter]}}))
}

/// The error of a search: where a server refuses what the embedded store refuses, the same.
pub(super) fn refusal(request: &SearchRequest, error: ClusterError) -> StoreError {
    let words = match &error {
        ClusterError::Refused { reason, .. } | ClusterError::Unavailable { reason, .. } => reason,
        _ => return error.into(),
    };
    if words.contains("too many buckets") {
        let names: Vec<&str> = request.aggregations.keys().map(String::as_str).collect();
        return too_many(&names.join("`, `")).into();
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{DocumentId, Filter, Namespace};

    const SECONDS: &str = "flowsentry.window.seconds";
    const BYTES: &str = "flowsentry.window.features.bytes";

    fn windows() -> SearchRequest {
        SearchRequest::new(Family::Windows, Namespace::default())
    }

    #[test]
    fn hostile_texts_stay_values() {
        let id = DocumentId::new("..\"/\u{0}").unwrap();
        let body = search_body(&windows().filter(Filter::Ids(vec![id])));
        let query = &body.unwrap()["query"];
        assert_eq!(*query, json!({"bool": {"filter": [{"ids": {"values": ["..\"/\u{0}"]}}]}}));
    }

    #[test]
    fn missing_values_go_back_as_they_came() {
        let request = windows()
            .sort(Sort::descending(SECONDS))
            .sort(Sort::ascending(BYTES))
            .sort(Sort::ascending("flowsentry.window.truncated"))
            .sort(Sort::ascending("source.ip"))
            .after(vec![SortValue::Missing; 4]);
        let body = search_body(&request).unwrap();
        assert_eq!(body["search_after"], json!([i64::MIN, "Infinity", 2, null]));
        assert_eq!(body["sort"][0][SECONDS]["missing"], "_last");
        assert_eq!(body["docvalue_fields"], json!([{"field": SECONDS}]));
    }

    #[test]
    fn all_of_time_is_no_limit() {
        let ever = windows().between(Timestamp::MIN, Timestamp::MAX);
        let query = query(&ever).unwrap();
        let time = &query["bool"]["filter"][0]["range"]["@timestamp"];
        assert_eq!(*time, json!({"gte": "1677-09-21T00:12:43.145Z"}));
    }

    #[test]
    fn too_many_buckets_are_the_fault_of_the_request() {
        let request = windows().aggregate("x", crate::stores::Aggregation::terms("tags", 5));
        let refused = |reason: &str| {
            let error = ClusterError::Refused {
                action: "searching".to_owned(),
                status: 400,
                kind: "search_phase_execution_exception".to_owned(),
                reason: reason.to_owned(),
            };
            refusal(&request, error).to_string()
        };
        let words = "Trying to create too many buckets. Must be less than or equal to: [200]";
        assert!(refused(words).starts_with("`x` gives more than 65535 buckets"));
        assert!(refused("disk").starts_with("searching: refused (400"));
    }
}
