//! Reading all hits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use flowsentry::stores::{
    Aggregation, Family, Filter, Hit, Namespace, SearchRequest, Sort, SortValue, SourceFields,
    Store, StoreError,
};

use super::model::{BYTES, Row, SECONDS, fill, id_of, windows};

/// Three days, many ties in the first key, some without it.
fn rows(count: i64) -> Vec<Row> {
    let row = |number: i64| {
        let mut row = Row::at("2026-11-21T00:00:00Z");
        row.time = row.time.plus_seconds(number * 2 * 86_400 / count);
        row.seconds = (number % 10 != 0).then_some(number % 4);
        row
    };
    (0..count).map(row).collect()
}

fn ordered(namespace: &Namespace) -> SearchRequest {
    windows(namespace).sort(Sort::descending(SECONDS)).sort(Sort::ascending("event.id"))
}

/// The pages of a scan.
fn pages(store: &dyn Store, request: &SearchRequest, page: usize) -> Vec<Vec<Hit>> {
    let mut pages = Vec::new();
    let scanned = store.scan(request, page, &mut |hits| {
        pages.push(hits);
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    pages
}

pub fn a_scan_gives_every_hit_once_in_order(store: &dyn Store, namespace: &Namespace) {
    let rows = rows(230);
    fill(store, namespace, &rows);
    let request = ordered(namespace);
    let whole = store.search(&request.clone().size(1000)).unwrap().hits;
    assert_eq!(whole.len(), rows.len());
    for page in [1000, 230, 100, 23] {
        let pages = pages(store, &request, page);
        assert!(pages.iter().all(|hits| (1..=page).contains(&hits.len())), "{page}");
        assert_eq!(pages.concat(), whole, "{page}");
    }
    let some = request.filter(Filter::term(SECONDS, 3)).source(SourceFields::None);
    let found = pages(store, &some, 7).concat();
    assert_eq!(found, store.search(&some.size(1000)).unwrap().hits);
    assert!(!found.is_empty());
}

pub fn a_scan_sees_one_moment(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &rows(40));
    let request = ordered(namespace);
    let mut seen = Vec::new();
    let scanned = store.scan(&request, 10, &mut |hits| {
        // What is written meanwhile, before and after the place of the scan, in old and new days.
        let late = ["2026-11-21T12:00:00Z", "2026-12-01T12:00:00Z"].map(|time| {
            let id = format!("late-{time}-{}", seen.len());
            Row::at(time).document(namespace, &id)
        });
        assert_eq!(store.bulk(late.to_vec()).unwrap().created(), 2);
        if let Some(hit) = hits.first() {
            let change = serde_json::json!({"flowsentry": {"window": {"seconds": 99}}});
            store.update(&hit.index, &hit.id, change, hit.version).unwrap();
        }
        store.flush().unwrap();
        seen.extend(hits.iter().map(|hit| hit.id.to_string()));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    seen.sort();
    assert_eq!(seen, (0..40).map(id_of).collect::<Vec<_>>());
    assert_eq!(store.search(&request).unwrap().total, 48);
}

pub fn a_scan_stops_when_told(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &rows(30));
    let mut seen = 0;
    let scanned = store.scan(&ordered(namespace), 10, &mut |hits| {
        seen += hits.len();
        if seen >= 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    scanned.unwrap();
    assert_eq!(seen, 20);
}

pub fn a_scan_of_nothing_gives_nothing(store: &dyn Store, namespace: &Namespace) {
    let request = ordered(namespace);
    assert!(pages(store, &request, 10).is_empty());
    let states = SearchRequest { family: Family::State, ..request.clone() };
    let states = SearchRequest { sort: vec![Sort::ascending("event.id")], ..states };
    assert!(pages(store, &states, 10).is_empty());
    fill(store, namespace, &rows(5));
    let none = request.filter(Filter::term(SECONDS, 77));
    assert!(pages(store, &none, 10).is_empty());
}

pub fn a_scan_needs_an_order(store: &dyn Store, namespace: &Namespace) {
    let ordered = || ordered(namespace);
    let after = vec![SortValue::Missing, SortValue::Missing];
    for (request, page) in [
        (windows(namespace), 10),
        (ordered(), 0),
        (ordered(), 10_001),
        (ordered().skip(1), 10),
        (ordered().after(after), 10),
        (ordered().aggregate("x", Aggregation::sum(BYTES)), 10),
        (ordered().filter(Filter::exists("nothing")), 10),
    ] {
        let scanned = store.scan(&request, page, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(scanned, Err(StoreError::Request(_))));
    }
}

/// Readers of one moment take turns; each sees what was there when it was opened.
pub fn several_requests_read_one_moment(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &rows(60));
    let whole = store.search(&ordered(namespace).size(1000)).unwrap().hits;
    let moment = store.moment(Family::Windows, namespace).unwrap();
    let some = ordered(namespace).filter(Filter::term(SECONDS, 3));
    let mut readers = [ordered(namespace), some].map(|request| {
        let pages = moment.pages(&request, 7).unwrap();
        (pages, Vec::new())
    });
    for turn in 0..20 {
        let late = Row::at("2026-11-21T12:00:00Z");
        store.bulk(vec![late.document(namespace, &format!("late-{turn}"))]).unwrap();
        for (pages, seen) in &mut readers {
            seen.extend(pages.next_page().unwrap());
        }
    }
    let [(mut all, every), (_, some)] = readers;
    assert!(all.next_page().unwrap().is_empty(), "the end stays the end");
    assert_eq!(every, whole);
    let threes = whole.iter().filter(|hit| hit.source["flowsentry"]["window"]["seconds"] == 3);
    assert_eq!(some, threes.cloned().collect::<Vec<_>>());
    assert!(!some.is_empty());
}

/// Without a key that tells them apart, equals stand on one page.
pub fn equals_stand_on_one_page(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &rows(120));
    let request = windows(namespace).sort(Sort::ascending(SECONDS));
    let pages = pages(store, &request, 50);
    let mut ids: Vec<String> = pages.concat().iter().map(|hit| hit.id.to_string()).collect();
    ids.sort();
    assert_eq!(ids, (0..120).map(id_of).collect::<Vec<_>>());
    let seconds: Vec<Vec<SortValue>> = pages.concat().iter().map(|hit| hit.sort.clone()).collect();
    assert!(seconds.is_sorted_by_key(|sort| sort_place(&sort[0])));
}

fn sort_place(value: &SortValue) -> i64 {
    if let SortValue::Integer(number) = value { *number } else { i64::MAX }
}

pub fn a_moment_answers_its_own_family(store: &dyn Store, namespace: &Namespace) {
    let moment = store.moment(Family::Windows, namespace).unwrap();
    let refused =
        |request: &SearchRequest| matches!(moment.pages(request, 10), Err(StoreError::Request(_)));
    assert!(!refused(&ordered(namespace)));
    assert!(refused(&SearchRequest { family: Family::Alerts, ..ordered(namespace) }));
    assert!(refused(&ordered(&Namespace::new("another").unwrap())));
    assert!(refused(&ordered(namespace).skip(1)));
}

/// In the order of the disk: any, but each hit once.
pub fn without_an_order_every_hit_comes_once(store: &dyn Store, namespace: &Namespace) {
    fill(store, namespace, &rows(230));
    let moment = store.moment(Family::Windows, namespace).unwrap();
    for request in [windows(namespace), windows(namespace).filter(Filter::term(SECONDS, 3))] {
        let count = store.search(&request).unwrap().total;
        let mut pages = moment.pages(&request, 17).unwrap();
        let mut ids = Vec::new();
        loop {
            let hits = pages.next_page().unwrap();
            assert!(hits.len() <= 17);
            if hits.is_empty() {
                break;
            }
            ids.extend(hits.iter().map(|hit| hit.id.to_string()));
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len() as u64, count);
    }
}
