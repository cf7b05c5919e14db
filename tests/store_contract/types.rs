//! Values of every type, on their way in and out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flowsentry::stores::{
    Aggregation, AggregationKind, BulkItem, CompositeSource, Document, DocumentId, Family, Filter,
    IndexName, Key, Limit, Namespace, Scalar, SearchRequest, Sort, SortValue, Store,
};
use serde_json::{Value, json};

use super::model::{BYTES, KIND, Row, SECONDS, TRUNCATED, fill, ids, windows};

pub fn every_type_is_stored_and_found(store: &dyn Store, namespace: &Namespace) {
    let mut document = Row::at("2026-11-21T10:00:00Z").document(namespace, "a");
    let extra = json!({
        "event": {
            "id": "a", "kind": ["state", 5, true], "reason": "words, \u{0} and more",
            "start": 1_795_255_200_123_i64, "end": ["2026-11-21T11:00:00.5+01:00"],
            "severity": 5.0, "risk_score": 1, "risk_score_norm": -0.0,
        },
        "source.ip": "::ffff:10.0.0.1", "related": {"ip": [["fd00::1"], "10.0.0.2", null]},
        "flowsentry": {"window": {
            "truncated": false, "seconds": i64::MIN, "subject": {"value": "\u{10ffff}\n"},
            "features": {"bytes": 5e-324, "a-b_C": 0.1, "none": null},
        }},
        "message": {"not": "searched"},
    });
    for (name, value) in extra.as_object().unwrap() {
        document.source[name] = value.clone();
    }
    document.source.as_object_mut().unwrap().remove("source");
    document.source["message"] = json!("not searched");
    assert_eq!(store.bulk(vec![document.clone()]).unwrap().items, [BulkItem::Created]);
    let time = |text: &str| Scalar::Time(text.parse().unwrap());
    for (field, value) in [
        ("event.kind", "state".into()),
        ("event.kind", "5".into()),
        ("event.kind", "true".into()),
        ("event.start", time("2026-11-21T10:00:00.123Z")),
        ("event.end", time("2026-11-21T10:00:00.500Z")),
        ("event.severity", 5.into()),
        ("event.risk_score", 1.0.into()),
        ("event.risk_score_norm", 0.0.into()),
        ("source.ip", "10.0.0.1".into()),
        ("related.ip", "fd00::1".into()),
        ("related.ip", "10.0.0.2".into()),
        (TRUNCATED, false.into()),
        (SECONDS, i64::MIN.into()),
        ("flowsentry.window.subject.value", "\u{10ffff}\n".into()),
        (BYTES, 5e-324.into()),
        ("flowsentry.window.features.a-b_C", 0.1.into()),
    ] {
        let filter = Filter::Term { field: field.to_owned(), value };
        assert_eq!(ids(store, windows(namespace).filter(filter)).len(), 1, "{field}");
        let exists = windows(namespace).filter(Filter::exists(field));
        assert_eq!(store.search(&exists).unwrap().total, 1, "{field}");
    }
    for field in ["event.created", "flowsentry.window.features.none", "tags"] {
        let exists = windows(namespace).filter(Filter::exists(field));
        assert_eq!(store.search(&exists).unwrap().total, 0, "{field}");
    }
    // Zero has one sign; all else is as it was.
    document.source["event"]["risk_score_norm"] = json!(0.0);
    let hit = store.search(&windows(namespace).size(1)).unwrap().hits.remove(0);
    assert_eq!(hit.source.to_string(), document.source.to_string());
    let stored = store.get(&document.index, &document.id).unwrap().unwrap();
    assert_eq!(stored.source.to_string(), document.source.to_string());
}

pub fn every_type_makes_keys(store: &dyn Store, namespace: &Namespace) {
    let rows: Vec<_> = [Some(true), Some(false), None]
        .into_iter()
        .zip([i64::MIN, 0, i64::MAX])
        .zip(["10.0.0.1", "fd00::1", "10.0.0.2"])
        .zip([-1.5, 0.0, 1e300])
        .map(|(((truncated, seconds), source), bytes)| Row {
            truncated,
            seconds: Some(seconds),
            source: Some(source.parse().unwrap()),
            ..Row::at("2026-11-21T10:00:00.123Z").bytes(bytes).kind("\u{0}\"")
        })
        .collect();
    fill(store, namespace, &rows);
    let ip = |text: &str| Key::Ip(text.parse().unwrap());
    let time = rows[0].time.millis();
    for (field, keys) in [
        (TRUNCATED, vec![Key::Boolean(false), Key::Boolean(true)]),
        (SECONDS, vec![Key::Integer(i64::MIN), Key::Integer(0), Key::Integer(i64::MAX)]),
        ("source.ip", vec![ip("10.0.0.1"), ip("10.0.0.2"), ip("fd00::1")]),
        (BYTES, vec![Key::Number(-1.5), Key::Number(0.0), Key::Number(1e300)]),
        (KIND, vec![Key::Text("\u{0}\"".to_owned())]),
        ("@timestamp", vec![Key::Integer(time)]),
        ("event.end", Vec::new()),
        ("flowsentry.window.features.nothing", Vec::new()),
    ] {
        let sources = [("k", CompositeSource::Terms { field: field.to_owned() })];
        let request = windows(namespace)
            .aggregate("terms", Aggregation::terms(field, 10))
            .aggregate("composite", Aggregation::composite(sources.clone(), 10));
        let answer = store.search(&request).unwrap();
        let found: Vec<_> =
            answer.buckets("terms").iter().map(|bucket| bucket.key.clone()).collect();
        assert_eq!(found, keys, "{field}");
        assert!(answer.buckets("terms").iter().all(|bucket| bucket.key_as_string.is_none()));
        let parts: Vec<_> = keys.iter().map(|key| Key::Parts(vec![key.clone()])).collect();
        let composite = answer.buckets("composite").iter().map(|bucket| bucket.key.clone());
        assert_eq!(composite.collect::<Vec<_>>(), parts, "{field}");
        // Every key leads to the rest.
        for (at, key) in keys.iter().enumerate() {
            let kind = AggregationKind::Composite {
                sources: sources
                    .iter()
                    .map(|(name, source)| ((*name).to_owned(), source.clone()))
                    .collect(),
                size: 10,
                after: Some(vec![key.clone()]),
            };
            let answer = store.search(&windows(namespace).aggregate("x", kind.into())).unwrap();
            let rest: Vec<_> =
                answer.buckets("x").iter().map(|bucket| bucket.key.clone()).collect();
            assert_eq!(rest, parts[at + 1..], "{field} after {key}");
        }
    }
    let answer = windows(namespace)
        .aggregate("first", Aggregation::min("@timestamp"))
        .aggregate("last", Aggregation::max("@timestamp"))
        .aggregate("flags", Aggregation::value_count(TRUNCATED))
        .aggregate("hosts", Aggregation::value_count("source.ip"));
    let answer = store.search(&answer).unwrap();
    let value = |name| answer.value(name).unwrap();
    assert_eq!((value("first"), value("last")), (time as f64, time as f64));
    assert_eq!((value("flags"), value("hosts")), (2.0, 3.0));
}

pub fn long_keywords_are_stored_not_found(store: &dyn Store, namespace: &Namespace) {
    // Four bytes and two units of UTF-16 each.
    let text = |count| "\u{1f600}".repeat(count);
    let row = |kind: &str| Row::at("2026-11-21T10:00:00Z").kind(kind);
    fill(store, namespace, &[row(&text(512)), row(&text(513)), row(&"x".repeat(40_000))]);
    let exists = windows(namespace).filter(Filter::exists(KIND));
    assert_eq!(ids(store, exists).len(), 1);
    let find = |text: String| store.search(&windows(namespace).filter(Filter::term(KIND, text)));
    assert_eq!(find(text(512)).unwrap().total, 1);
    assert_eq!(find(text(513)).unwrap().total, 0);
}

pub fn what_one_server_refuses_all_refuse(store: &dyn Store, namespace: &Namespace) {
    let with = |name: &str, value: Value| {
        let mut document = Row::at("2026-11-21T10:00:00Z").document(namespace, "odd");
        document.source[name] = value;
        document
    };
    let wrong = [
        with("", json!(1)),
        with(" ", json!(1)),
        with(".", json!(1)),
        with("a.", json!(1)),
        with(".a", json!(1)),
        with("a..b", json!(1)),
        with("event", json!({"": 1})),
        with("event", json!({" ": 1})),
        with("event", json!({"id.": "a"})),
        with("_id", json!("a")),
        with("_source", json!({})),
        with("_seq_no", json!(1)),
        with("event", json!({"end": "2026-11-21 10:00:00Z"})),
        with("event", json!({"end": "2026-11-21t10:00:00Z"})),
        with("event", json!({"end": "2026-11-21T10:00:60Z"})),
        with("event", json!({"end": "2026-11-21T10:00:00.1234567891Z"})),
        with("event", json!({"end": "2026-11-21T10:00:00"})),
        with("event", json!({"end": "yesterday"})),
    ];
    for document in wrong {
        let item = store.create(document.clone()).unwrap();
        assert!(
            matches!(item, BulkItem::Rejected { retriable: false, .. }),
            "{}: {item:?}",
            document.source
        );
    }
    for (at, right) in [
        with("a b", json!(1)),
        with("x", json!({"": {" ": 1, "_id": 2}, "a": [{"b..c": 1}]})),
        with("a-b_c@d", json!({"\u{0}": {"\u{e4}": 1}})),
        with("x.y", json!({"z.w": 1})),
        with("event", json!({"end": "2026-11-21T10:00:00.123456789+05:30"})),
        with("event", json!({"end": "1677-12-31T23:59:59.9Z"})),
        with("event", json!({"end": "2262-01-01T00:00:00-00:00"})),
    ]
    .into_iter()
    .enumerate()
    {
        let document = Document { id: DocumentId::new(format!("right-{at}")).unwrap(), ..right };
        let item = store.create(document.clone()).unwrap();
        assert_eq!(item, BulkItem::Created, "{}", document.source);
        let found = store.get(&document.index, &document.id).unwrap().unwrap();
        assert_eq!(found.source, document.source);
    }
}

pub fn flows_are_found_by_their_day(store: &dyn Store, namespace: &Namespace) {
    // A stream can be removed from not every test server: all runs share one, and ids tell apart.
    let site = Namespace::new("contract").unwrap();
    let flow = |time: &str, bytes: i64| {
        let id = format!("{namespace}-{time}");
        let index = IndexName::for_event(Family::Flows, &site, time.parse().unwrap());
        let source = json!({
            "@timestamp": time, "event": {"id": id}, "network": {"bytes": bytes},
            "tags": [namespace.as_str()],
        });
        Document { index, id: DocumentId::new(id).unwrap(), source }
    };
    let times =
        ["2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00.000Z", "2026-11-21T12:00:00.000Z"];
    let flows: Vec<_> = times.iter().zip(1..).map(|(time, bytes)| flow(time, bytes)).collect();
    assert_eq!(store.bulk(flows.clone()).unwrap().created(), 3);
    assert_eq!(store.bulk(flows.clone()).unwrap().duplicates(), 3);
    let own = SearchRequest::new(Family::Flows, site.clone())
        .filter(Filter::term("tags", namespace.as_str()))
        .sort(Sort::descending("@timestamp"))
        .aggregate("bytes", Aggregation::sum("network.bytes"));
    let answer = store.search(&own).unwrap();
    assert_eq!((answer.total, answer.value("bytes")), (3, Some(6.0)));
    let indices: Vec<_> = answer.hits.iter().map(|hit| hit.index.to_string()).collect();
    let day = |day: &str| format!("flowsentry-flows-contract-{day}");
    assert_eq!(indices, [day("2026.11.21"), day("2026.11.21"), day("2026.11.20")]);
    let millis = flows[2].source["@timestamp"].as_str().unwrap();
    let millis = millis.parse::<flowsentry::model::Timestamp>().unwrap().millis();
    assert_eq!(answer.hits[0].sort, [SortValue::Integer(millis)]);
    for flow in &flows {
        let stored = store.get(&flow.index, &flow.id).unwrap().unwrap().source;
        assert!(completes(&stored, &flow.source), "{stored} of {}", flow.source);
        let elsewhere = IndexName::parse("flowsentry-flows-contract-1999.01.01").unwrap();
        assert_eq!(store.get(&elsewhere, &flow.id).unwrap(), None);
    }
    let late = Filter::Range {
        field: "network.bytes".to_owned(),
        from: Limit::Excluded(1.into()),
        to: Limit::Open,
    };
    assert_eq!(store.search(&own.filter(late)).unwrap().total, 2);
}

/// Whether `stored` holds all of `sent`: an ingest pipeline of raw flows may add, never change.
fn completes(stored: &Value, sent: &Value) -> bool {
    match (stored, sent) {
        (Value::Object(stored), Value::Object(sent)) => sent
            .iter()
            .all(|(name, sent)| stored.get(name).is_some_and(|stored| completes(stored, sent))),
        (stored, sent) => stored == sent,
    }
}
