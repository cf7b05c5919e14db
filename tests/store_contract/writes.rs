//! Creating, updating, reading, dropping.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flowsentry::stores::{
    BulkItem, DocumentId, Family, Filter, IndexName, Namespace, SearchRequest, Store, Stored,
    UpdateOutcome, Version,
};
use serde_json::{Value, json};

use super::model::{Row, ids, state, windows};

fn get(store: &dyn Store, namespace: &Namespace, id: &str) -> Option<Stored> {
    let document = state(namespace, id, Value::Null);
    store.get(&document.index, &document.id).unwrap()
}

fn create(store: &dyn Store, namespace: &Namespace, id: &str, source: Value) -> Stored {
    let outcome = store.bulk(vec![state(namespace, id, source)]).unwrap();
    assert_eq!(outcome.items, [BulkItem::Created]);
    get(store, namespace, id).unwrap()
}

fn update(
    store: &dyn Store,
    namespace: &Namespace,
    id: &str,
    partial: Value,
    expected: Version,
) -> UpdateOutcome {
    let document = state(namespace, id, Value::Null);
    store.update(&document.index, &document.id, partial, expected).unwrap()
}

pub fn a_document_is_created_once(store: &dyn Store, namespace: &Namespace) {
    create(store, namespace, "a", json!({"x": 1}));
    let again = store.bulk(vec![state(namespace, "a", json!({"x": 2}))]).unwrap();
    assert_eq!(again.items, [BulkItem::Duplicate]);
    store.flush().unwrap();
    let again = store.bulk(vec![state(namespace, "a", json!({"x": 3}))]).unwrap();
    assert_eq!(again.items, [BulkItem::Duplicate]);
    assert_eq!(get(store, namespace, "a").unwrap().source, json!({"x": 1}));
}

pub fn one_document_is_created_once(store: &dyn Store, namespace: &Namespace) {
    let document = |x| state(namespace, "a", json!({"x": x}));
    assert_eq!(store.create(document(1)).unwrap(), BulkItem::Created);
    assert_eq!(store.create(document(2)).unwrap(), BulkItem::Duplicate);
    let wrong = state(namespace, "b", json!({"event": 5}));
    assert!(matches!(store.create(wrong).unwrap(), BulkItem::Rejected { retriable: false, .. }));
    assert_eq!(get(store, namespace, "a").unwrap().source, json!({"x": 1}));
}

pub fn a_repeated_id_within_a_call_is_created_once(store: &dyn Store, namespace: &Namespace) {
    let twice = [1, 2].map(|x| state(namespace, "a", json!({"x": x})));
    let outcome = store.bulk(twice.to_vec()).unwrap();
    assert_eq!(outcome.items, [BulkItem::Created, BulkItem::Duplicate]);
    assert_eq!(get(store, namespace, "a").unwrap().source, json!({"x": 1}));
}

pub fn a_wrong_document_is_rejected_alone(store: &dyn Store, namespace: &Namespace) {
    let good = |id: &str| Row::at("2026-11-21T10:00:00Z").document(namespace, id);
    let mut wrong = good("wrong");
    wrong.source["source"]["ip"] = json!("10.0.0");
    let mut elsewhere = good("elsewhere");
    elsewhere.source["@timestamp"] = json!("2026-11-22T10:00:00Z");
    let outcome = store.bulk(vec![good("a"), wrong, elsewhere, good("b")]).unwrap();
    assert_eq!((outcome.created(), outcome.rejected().count()), (2, 2));
    let (at, reason, retriable) = outcome.rejected().next().unwrap();
    assert_eq!((at, retriable), (1, false));
    assert_eq!(reason, "field `source.ip` is of type ip, got `10.0.0`");
    assert_eq!(ids(store, windows(namespace)).len(), 2);
}

pub fn the_same_id_in_another_index_is_another_document(store: &dyn Store, namespace: &Namespace) {
    let days = ["2026-11-21T10:00:00Z", "2026-11-22T10:00:00Z"];
    let documents = days.map(|day| Row::at(day).document(namespace, "a"));
    assert_eq!(store.bulk(documents.to_vec()).unwrap().created(), 2);
    assert_eq!(store.search(&windows(namespace)).unwrap().total, 2);
}

pub fn ids_may_hold_anything(store: &dyn Store, namespace: &Namespace) {
    let long = "x".repeat(512);
    let wild = [
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "a/b?c#d&e=f",
        "%2e%2e",
        "\u{0}",
        "\n\t\u{7f}\u{1b}[31m",
        " ",
        "\"}{",
        "_search",
        "*,-a",
        "ä\u{10ffff}",
        &long,
    ];
    for id in wild {
        create(store, namespace, id, json!({"id": id}));
        assert_eq!(get(store, namespace, id).unwrap().source, json!({"id": id}));
    }
    let request = SearchRequest::new(Family::State, namespace.clone());
    let wanted = wild.map(|id| DocumentId::new(id).unwrap());
    let found = ids(store, request.filter(Filter::Ids(wanted.to_vec())));
    assert_eq!(found.len(), wild.len());
}

pub fn what_was_created_is_read_back(store: &dyn Store, namespace: &Namespace) {
    let source = json!({
        "flowsentry": {"state": {"kind": "lease", "epoch": 7, "free": [1, null, {"ä": 1.5}]}},
        "big": u64::MAX, "tiny": 1e-300, "text": "\u{0}\n\"", "none": null, "list": [],
    });
    assert_eq!(create(store, namespace, "a", source.clone()).source, source);
    store.flush().unwrap();
    assert_eq!(get(store, namespace, "a").unwrap().source, source);
    assert_eq!(get(store, namespace, "b"), None);
    let elsewhere = IndexName::parse("flowsentry-reports-nobody-1999").unwrap();
    assert_eq!(store.get(&elsewhere, &DocumentId::new("a").unwrap()).unwrap(), None);
}

pub fn an_update_needs_the_current_version(store: &dyn Store, namespace: &Namespace) {
    let first = create(store, namespace, "a", json!({"x": {"y": 1, "z": [1, 2]}, "w": 1}));
    let outcome = update(store, namespace, "a", json!({"x": {"z": [3]}, "w": null}), first.version);
    let UpdateOutcome::Updated(version) = outcome else { panic!("{outcome:?}") };
    assert_ne!(version, first.version);
    for _ in 0..2 {
        let second = get(store, namespace, "a").unwrap();
        assert_eq!(second.source, json!({"x": {"y": 1, "z": [3]}, "w": null}));
        assert_eq!(second.version, version);
        let late = update(store, namespace, "a", json!({"w": 2}), first.version);
        assert_eq!(late, UpdateOutcome::Conflict);
        store.flush().unwrap();
    }
    let none = update(store, namespace, "b", json!({}), version);
    assert_eq!(none, UpdateOutcome::Missing);
}

pub fn a_wrong_update_is_rejected_and_changes_nothing(store: &dyn Store, namespace: &Namespace) {
    let source = json!({"flowsentry": {"state": {"epoch": 1}}});
    let first = create(store, namespace, "a", source);
    for partial in [json!({"flowsentry": {"state": {"epoch": "x"}}}), json!([1])] {
        let outcome = update(store, namespace, "a", partial, first.version);
        assert!(matches!(outcome, UpdateOutcome::Rejected { .. }), "{outcome:?}");
    }
    assert_eq!(get(store, namespace, "a"), Some(first));
}

pub fn an_update_is_seen_by_searches(store: &dyn Store, namespace: &Namespace) {
    let owned_by = |owner: &str| json!({"flowsentry": {"state": {"owner": owner}}});
    let first = create(store, namespace, "a", owned_by("x"));
    let find = |owner| {
        let filter = Filter::term("flowsentry.state.owner", owner);
        let request = SearchRequest::new(Family::State, namespace.clone()).filter(filter);
        store.search(&request).unwrap()
    };
    assert_eq!(find("x").hits[0].version, first.version);
    update(store, namespace, "a", owned_by("y"), first.version);
    assert_eq!((find("x").total, find("y").total), (0, 1));
    let version = find("y").hits[0].version;
    assert!(matches!(
        update(store, namespace, "a", owned_by("z"), version),
        UpdateOutcome::Updated(_)
    ));
    let again = store.bulk(vec![state(namespace, "a", json!({}))]).unwrap();
    assert_eq!(again.duplicates(), 1);
}

pub fn one_of_many_rivals_wins(store: &dyn Store, namespace: &Namespace) {
    let first = create(store, namespace, "lease", json!({}));
    let rival =
        |number: usize| update(store, namespace, "lease", json!({"holder": number}), first.version);
    let outcomes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || rival(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let won = outcomes.iter().filter(|outcome| matches!(outcome, UpdateOutcome::Updated(_)));
    assert_eq!(won.count(), 1, "{outcomes:?}");
}

pub fn old_indices_are_dropped_whole(store: &dyn Store, namespace: &Namespace) {
    // Older than what any other case writes: on a shared server the cut-off is for all.
    let days = ["1999-01-01T10:00:00Z", "1999-01-02T10:00:00Z", "1999-01-03T10:00:00Z"];
    let documents = days.map(|day| Row::at(day).document(namespace, day));
    store.bulk(documents.to_vec()).unwrap();
    let cutoff = "1999-01-02T23:59:59.999Z".parse().unwrap();
    let dropped = store.drop_before(Family::Windows, cutoff).unwrap();
    // Another run on the same server may have left some.
    let own = |name: &&IndexName| name.namespace() == namespace;
    let names: Vec<_> = dropped.iter().filter(own).map(ToString::to_string).collect();
    assert_eq!(names, [format!("flowsentry-windows-{namespace}-1999.01.01")]);
    assert_eq!(store.search(&windows(namespace)).unwrap().total, 2);
    let cutoff = "1999-01-04T00:00:00Z".parse().unwrap();
    let dropped = store.drop_before(Family::Windows, cutoff).unwrap();
    assert_eq!(dropped.iter().filter(own).count(), 2);
    assert_eq!(store.search(&windows(namespace)).unwrap().total, 0);
    assert_eq!(store.bulk(vec![documents[0].clone()]).unwrap().created(), 1);
}

pub fn families_without_period_are_never_dropped(store: &dyn Store, namespace: &Namespace) {
    create(store, namespace, "a", json!({}));
    let cutoff = "2200-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(store.drop_before(Family::State, cutoff).unwrap(), []);
    assert!(get(store, namespace, "a").is_some());
}
