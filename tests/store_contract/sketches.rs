//! What some stores estimate, within the error that the model states.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flowsentry::stores::{Aggregation, AggregationResult, Namespace, Store};

use super::model::{BYTES, KIND, Row, fill, windows};

pub fn percentiles_interpolate(store: &dyn Store, namespace: &Namespace) {
    let rows = [4.0, 1.0, 2.0, 3.0, 5.0].map(|bytes| Row::at("2026-11-21T10:00:00Z").bytes(bytes));
    fill(store, namespace, &rows);
    let percents = [0.0, 10.0, 50.0, 100.0];
    let answer = store
        .search(&windows(namespace).aggregate("x", Aggregation::percentiles(BYTES, percents)))
        .unwrap();
    let AggregationResult::Percentiles(values) = &answer.aggregations["x"] else {
        panic!("percentiles give percentiles");
    };
    for ((percent, value), wanted) in values.iter().zip([1.0, 1.4, 3.0, 5.0]) {
        // Other stores estimate; at five values their estimate is within half a value.
        assert!((value.unwrap() - wanted).abs() <= 0.5, "{percent}: {value:?}");
    }
    let middle = values[2].1.unwrap();
    assert!((middle - 3.0).abs() < 1e-9);
}

/// How far the rank of an estimate may be off, in parts of the number of values.
const RANK_ERROR: f64 = 0.005;

pub fn percentiles_stay_within_their_error(store: &dyn Store, namespace: &Namespace) {
    // Skewed, with ties, in an order that is not sorted.
    let count = 4_000_u64;
    let mut values: Vec<f64> =
        (0..count).map(|at| ((at * 2_654_435_761 % count) as f64 / 40.0).exp2().floor()).collect();
    let rows: Vec<_> =
        values.iter().map(|value| Row::at("2026-11-21T10:00:00Z").bytes(*value)).collect();
    fill(store, namespace, &rows);
    values.sort_by(f64::total_cmp);
    let percents = [99.9, 0.0, 1.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0];
    let request = windows(namespace).aggregate("x", Aggregation::percentiles(BYTES, percents));
    let answer = store.search(&request).unwrap();
    let AggregationResult::Percentiles(found) = &answer.aggregations["x"] else {
        panic!("percentiles give percentiles");
    };
    assert_eq!(found.iter().map(|(percent, _)| *percent).collect::<Vec<_>>(), percents);
    for (percent, value) in found {
        let (value, last) = (value.unwrap(), (values.len() - 1) as f64);
        let off = 1.0 + RANK_ERROR * values.len() as f64;
        let rank = percent / 100.0 * last;
        let low = values[(rank - off).floor().max(0.0) as usize];
        let high = values[(rank + off).ceil().min(last) as usize];
        assert!((low..=high).contains(&value), "{percent}: {value} is not in {low}..={high}");
    }
}

pub fn thousands_of_values_are_counted(store: &dyn Store, namespace: &Namespace) {
    let rows: Vec<_> = (0..6_000_u32)
        .map(|at| {
            let mut row = Row::at("2026-11-20T10:00:00Z").kind(["a", "b"][(at % 6 == 0) as usize]);
            row.time = row.time.plus_seconds(i64::from(at % 3) * 86_400);
            row.source = Some((0x0a00_0000 + at / 2).to_be_bytes().into());
            row.bytes(f64::from(at / 3))
        })
        .collect();
    fill(store, namespace, &rows);
    let request = windows(namespace)
        .aggregate("hosts", Aggregation::cardinality("source.ip"))
        .aggregate("bytes", Aggregation::cardinality(BYTES))
        .aggregate(
            "kinds",
            Aggregation::terms(KIND, 5).with("hosts", Aggregation::cardinality("source.ip")),
        )
        .aggregate("top", Aggregation::terms("source.ip", 2_500));
    let answer = store.search(&request).unwrap();
    // Exact to 40,000 values but for values that share a hash: fewer than one in a thousand.
    for (name, wanted) in [("hosts", 3_000.0), ("bytes", 2_000.0)] {
        let found = answer.value(name).unwrap();
        assert!((found - wanted).abs() <= wanted / 1000.0, "{name}: {found}");
    }
    // Within buckets exact to 1,000, beyond it some per cent off.
    let within: Vec<_> =
        answer.buckets("kinds").iter().map(|bucket| bucket.value("hosts").unwrap()).collect();
    assert!((within[0] - 3_000.0).abs() <= 300.0, "{within:?}");
    assert!((within[1] - 1_000.0).abs() <= 1.0, "{within:?}");
    // Fewer than 10,000 values in every index: terms are exact.
    let top = answer.buckets("top");
    assert_eq!((top.len(), top[0].doc_count, top[2_499].doc_count), (2_500, 2, 2));
    let AggregationResult::Buckets { other_doc_count, .. } = &answer.aggregations["top"] else {
        panic!("terms give buckets");
    };
    assert_eq!(*other_doc_count, 1_000);
}
