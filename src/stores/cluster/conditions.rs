//! Filters as the servers read them.
//!
//! They are rendered from the resolved [`Condition`], so that a cluster finds what the embedded
//! store finds, and so that nothing unchecked reaches a server.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::stores::fields::{FieldKind, KEYWORD_LIMIT};
use crate::stores::resolve::{Condition, known, resolve};
use crate::stores::{Family, Filter, RequestError};

/// Renders `filter` on documents of `family`.
pub(super) fn filter(family: Family, filter: &Filter) -> Result<Value, RequestError> {
    Ok(condition(family, &resolve(family, filter)?))
}

fn nothing() -> Value {
    json!({"match_none": {}})
}

fn exists(field: &str) -> Value {
    json!({"exists": {"field": field}})
}

fn condition(family: Family, of: &Condition) -> Value {
    let all = |conditions: &[Condition]| -> Vec<Value> {
        conditions.iter().map(|one| condition(family, one)).collect()
    };
    match of {
        Condition::All => json!({"match_all": {}}),
        Condition::And(conditions) if conditions.is_empty() => json!({"match_all": {}}),
        Condition::And(conditions) => json!({"bool": {"filter": all(conditions)}}),
        Condition::Or(conditions) => any(family, conditions),
        Condition::Not(inner) => json!({"bool": {"must_not": [condition(family, inner)]}}),
        Condition::Ids(ids) if ids.is_empty() => nothing(),
        Condition::Ids(ids) => json!({"ids": {"values": ids}}),
        Condition::Whole { field, from, to } => match known(family, field) {
            Ok(FieldKind::Date) => dates(field, *from, *to),
            _ => wholes(field, *from, *to),
        },
        Condition::Number { field, from, to } => numbers(field, *from, *to),
        Condition::Boolean { field, value } => json!({"term": {field: {"value": value}}}),
        Condition::Ip { field, from, to } => addresses(field, *from, *to),
        Condition::Text { field, from, to } => texts(field, from, to),
        Condition::Prefix { field, prefix } => json!({"prefix": {field: {"value": prefix}}}),
        Condition::Exists { field, .. } => exists(field),
    }
}

/// One of several: a single `terms` where they are values of one field, because the servers limit
/// the number of clauses far below the number of terms.
fn any(family: Family, conditions: &[Condition]) -> Value {
    let mut field = None;
    let mut values = Vec::with_capacity(conditions.len());
    for one in conditions.iter().filter(|one| !is_nothing(one)) {
        match single(family, one) {
            Some((name, value)) if field.is_none_or(|field| field == name) => {
                field = Some(name);
                values.push(value);
            }
            Some(_) | None => {
                let rendered: Vec<_> =
                    conditions.iter().map(|one| condition(family, one)).collect();
                return json!({"bool": {"should": rendered, "minimum_should_match": 1}});
            }
        }
    }
    field.map_or_else(nothing, |field| json!({"terms": {field: values}}))
}

/// Whether nothing can fulfil it; some limits of numbers lie between two of them.
fn is_nothing(condition: &Condition) -> bool {
    match condition {
        Condition::Whole { from, to, .. } => from > to,
        Condition::Number { from, to, .. } => is_no_number(*from, *to),
        Condition::Ip { from, to, .. } => from > to,
        Condition::Text { from, to, .. } => are_no_texts(from, to),
        Condition::Or(conditions) => conditions.is_empty(),
        Condition::Ids(ids) => ids.is_empty(),
        Condition::All
        | Condition::Boolean { .. }
        | Condition::Prefix { .. }
        | Condition::Exists { .. }
        | Condition::And(_)
        | Condition::Not(_) => false,
    }
}

/// The field and the one value that fulfils the condition, when there is just one.
fn single(family: Family, condition: &Condition) -> Option<(&str, Value)> {
    match condition {
        Condition::Whole { field, from, to } if from == to => match known(family, field) {
            Ok(FieldKind::Long) => Some((field, json!(from))),
            // Servers take a date that is equal for a range, one clause each.
            _ => None,
        },
        Condition::Number { field, from, to } if from == to => Some((field, json!(from))),
        Condition::Ip { field, from, to } if from == to => Some((field, json!(address(*from)))),
        Condition::Boolean { field, value } => Some((field, json!(value))),
        Condition::Text { field, from: Bound::Included(from), to: Bound::Included(to) }
            if from == to =>
        {
            Some((field, json!(from)))
        }
        _ => None,
    }
}

/// A range without the ends that are open.
fn range(field: &str, from: Option<Value>, to: Option<Value>) -> Value {
    let mut ends = Map::new();
    if let Some(from) = from {
        ends.insert("gte".to_owned(), from);
    }
    if let Some(to) = to {
        ends.insert("lte".to_owned(), to);
    }
    if ends.is_empty() { exists(field) } else { json!({"range": {field: ends}}) }
}

fn wholes(field: &str, from: i64, to: i64) -> Value {
    if from > to {
        return nothing();
    }
    if from == to {
        return json!({"term": {field: {"value": from}}});
    }
    let (low, high) = (from > i64::MIN, to < i64::MAX);
    range(field, low.then(|| json!(from)), high.then(|| json!(to)))
}

/// Dates as texts: servers read numbers as milliseconds only where the mapping says so.
pub(super) fn dates(field: &str, from: i64, to: i64) -> Value {
    if from > to {
        return nothing();
    }
    let text = |millis: i64| {
        let time = DateTime::<Utc>::from_timestamp_millis(millis)?;
        // Beyond lies no event, and no format that both products read.
        let is_written = (0..=9999).contains(&time.year());
        is_written.then(|| json!(time.to_rfc3339_opts(SecondsFormat::Millis, true)))
    };
    range(field, text(from), text(to))
}

/// Whether no finite number lies in the range.
fn is_no_number(from: f64, to: f64) -> bool {
    from > to || from == f64::INFINITY || to == f64::NEG_INFINITY
}

fn numbers(field: &str, from: f64, to: f64) -> Value {
    if is_no_number(from, to) {
        return nothing();
    }
    let end = |number: f64| number.is_finite().then(|| json!(number));
    range(field, end(from), end(to))
}

fn address(number: u128) -> IpAddr {
    Ipv6Addr::from_bits(number).to_canonical()
}

fn addresses(field: &str, from: u128, to: u128) -> Value {
    if from > to {
        return nothing();
    }
    if from == to {
        return json!({"term": {field: {"value": address(from)}}});
    }
    let (low, high) = (from > 0, to < u128::MAX);
    range(field, low.then(|| json!(address(from))), high.then(|| json!(address(to))))
}

/// Whether no searchable text lies in the range. Longer texts are not searchable, and no server
/// takes them for a term.
fn are_no_texts(from: &Bound<String>, to: &Bound<String>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) if from == to => {
            from.encode_utf16().count() > KEYWORD_LIMIT
        }
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

fn texts(field: &str, from: &Bound<String>, to: &Bound<String>) -> Value {
    if are_no_texts(from, to) {
        return nothing();
    }
    let mut ends = Map::new();
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) if from == to => {
            return json!({"term": {field: {"value": from}}});
        }
        _ => {}
    }
    let mut end = |name: &str, text: &str| ends.insert(name.to_owned(), json!(text));
    match from {
        Bound::Included(text) => drop(end("gte", text)),
        Bound::Excluded(text) => drop(end("gt", text)),
        Bound::Unbounded => {}
    }
    match to {
        Bound::Included(text) => drop(end("lte", text)),
        Bound::Excluded(text) => drop(end("lt", text)),
        Bound::Unbounded => {}
    }
    if ends.is_empty() { exists(field) } else { json!({"range": {field: ends}}) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::stores::Scalar;

    const SECONDS: &str = "flowsentry.window.seconds";
    const BYTES: &str = "flowsentry.window.features.bytes";

    fn rendered(one: Filter) -> Value {
        filter(Family::Windows, &one).unwrap()
    }

    #[test]
    fn ranges_lose_their_open_ends() {
        let between = |from, to| Filter::Range { field: SECONDS.to_owned(), from, to };
        use crate::stores::Limit::{Excluded, Included, Open};
        let five = || Scalar::Integer(5);
        assert_eq!(rendered(between(Open, Open)), exists(SECONDS));
        assert_eq!(
            rendered(between(Excluded(five()), Open)),
            json!({"range": {SECONDS: {"gte": 6}}})
        );
        assert_eq!(rendered(between(Included(five()), Excluded(five()))), nothing());
        assert_eq!(
            rendered(Filter::term(BYTES, f64::INFINITY)),
            nothing(),
            "no document holds an infinite number"
        );
        let day: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(
            rendered(Filter::at_least("event.start", day)),
            json!({"range": {"event.start": {"gte": "2026-11-21T00:00:00.000Z"}}})
        );
    }

    #[test]
    fn values_of_one_field_are_one_clause() {
        let terms = |field, values: Vec<Scalar>| rendered(Filter::terms(field, values));
        assert_eq!(
            terms(SECONDS, vec![5.into(), 6.5.into(), 7.0.into()]),
            json!({"terms": {SECONDS: [5, 7]}})
        );
        assert_eq!(
            terms("source.ip", vec!["10.0.0.1".into(), "::ffff:10.0.0.2".into(), "::1".into()]),
            json!({"terms": {"source.ip": ["10.0.0.1", "10.0.0.2", "::1"]}})
        );
        assert_eq!(terms("tags", Vec::new()), nothing());
        assert_eq!(terms("tags", vec!["x".repeat(40_000).into()]), nothing());
        assert_eq!(rendered(Filter::Ids(Vec::new())), nothing());
        let mixed = Filter::Or(vec![Filter::term("tags", "a"), Filter::exists("source.ip")]);
        assert_eq!(
            rendered(mixed),
            json!({"bool": {
                "should": [{"term": {"tags": {"value": "a"}}}, {"exists": {"field": "source.ip"}}],
                "minimum_should_match": 1,
            }})
        );
    }
}
