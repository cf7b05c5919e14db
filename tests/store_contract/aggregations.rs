//! What a search adds up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono_tz::Europe::Berlin;
use flowsentry::model::Timestamp;
use flowsentry::stores::{
    Aggregation, AggregationKind, AggregationResult, Bucket, CalendarUnit, CompositeSource,
    Direction, Filter, Interval, Key, NamedRange, Namespace, SearchResponse, Sort, SourceFields,
    Store, TermsOrder,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::model::{BYTES, KIND, Row, SECONDS, fill, id_of, row, windows};

/// The answer to one aggregation called `x`.
fn ask(store: &dyn Store, namespace: &Namespace, aggregation: Aggregation) -> SearchResponse {
    store.search(&windows(namespace).aggregate("x", aggregation)).unwrap()
}

fn texts(buckets: &[Bucket]) -> Vec<(String, u64)> {
    buckets.iter().map(|bucket| (bucket.key.to_string(), bucket.doc_count)).collect()
}

/// The order of adding changes the last digits; the largest addend says how many.
fn close(a: f64, b: f64, largest: f64) -> bool {
    (a - b).abs() <= 1e-9 * largest.max(1.0)
}

pub fn aggregations_agree_with_a_naive_computation(
    store: &dyn Store,
    namespace: &Namespace,
    fillings: u32,
) {
    let mut runner = TestRunner::new(Config { cases: fillings, ..Config::default() });
    let filling = std::cell::Cell::new(0);
    let checked = runner.run(&proptest::collection::vec(row(), 1..80), |rows| {
        filling.set(filling.get() + 1);
        let namespace = Namespace::new(&format!("{namespace}-{}", filling.get())).unwrap();
        let half = rows.len() / 2;
        fill(store, &namespace, &rows[..half]);
        store.flush().unwrap();
        let rest = rows.iter().enumerate().skip(half);
        let rest = rest.map(|(at, row)| row.document(&namespace, &id_of(at))).collect();
        prop_assert_eq!(store.bulk(rest).unwrap().created(), rows.len() - half);
        check_metrics(store, &namespace, &rows)?;
        check_terms(store, &namespace, &rows)?;
        check_hours(store, &namespace, &rows)
    });
    checked.unwrap();
}

fn check_metrics(
    store: &dyn Store,
    namespace: &Namespace,
    rows: &[Row],
) -> Result<(), TestCaseError> {
    let request = windows(namespace)
        .aggregate("sum", Aggregation::sum(BYTES))
        .aggregate("min", Aggregation::min(BYTES))
        .aggregate("max", Aggregation::max(BYTES))
        .aggregate("avg", Aggregation::avg(BYTES))
        .aggregate("count", Aggregation::value_count(BYTES))
        .aggregate("stats", Aggregation::stats(BYTES))
        .aggregate("hosts", Aggregation::cardinality("source.ip"))
        .aggregate("tags", Aggregation::cardinality("tags"))
        .aggregate("seconds", Aggregation::cardinality(SECONDS))
        .aggregate("last", Aggregation::max("@timestamp"));
    let answer = store.search(&request).unwrap();
    let bytes: Vec<f64> = rows.iter().filter_map(|row| row.bytes).collect();
    let (count, sum) = (bytes.len() as f64, bytes.iter().sum::<f64>());
    let largest = bytes.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let min = bytes.iter().copied().reduce(f64::min);
    let max = bytes.iter().copied().reduce(f64::max);
    prop_assert!(close(answer.value("sum").unwrap(), sum, largest));
    prop_assert_eq!(answer.value("min"), min);
    prop_assert_eq!(answer.value("max"), max);
    prop_assert_eq!(answer.value("count"), Some(count));
    prop_assert_eq!(answer.value("avg").is_some(), count > 0.0);
    prop_assert!(close(answer.value("avg").unwrap_or(0.0), sum / count.max(1.0), largest));
    let stats = answer.aggregations["stats"].stats().unwrap();
    prop_assert_eq!((stats.count as f64, stats.min, stats.max), (count, min, max));
    let distinct = |keys: BTreeSet<String>| Some(keys.len() as f64);
    let hosts = rows.iter().filter_map(|row| row.source).map(|host| host.to_string()).collect();
    prop_assert_eq!(answer.value("hosts"), distinct(hosts));
    prop_assert_eq!(
        answer.value("tags"),
        distinct(rows.iter().flat_map(|row| row.tags.clone()).collect())
    );
    let seconds = rows.iter().filter_map(|row| row.seconds).map(|s| s.to_string()).collect();
    prop_assert_eq!(answer.value("seconds"), distinct(seconds));
    let last = rows.iter().map(|row| row.time.millis() as f64).reduce(f64::max);
    prop_assert_eq!(answer.value("last"), last);
    Ok(())
}

fn check_terms(
    store: &dyn Store,
    namespace: &Namespace,
    rows: &[Row],
) -> Result<(), TestCaseError> {
    let terms = Aggregation::terms("tags", 3).with("hosts", Aggregation::cardinality("source.ip"));
    let answer = ask(store, namespace, terms);
    let mut naive: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        for tag in row.tags.iter().cloned().collect::<BTreeSet<_>>() {
            naive.entry(tag).or_default().push(row);
        }
    }
    let mut naive: Vec<_> = naive.into_iter().collect();
    naive.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    let others: usize = naive.iter().skip(3).map(|(_, rows)| rows.len()).sum();
    naive.truncate(3);
    let found: Vec<_> = answer
        .buckets("x")
        .iter()
        .map(|bucket| (bucket.key.to_string(), bucket.doc_count, bucket.value("hosts").unwrap()))
        .collect();
    let wanted: Vec<_> = naive
        .into_iter()
        .map(|(tag, rows)| {
            let hosts: BTreeSet<_> = rows.iter().filter_map(|row| row.source).collect();
            (tag, rows.len() as u64, hosts.len() as f64)
        })
        .collect();
    prop_assert_eq!(found, wanted);
    let AggregationResult::Buckets { other_doc_count, .. } = answer.aggregations["x"] else {
        panic!("terms give buckets");
    };
    prop_assert_eq!(other_doc_count, others as u64);
    Ok(())
}

fn check_hours(
    store: &dyn Store,
    namespace: &Namespace,
    rows: &[Row],
) -> Result<(), TestCaseError> {
    const HOUR: i64 = 3_600_000;
    let hours = Aggregation::over_time(Interval::Fixed { seconds: 3600 })
        .with("bytes", Aggregation::sum(BYTES));
    let answer = ask(store, namespace, hours);
    let starts = rows.iter().map(|row| row.time.millis().div_euclid(HOUR));
    let (first, last) = (starts.clone().min().unwrap(), starts.max().unwrap());
    prop_assert_eq!(answer.buckets("x").len() as i64, last - first + 1);
    for (hour, bucket) in (first..).zip(answer.buckets("x")) {
        let inside: Vec<_> =
            rows.iter().filter(|row| row.time.millis().div_euclid(HOUR) == hour).collect();
        prop_assert_eq!(bucket.key.as_integer(), Some(hour * HOUR));
        prop_assert_eq!(bucket.doc_count, inside.len() as u64);
        let bytes = || inside.iter().filter_map(|row| row.bytes);
        let largest = bytes().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        prop_assert!(close(bucket.value("bytes").unwrap(), bytes().sum(), largest));
    }
    Ok(())
}

pub fn an_empty_store_gives_empty_results(store: &dyn Store, namespace: &Namespace) {
    let (from, to) = ("2026-11-21T00:10:00Z".parse().unwrap(), "2026-11-21T02:00:00Z".parse());
    let hour = Interval::Fixed { seconds: 3600 };
    let request = windows(namespace)
        .aggregate("sum", Aggregation::sum(BYTES))
        .aggregate("max", Aggregation::max(BYTES))
        .aggregate("percentiles", Aggregation::percentiles(BYTES, [50.0]))
        .aggregate("terms", Aggregation::terms(KIND, 5))
        .aggregate("filters", Aggregation::filters([("all", Filter::All)]))
        .aggregate("hours", Aggregation::over_time(hour))
        .aggregate("bounds", Aggregation::over_time_covering(hour, from, to.unwrap()));
    let answer = store.search(&request).unwrap();
    assert_eq!((answer.total, answer.value("sum"), answer.value("max")), (0, Some(0.0), None));
    let percentiles = AggregationResult::Percentiles(vec![(50.0, None)]);
    assert_eq!(answer.aggregations["percentiles"], percentiles);
    assert_eq!(texts(answer.buckets("filters")), [("all".to_owned(), 0)]);
    assert!(answer.buckets("terms").is_empty() && answer.buckets("hours").is_empty());
    assert_eq!(answer.buckets("bounds").len(), 3);
}

/// One document per half hour of the three local days around a change of the clock.
fn around(store: &dyn Store, namespace: &Namespace, first: &str, hours: i64) -> Vec<Bucket> {
    let first: Timestamp = first.parse().unwrap();
    let rows: Vec<_> = (0..hours * 2)
        .map(|half| {
            let mut row = Row::at("2026-01-01T00:00:00Z").bytes(1.0);
            row.time = first.plus_seconds(half * 1800);
            row
        })
        .collect();
    fill(store, namespace, &rows);
    let day = Interval::Calendar { unit: CalendarUnit::Day, time_zone: Berlin };
    let days = Aggregation::over_time(day).with("bytes", Aggregation::sum(BYTES));
    ask(store, namespace, days).buckets("x").to_vec()
}

pub fn local_days_have_23_and_25_hours(store: &dyn Store, namespace: &Namespace) {
    let named = |season: &str| Namespace::new(&format!("{namespace}-{season}")).unwrap();
    let shown = |buckets: &[Bucket]| -> Vec<_> {
        let shown = buckets.iter().map(|bucket| {
            assert_eq!(bucket.value("bytes"), Some(bucket.doc_count as f64));
            (bucket.key_as_string.clone().unwrap(), bucket.doc_count)
        });
        shown.collect()
    };
    let spring = around(store, &named("spring"), "2026-03-27T23:00:00Z", 71);
    assert_eq!(
        shown(&spring),
        [
            ("2026-03-28T00:00:00.000+01:00".to_owned(), 48),
            ("2026-03-29T00:00:00.000+01:00".to_owned(), 46),
            ("2026-03-30T00:00:00.000+02:00".to_owned(), 48),
        ]
    );
    let autumn = around(store, &named("autumn"), "2026-10-23T22:00:00Z", 73);
    assert_eq!(
        shown(&autumn),
        [
            ("2026-10-24T00:00:00.000+02:00".to_owned(), 48),
            ("2026-10-25T00:00:00.000+02:00".to_owned(), 50),
            ("2026-10-26T00:00:00.000+01:00".to_owned(), 48),
        ]
    );
    let hour = Interval::Calendar { unit: CalendarUnit::Hour, time_zone: Berlin };
    let hours = ask(store, &named("autumn"), Aggregation::over_time(hour));
    assert_eq!(hours.buckets("x").len(), 73);
    assert!(hours.buckets("x").iter().all(|bucket| bucket.doc_count == 2));
}

pub fn hours_follow_the_clocks_of_all_zones(store: &dyn Store, namespace: &Namespace) {
    use chrono_tz::{America::Havana, Asia::Kolkata, Asia::Tokyo, Pacific::Apia, UTC};
    // Around changes of the clock: a row per half hour.
    let rows: Vec<_> = ["2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z", "2026-11-01T00:00:00Z"]
        .into_iter()
        .flat_map(|first| {
            let first: Timestamp = first.parse().unwrap();
            (0..72_i64).map(move |half| {
                let mut row = Row::at("2026-01-01T00:00:00Z");
                row.time = first.plus_seconds(half * 1800 + 600);
                row
            })
        })
        .collect();
    fill(store, namespace, &rows);
    for time_zone in [Berlin, Havana, Kolkata, Tokyo, Apia, UTC] {
        for unit in [CalendarUnit::Hour, CalendarUnit::Day] {
            let interval = Interval::Calendar { unit, time_zone };
            let kind = AggregationKind::DateHistogram {
                field: "@timestamp".into(),
                interval,
                extended_bounds: None,
                min_doc_count: 1,
            };
            let answer = ask(store, namespace, kind.into());
            let starts: Vec<_> =
                answer.buckets("x").iter().filter_map(|bucket| bucket.key.as_integer()).collect();
            // A bucket begins when the clock shows its hour or day first.
            let shown = |at: i64| {
                let time = Timestamp::from_millis(at).to_utc().with_timezone(&time_zone);
                let format = if unit == CalendarUnit::Hour { "%F %H %z" } else { "%F" };
                time.format(format).to_string()
            };
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for row in &rows {
                *counts.entry(shown(row.time.millis())).or_default() += 1;
            }
            let found: BTreeMap<_, _> = answer
                .buckets("x")
                .iter()
                .map(|bucket| (shown(bucket.key.as_integer().unwrap()), bucket.doc_count))
                .collect();
            assert_eq!(found, counts, "{time_zone} {unit:?}");
            assert!(starts.iter().all(|at| shown(*at) != shown(*at - 1)), "{time_zone} {unit:?}");
        }
    }
}

pub fn empty_buckets_are_filled_to_the_bounds(store: &dyn Store, namespace: &Namespace) {
    let times = ["2026-03-28T12:00:00Z", "2026-03-31T12:00:00Z"];
    fill(store, namespace, &times.map(Row::at));
    let day = Interval::Calendar { unit: CalendarUnit::Day, time_zone: Berlin };
    let counts = |aggregation| -> Vec<u64> {
        let answer = ask(store, namespace, aggregation);
        answer.buckets("x").iter().map(|bucket| bucket.doc_count).collect()
    };
    assert_eq!(counts(Aggregation::over_time(day)), [1, 0, 0, 1]);
    let covering = |from: &str, to: &str| {
        Aggregation::over_time_covering(day, from.parse().unwrap(), to.parse().unwrap())
    };
    let wide = covering("2026-03-26T23:00:00Z", "2026-04-01T21:59:59Z");
    assert_eq!(counts(wide), [0, 1, 0, 0, 1, 0]);
    let narrow = covering("2026-03-29T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(counts(narrow), [1, 0, 0, 1]);
    let only_full = AggregationKind::DateHistogram {
        field: "@timestamp".into(),
        interval: day,
        extended_bounds: None,
        min_doc_count: 1,
    };
    assert_eq!(counts(only_full.into()), [1, 1]);
    let second = Interval::Fixed { seconds: 1 };
    let request = windows(namespace).aggregate("x", Aggregation::over_time(second));
    let error = store.search(&request).unwrap_err().to_string();
    assert!(error.starts_with("`x` gives more than 65535 buckets"), "{error}");
}

pub fn terms_are_ordered_as_asked_and_ties_by_key(store: &dyn Store, namespace: &Namespace) {
    let row = |kind: &str| Row::at("2026-11-21T10:00:00Z").kind(kind);
    let rows = [
        row("b").bytes(1.0),
        row("b").bytes(2.0),
        row("a").bytes(3.0),
        row("c"),
        row("d").bytes(-1.0),
        row("a").bytes(0.0),
    ];
    fill(store, namespace, &rows);
    let keys = |order| -> String {
        let terms = Aggregation::terms_by(KIND, 10, order)
            .with("min", Aggregation::min(BYTES))
            .with("max", Aggregation::max(BYTES))
            .with("stats", Aggregation::stats(BYTES));
        let answer = ask(store, namespace, terms);
        answer.buckets("x").iter().map(|bucket| bucket.key.to_string()).collect()
    };
    let (up, down) = (Direction::Ascending, Direction::Descending);
    assert_eq!(keys(TermsOrder::Count(down)), "abcd");
    assert_eq!(keys(TermsOrder::Count(up)), "cdab");
    assert_eq!(keys(TermsOrder::Key(down)), "dcba");
    assert_eq!(keys(TermsOrder::Key(up)), "abcd");
    assert_eq!(keys(TermsOrder::metric("max", down)), "abdc");
    // No largest value is smaller than any, no smallest one larger than any.
    assert_eq!(keys(TermsOrder::metric("max", up)), "cdba");
    assert_eq!(keys(TermsOrder::metric("min", down)), "cbad");
    assert_eq!(keys(TermsOrder::metric("min", up)), "dabc");
    assert_eq!(keys(TermsOrder::metric("stats.min", up)), "dabc");
    assert_eq!(keys(TermsOrder::metric("stats.max", up)), "cdba");
    assert_eq!(keys(TermsOrder::metric("stats.sum", down)), "abcd");
    assert_eq!(keys(TermsOrder::metric("stats.count", up)), "cdab");
}

pub fn ranges_and_filters_keep_their_order(store: &dyn Store, namespace: &Namespace) {
    let rows =
        [0.0, 1.0, 5.0, 10.0, 11.0].map(|bytes| Row::at("2026-11-21T10:00:00Z").bytes(bytes));
    fill(store, namespace, &rows);
    let range = |key: &str, from, to| NamedRange { key: key.to_owned(), from, to };
    let ranges = vec![
        range("high", Some(10.0), None),
        range("none", Some(100.0), Some(200.0)),
        range("low", None, Some(1.0)),
    ];
    let sum = || Aggregation::sum(BYTES);
    let answer = ask(store, namespace, Aggregation::ranges(BYTES, ranges).with("s", sum()));
    let wanted = [("high", 2), ("none", 0), ("low", 1)].map(|(key, n)| (key.to_owned(), n));
    assert_eq!(texts(answer.buckets("x")), wanted);
    assert_eq!(answer.buckets("x")[0].value("s"), Some(21.0));
    assert_eq!(answer.buckets("x")[1].value("s"), Some(0.0));
    let filters = Aggregation::filters([
        ("z", Filter::at_least(BYTES, 5)),
        ("a", Filter::term(BYTES, 1)),
        ("none", Filter::Or(Vec::new())),
    ]);
    let answer = ask(store, namespace, filters.with("s", sum()));
    let wanted = [("z", 3), ("a", 1), ("none", 0)].map(|(key, n)| (key.to_owned(), n));
    assert_eq!(texts(answer.buckets("x")), wanted);
    assert_eq!(answer.buckets("x")[0].value("s"), Some(26.0));
}

pub fn composite_pages_cover_every_combination(store: &dyn Store, namespace: &Namespace) {
    let mut rows = Vec::new();
    for at in 0..24_i64 {
        let mut row = Row::at("2026-11-21T10:00:00Z").bytes(1.0);
        row.time = row.time.plus_seconds(at % 3 * 3600);
        row.source = (at != 0).then(|| IpAddr::from([10, 0, 0, (at % 4) as u8]));
        row.tags = vec!["a".to_owned(), format!("t{}", at % 2)];
        rows.push(row);
    }
    fill(store, namespace, &rows);
    let hour = Interval::Fixed { seconds: 3600 };
    let sources = || {
        vec![
            (
                "hour".to_owned(),
                CompositeSource::DateHistogram { field: "@timestamp".into(), interval: hour },
            ),
            ("host".to_owned(), CompositeSource::Terms { field: "source.ip".into() }),
            ("tag".to_owned(), CompositeSource::Terms { field: "tags".into() }),
        ]
    };
    let page = |size, after| {
        let kind = AggregationKind::Composite { sources: sources(), size, after };
        let aggregation = Aggregation::from(kind).with("bytes", Aggregation::sum(BYTES));
        ask(store, namespace, aggregation).buckets("x").to_vec()
    };
    let whole = page(1000, None);
    let mut naive: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rows {
        let Some(host) = row.source else { continue };
        for tag in &row.tags {
            *naive.entry(format!("{}, {host}, {tag}", row.time.millis())).or_default() += 1;
        }
    }
    assert_eq!(texts(&whole), naive.into_iter().collect::<Vec<_>>());
    assert!(whole.iter().all(|bucket| bucket.value("bytes") == Some(bucket.doc_count as f64)));
    let mut paged: Vec<Bucket> = Vec::new();
    loop {
        let after = paged.last().map(|bucket| match &bucket.key {
            Key::Parts(parts) => parts.clone(),
            other => panic!("{other:?}"),
        });
        let next = page(5, after);
        if next.is_empty() {
            break;
        }
        paged.extend(next);
    }
    assert_eq!(paged, whole);
}

pub fn top_hits_carry_what_was_asked(store: &dyn Store, namespace: &Namespace) {
    let row = |kind: &str, bytes| Row::at("2026-11-21T10:00:00Z").kind(kind).bytes(bytes);
    fill(store, namespace, &[row("a", 1.0), row("a", 3.0), row("a", 2.0), row("b", 9.0)]);
    let top = AggregationKind::TopHits {
        size: 2,
        sort: vec![Sort::descending(BYTES)],
        source: SourceFields::Only(vec![BYTES.to_owned()]),
    };
    let answer = ask(store, namespace, Aggregation::terms(KIND, 5).with("top", top.into()));
    let hits = answer.buckets("x")[0].aggregations["top"].hits();
    let found: Vec<_> = hits.iter().map(|hit| (hit.id.as_str(), &hit.source)).collect();
    let source = |bytes: f64| json!({"flowsentry": {"window": {"features": {"bytes": bytes}}}});
    assert_eq!(found, [("row-0001", &source(3.0)), ("row-0002", &source(2.0))]);
    assert_eq!(answer.buckets("x")[1].aggregations["top"].hits().len(), 1);
}

pub fn everything_nests(store: &dyn Store, namespace: &Namespace) {
    let mut rows = Vec::new();
    for at in 0..40_i64 {
        let mut row = Row::at("2026-11-21T00:00:00Z");
        row.time = row.time.plus_seconds(at * 3600);
        row = row.kind(["a", "b"][at as usize % 2]).bytes(at as f64);
        rows.push(row);
    }
    fill(store, namespace, &rows);
    let small_or_large =
        Aggregation::filters([("small", Filter::between(BYTES, 0, 30)), ("all", Filter::All)]);
    let day = Interval::Calendar { unit: CalendarUnit::Day, time_zone: chrono_tz::UTC };
    let nested = Aggregation::over_time(day).with(
        "kinds",
        Aggregation::terms_by(KIND, 1, TermsOrder::metric("max", Direction::Descending))
            .with("max", Aggregation::max(BYTES))
            .with("sizes", small_or_large.with("sum", Aggregation::sum(BYTES))),
    );
    let answer = ask(store, namespace, nested);
    let days = answer.buckets("x");
    assert_eq!(days.len(), 2);
    let second = &days[1].buckets("kinds")[0];
    assert_eq!((second.key.as_text(), second.value("max")), (Some("b"), Some(39.0)));
    // Odd hours from 24 to 39: 25, 27, 29 are small; 31 to 39 are not.
    assert_eq!(second.buckets("sizes")[0].value("sum"), Some(81.0));
    assert_eq!(second.buckets("sizes")[1].value("sum"), Some(81.0 + 175.0));
}
