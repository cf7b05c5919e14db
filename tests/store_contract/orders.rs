//! The order of hits, and pages of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flowsentry::stores::{
    Direction, Hit, Namespace, SearchRequest, Sort, SortValue, SourceFields, Store,
};

use super::model::{BYTES, KIND, Row, SECONDS, TRUNCATED, fill, windows};

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

/// All hits of `request`, `size` at a time.
fn paged(store: &dyn Store, request: &SearchRequest, size: usize) -> Vec<Hit> {
    let mut paged: Vec<Hit> = Vec::new();
    loop {
        let mut page = request.clone().size(size);
        page.search_after = paged.last().map(|last| last.sort.clone());
        let hits = store.search(&page).unwrap().hits;
        if hits.is_empty() {
            return paged;
        }
        paged.extend(hits);
    }
}

pub fn every_type_is_paged_through_what_is_missing(store: &dyn Store, namespace: &Namespace) {
    // Every other row has nothing but a time.
    let rows: Vec<_> = (0..12_u8)
        .map(|at| {
            let mut row = Row::at(&format!("2026-11-2{}T10:00:00Z", at % 3));
            if at % 2 == 0 {
                row = row.kind(&format!("kind-{at}")).bytes(f64::from(at) / 3.0);
                row.source = Some([10, 0, 0, at].into());
                row.seconds = Some(i64::MAX - i64::from(at) * 100);
                row.truncated = Some(at % 4 == 0);
            }
            row
        })
        .collect();
    fill(store, namespace, &rows);
    let by_id = |hits: &[Hit]| hits.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>();
    // `event.end` and the feature `nothing` are in no document at all.
    let nothing = "flowsentry.window.features.nothing";
    for field in [KIND, BYTES, "source.ip", SECONDS, TRUNCATED, "event.end", nothing] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let request = windows(namespace)
                .sort(Sort { field: field.to_owned(), direction })
                .sort(Sort::ascending("event.id"))
                .source(SourceFields::None);
            let whole = store.search(&request.clone().size(100)).unwrap().hits;
            let missing = if ["event.end", nothing].contains(&field) { 12 } else { 6 };
            let place = whole.iter().position(|hit| hit.sort[0] == SortValue::Missing);
            assert_eq!(place, Some(12 - missing), "{field} {direction:?}");
            let paged = paged(store, &request, 5);
            assert_eq!(by_id(&paged), by_id(&whole), "{field} {direction:?}");
            assert_eq!(paged, whole);
        }
    }
}

pub fn the_largest_number_is_beside_what_is_missing(store: &dyn Store, namespace: &Namespace) {
    let row = |seconds| Row { seconds, ..Row::at("2026-11-21T10:00:00Z") };
    let rows = [row(None), row(Some(i64::MAX)), row(None), row(Some(i64::MIN)), row(Some(0))];
    fill(store, namespace, &rows);
    let values = |sort: Sort| -> Vec<SortValue> {
        let request = windows(namespace).sort(sort).sort(Sort::ascending("event.id"));
        let paged = paged(store, &request, 1);
        assert_eq!(paged, store.search(&request.size(10)).unwrap().hits);
        paged.iter().map(|hit| hit.sort[0].clone()).collect()
    };
    let (none, number) = (SortValue::Missing, SortValue::Integer);
    assert_eq!(
        values(Sort::ascending(SECONDS)),
        [number(i64::MIN), number(0), none.clone(), number(i64::MAX), none.clone()]
    );
    assert_eq!(
        values(Sort::descending(SECONDS)),
        [number(i64::MAX), number(0), none.clone(), none.clone(), number(i64::MIN)]
    );
}

pub fn several_values_sort_by_the_first_on_the_way(store: &dyn Store, namespace: &Namespace) {
    let row = |tags: &[&str]| Row {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Row::at("2026-11-21T10:00:00Z")
    };
    fill(
        store,
        namespace,
        &[row(&["b", "y"]), row(&["a", "x"]), row(&[]), row(&["\u{10ffff}", "\u{e000}"])],
    );
    let values = |sort| -> Vec<SortValue> {
        let hits = store.search(&windows(namespace).sort(sort).size(10)).unwrap().hits;
        hits.iter().map(|hit| hit.sort[0].clone()).collect()
    };
    let text = |text: &str| SortValue::Text(text.to_owned());
    assert_eq!(
        values(Sort::ascending("tags")),
        [text("a"), text("b"), text("\u{e000}"), SortValue::Missing]
    );
    assert_eq!(
        values(Sort::descending("tags")),
        [text("\u{10ffff}"), text("y"), text("x"), SortValue::Missing]
    );
}
