//! Which documents a search finds, and in which order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

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

pub fn filters_agree_with_a_naive_evaluation(store: &dyn Store, namespace: &Namespace) {
    // Few fillings, many filters each: a filling costs a sync per day, a filter nearly nothing.
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
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
    let other = Namespace::new("another-site").unwrap();
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

pub fn pages_follow_each_other_without_gap(store: &dyn Store, namespace: &Namespace) {
    // Many ties in the first key, several days, a few without the field.
    let rows: Vec<_> = (0..53_i64)
        .map(|number| {
            let mut row = Row::at("2026-11-21T00:00:00Z");
            row.time = row.time.plus_seconds(number * 7000);
            row.seconds = (number % 10 != 0).then_some(number % 4);
            row
        })
        .collect();
    fill(store, namespace, &rows);
    let request = windows(namespace)
        .sort(Sort::descending(SECONDS))
        .sort(Sort::ascending("event.id"))
        .source(SourceFields::None);
    let whole = store.search(&request.clone().size(100)).unwrap().hits;
    assert_eq!(whole.len(), rows.len());
    let mut paged = Vec::new();
    let mut after: Option<Vec<SortValue>> = None;
    loop {
        let mut page = request.clone().size(7);
        page.search_after = after;
        let hits = store.search(&page).unwrap().hits;
        let Some(last) = hits.last() else { break };
        after = Some(last.sort.clone());
        paged.extend(hits);
    }
    assert_eq!(paged, whole);
    let skipped = store.search(&request.skip(50).size(10)).unwrap().hits;
    assert_eq!(skipped, whole[50..]);
}

pub fn missing_values_sort_last_in_both_directions(store: &dyn Store, namespace: &Namespace) {
    let row = || Row::at("2026-11-21T10:00:00Z");
    fill(store, namespace, &[row(), row().bytes(1.5), row().bytes(-2.0), row().bytes(3.0)]);
    let order = |sort| -> Vec<_> {
        let hits = store.search(&windows(namespace).size(10).sort(sort)).unwrap().hits;
        hits.into_iter().map(|hit| hit.sort[0].clone()).collect()
    };
    let [low, middle, high] = [-2.0, 1.5, 3.0].map(SortValue::Number);
    assert_eq!(
        order(Sort::ascending(BYTES)),
        [low.clone(), middle.clone(), high.clone(), SortValue::Missing]
    );
    assert_eq!(order(Sort::descending(BYTES)), [high, middle, low, SortValue::Missing]);
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
