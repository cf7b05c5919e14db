//! Which documents a search finds, and in which order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Aggregation, Direction, Family, Filter, Limit, Namespace, RequestError, Scalar, SearchRequest,
    Sort, SortValue, SourceFields, Store, StoreError, TermsOrder,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::model::{
    BYTES, KIND, Row, SECONDS, fill, filter, holds, id_of, ids, row, state, windows,
};

pub fn filters_agree_with_a_naive_evaluation(
    store: &dyn Store,
    namespace: &Namespace,
    fillings: u32,
) {
    // Few fillings, many filters each: a filling costs a sync per day, a filter nearly nothing.
    let mut runner = TestRunner::new(Config { cases: fillings, ..Config::default() });
    let filling = std::cell::Cell::new(0);
    let rows = proptest::collection::vec(row(), 1..60);
    let filters = proptest::collection::vec(filter(), 40);
    let checked = runner.run(&(rows, filters), |(rows, filters)| {
        filling.set(filling.get() + 1);
        let namespace = Namespace::new(&format!("{namespace}-{}", filling.get())).unwrap();
        // Two commits, so that there is more than one segment.
        let half = rows.len() / 2;
        fill(store, &namespace, &rows[..half]);
        store.flush().unwrap();
        let rest = rows.iter().enumerate().skip(half);
        let rest = rest.map(|(at, row)| row.document(&namespace, &id_of(at))).collect();
        prop_assert_eq!(store.bulk(rest).unwrap().created(), rows.len() - half);
        for filter in filters {
            let naive: BTreeSet<_> = (0..rows.len())
                .map(|at| (id_of(at), &rows[at]))
                .filter(|(id, row)| holds(&filter, row, id))
                .map(|(id, _)| id)
                .collect();
            let found = ids(store, windows(&namespace).filter(filter.clone()));
            prop_assert_eq!(found, naive, "{:?}", filter);
        }
        Ok(())
    });
    checked.unwrap();
}

pub fn range_ends_are_in_or_out_as_asked(store: &dyn Store, namespace: &Namespace) {
    let row = |hour: u8| Row {
        source: Some([10, 0, 0, hour].into()),
        tags: vec![format!("t{hour}")],
        seconds: Some(hour.into()),
        bytes: Some(hour.into()),
        ..Row::at(&format!("2026-11-21T0{hour}:00:00Z"))
    };
    let rows: Vec<_> = (1..=5).map(row).collect();
    fill(store, namespace, &rows);
    let value = |field: &str, hour: u8| match field {
        "@timestamp" => Scalar::Time(row(hour).time),
        "source.ip" => Scalar::Ip([10, 0, 0, hour].into()),
        "tags" => Scalar::Text(format!("t{hour}")),
        SECONDS => Scalar::Integer(hour.into()),
        _ => Scalar::Number(hour.into()),
    };
    for field in ["@timestamp", "source.ip", "tags", SECONDS, BYTES] {
        let count = |from: fn(Scalar) -> Limit, to: fn(Scalar) -> Limit| {
            let (from, to) = (from(value(field, 2)), to(value(field, 4)));
            let filter = Filter::Range { field: field.to_owned(), from, to };
            store.search(&windows(namespace).filter(filter)).unwrap().total
        };
        assert_eq!(count(Limit::Included, Limit::Included), 3, "{field}");
        assert_eq!(count(Limit::Excluded, Limit::Included), 2, "{field}");
        assert_eq!(count(Limit::Included, Limit::Excluded), 2, "{field}");
        assert_eq!(count(Limit::Excluded, Limit::Excluded), 1, "{field}");
        assert_eq!(count(|_| Limit::Open, Limit::Excluded), 3, "{field}");
    }
}

pub fn a_search_sees_its_own_namespace_and_family_alone(store: &dyn Store, namespace: &Namespace) {
    // A name that begins like the other.
    let other = Namespace::new(&format!("{namespace}-2026")).unwrap();
    fill(store, namespace, &[Row::at("2026-11-21T10:00:00Z")]);
    fill(store, &other, &[Row::at("2026-11-21T10:00:00Z"), Row::at("2026-11-22T10:00:00Z")]);
    store.bulk(vec![state(namespace, "a", json!({}))]).unwrap();
    assert_eq!(store.search(&windows(namespace)).unwrap().total, 1);
    let states = SearchRequest::new(Family::State, namespace.clone());
    assert_eq!(store.search(&states).unwrap().total, 1);
    let alerts = SearchRequest::new(Family::Alerts, namespace.clone());
    assert_eq!(store.search(&alerts).unwrap().total, 0);
}

pub fn a_time_range_cuts_at_the_millisecond(store: &dyn Store, namespace: &Namespace) {
    let times = ["2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z", "2026-11-21T23:59:59.999Z"];
    fill(store, namespace, &times.map(Row::at));
    let found = |from: &str, to: &str| {
        ids(store, windows(namespace).between(from.parse().unwrap(), to.parse().unwrap()))
    };
    let all = [id_of(0), id_of(1), id_of(2)];
    let some = |range: std::ops::Range<usize>| all[range].iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(found("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"), some(1..3));
    assert_eq!(found("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"), some(0..1));
    assert_eq!(found("2026-11-20T00:00:00Z", "2026-11-21T23:59:59.999Z"), some(0..2));
    assert_eq!(found("2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z"), some(0..0));
    let ever = windows(namespace).between(Timestamp::MIN, Timestamp::MAX);
    assert_eq!(ids(store, ever), some(0..3));
}

pub fn a_source_can_be_cut(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &[Row::at("2026-11-21T10:00:00Z").bytes(5.0).kind("source")]);
    let source = |wanted| {
        let request = windows(namespace).size(1).source(wanted);
        store.search(&request).unwrap().hits[0].source.clone()
    };
    let only = SourceFields::Only(vec!["flowsentry.window.features".into(), "event.id".into()]);
    let cut = json!({
        "event": {"id": "row-0000"},
        "flowsentry": {"window": {"features": {"bytes": 5.0}}},
    });
    assert_eq!(source(only), cut);
    assert_eq!(source(SourceFields::None), json!(null));
    assert_eq!(source(SourceFields::Only(Vec::new())), json!({}));
    assert_eq!(source(SourceFields::Only(vec!["nothing".into(), "*".into()])), json!({}));
    // Names with dots, lists of objects, empty things.
    let mut odd = Row::at("2026-11-21T11:00:00Z").document(namespace, "odd");
    odd.source["event.kind"] = json!("state");
    odd.source["x"] = json!({"y": [{"z": 1, "w": 2}, {"w": 3}, 4], "e": {}, "n": null, "l": []});
    assert_eq!(store.bulk(vec![odd.clone()]).unwrap().created(), 1);
    let request = windows(namespace).size(1).sort(Sort::descending("@timestamp"));
    let source = |fields: &[&str]| {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = request.clone().source(SourceFields::Only(fields));
        store.search(&request).unwrap().hits[0].source.clone()
    };
    assert_eq!(source(&["event"]), json!({"event": {"id": "odd"}, "event.kind": "state"}));
    assert_eq!(
        source(&["event.kind", "x.y.z"]),
        json!({"event.kind": "state", "x": {"y": [{"z": 1}]}})
    );
    assert_eq!(source(&["x"]), json!({"x": odd.source["x"]}));
    assert_eq!(source(&["x.e", "x.n", "x.l"]), json!({"x": {"e": {}, "n": null, "l": []}}));
    assert_eq!(source(&[""]), odd.source);
}

pub fn limits_are_the_same_everywhere(store: &dyn Store, namespace: &Namespace) {
    let row = Row::at("2026-11-21T10:00:00Z").kind("source").bytes(5.0);
    fill(store, namespace, &[row]);
    let total = |filter: Filter| match store.search(&windows(namespace).filter(filter)) {
        Ok(answer) => Ok(answer.total),
        Err(StoreError::Request(error)) => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let ranges = |field: &str, count: u32, value: fn(u32) -> Scalar| {
        let one = |at| Filter::between(field, value(at * 10), value(at * 10 + 6));
        Filter::Or((0..count).map(one).collect())
    };
    let text: fn(u32) -> Scalar = |at| format!("r{at:05}").into();
    let address: fn(u32) -> Scalar = |at| IpAddr::from(at.to_be_bytes()).into();
    assert_eq!(total(ranges(BYTES, 500, Scalar::from)), Ok(1));
    assert_eq!(total(ranges(SECONDS, 500, Scalar::from)), Ok(0));
    assert_eq!(total(ranges("source.ip", 500, address)), Ok(0));
    assert_eq!(total(ranges(KIND, 500, text)), Ok(0));
    let refused = total(ranges(BYTES, 501, Scalar::from)).unwrap_err();
    assert!(refused.starts_with("a filter has at most 500 conditions"), "{refused}");
    let terms =
        |count| Filter::terms(KIND, (0..count).map(|at| format!("t{at}")).collect::<Vec<_>>());
    assert_eq!(total(terms(65_536)), Ok(0));
    assert_eq!(total(terms(65_537)).unwrap_err(), "a filter has at most 65536 values");
    let prefix = |count| Filter::Prefix { field: KIND.to_owned(), prefix: "s".repeat(count) };
    assert_eq!(total(prefix(1_000)), Ok(0));
    assert_eq!(total(prefix(1_001)).unwrap_err(), "a prefix has at most 1000 bytes");
    let deep = |count| (0..count).fold(Filter::term(KIND, "source"), |filter, _| filter.negate());
    assert_eq!((total(deep(14)), total(deep(15))), (Ok(1), Ok(0)));
    assert!(total(deep(16)).is_err());
    // What no keyword can be is not found, however long.
    for length in [1_025, 40_000] {
        assert_eq!(total(Filter::term(KIND, "s".repeat(length))), Ok(0));
    }
    let above = |length| total(Filter::at_least(KIND, "s".repeat(length)));
    assert_eq!(above(1_000), Ok(0));
    assert_eq!(above(1_001).unwrap_err(), "the end of a range has at most 1000 bytes");
    assert_eq!(total(Filter::term(BYTES, f64::INFINITY)), Ok(0));
    assert_eq!(total(Filter::at_least(BYTES, f64::NEG_INFINITY)), Ok(1));
}

fn refused(store: &dyn Store, request: SearchRequest) -> RequestError {
    match store.search(&request) {
        Err(StoreError::Request(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub fn unknown_fields_are_named(store: &dyn Store, namespace: &Namespace) {
    let request = || windows(namespace);
    for request in [
        request().filter(Filter::term("source.port", 5)),
        request().filter(Filter::Or(vec![Filter::exists("source.port").negate()])),
        request().sort(Sort::ascending("source.port")),
        request().aggregate("x", Aggregation::terms("source.port", 5)),
        request()
            .aggregate("x", Aggregation::terms(KIND, 5).with("y", Aggregation::sum("source.port"))),
    ] {
        let message = refused(store, request).to_string();
        assert_eq!(message, "unknown field `source.port` in windows documents");
    }
}

pub fn wrong_types_are_named(store: &dyn Store, namespace: &Namespace) {
    let request = || windows(namespace);
    for (request, message) in [
        (
            request().aggregate("x", Aggregation::sum(KIND)),
            "field `flowsentry.window.subject.type` is of type keyword and cannot be used for \
             arithmetic",
        ),
        (
            request().filter(Filter::term(SECONDS, "5")),
            "field `flowsentry.window.seconds` is of type long and cannot be used for a filter by \
             Text(\"5\")",
        ),
        (
            request().filter(Filter::exists("event.reason")),
            "field `event.reason` is of type text and cannot be used for an exists filter",
        ),
        (
            request().aggregate("x", Aggregation::cardinality("flowsentry.window.features")),
            "field `flowsentry.window.features` is of type map of doubles and cannot be used for \
             counting values",
        ),
        (
            request().filter(Filter::between(BYTES, f64::NAN, 1.0)),
            "field `flowsentry.window.features.bytes` is of type double and cannot be used for a \
             filter by Number(NaN)",
        ),
    ] {
        assert_eq!(refused(store, request).to_string(), message);
    }
}

pub fn contradictions_are_refused(store: &dyn Store, namespace: &Namespace) {
    let request = || windows(namespace);
    let deep = (0..50).fold(Filter::All, |filter, _| filter.negate());
    let by_nothing = TermsOrder::metric("nothing", Direction::Ascending);
    let states = SearchRequest::new(Family::State, namespace.clone());
    for request in [
        request().size(10_001),
        request().skip(9_999).size(2),
        request().after(vec![SortValue::Integer(1)]),
        request().sort(Sort::ascending(KIND)).after(vec![SortValue::Integer(1)]),
        request().filter(deep),
        request().between(Timestamp::MAX, Timestamp::MIN),
        states.between(Timestamp::MIN, Timestamp::MAX),
        request().aggregate("a.b", Aggregation::sum(BYTES)),
        request().aggregate("x", Aggregation::sum(BYTES).with("y", Aggregation::sum(BYTES))),
        request().aggregate("x", Aggregation::terms_by(KIND, 5, by_nothing)),
        request().aggregate("x", Aggregation::terms(KIND, 0)),
        request().aggregate("x", Aggregation::percentiles(BYTES, [101.0])),
        request().aggregate("x", Aggregation::ranges(BYTES, Vec::new())),
        request().aggregate("x", Aggregation::top_hits(101, Vec::new())),
    ] {
        let error = refused(store, request);
        assert!(matches!(&error, RequestError::Invalid(_) | RequestError::WrongType { .. }));
    }
}
