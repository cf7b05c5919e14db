//! Dead letters: anything can be kept, once, and comes back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use flowsentry::model::{Letter, Origin, Timestamp};
use flowsentry::sources::{LetterFilter, letters_of_index};
use flowsentry::stores::{
    BulkItem, Direction, Document, DocumentId, Family, IndexName, Namespace, Store,
};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn letter(offset: u64, seconds: i64, reason: &str, bytes: &[u8]) -> Letter {
    let time = Some(now().plus_seconds(seconds));
    let origin = Origin::Message { source: "flows/3", offset, index: 0, time, taken: 0 };
    let detail = format!("\u{1b}[31m it is\n{reason}");
    Letter::new(&origin, (reason, &detail), bytes, bytes.len() as u64 + 1, now())
}

fn document(namespace: &Namespace, letter: &Letter) -> Document {
    let index = IndexName::for_event(Family::DeadLetters, namespace, letter.time);
    let id = DocumentId::new(letter.id.as_str()).unwrap();
    Document { index, id, source: letter.document() }
}

pub fn letters_hold_anything_once_and_come_back_by_time(store: &dyn Store, namespace: &Namespace) {
    let text = [b"\\\"\x00\x1b\n".as_slice(), &[b'a'; Letter::RECORD_BYTES]].concat();
    let digits: Vec<u8> = (0..Letter::RECORD_BYTES).map(|at| (at % 256) as u8).collect();
    let tree = format!("{}{}", "{\"a.\":[".repeat(900), "]}".repeat(900));
    let letters = [
        letter(0, 30, "not_json", &text),
        letter(1, 20, "not_utf8", &digits),
        // Two months before: still the time of the letter, in another index.
        letter(2, -29 * 86_400, "not_json", b""),
        letter(u64::from(u32::MAX) << 20, 10, "not_json", tree.as_bytes()),
    ];
    let documents: Vec<_> = letters.iter().map(|letter| document(namespace, letter)).collect();
    let created = store.bulk(documents.clone()).unwrap();
    assert_eq!(created.items, vec![BulkItem::Created; 4]);
    assert_eq!(store.bulk(documents).unwrap().items, vec![BulkItem::Duplicate; 4]);
    let read = |filter: LetterFilter, direction, most: usize| {
        let mut found = Vec::new();
        let damaged = letters_of_index(store, namespace, &filter, direction, &mut |letter| {
            found.push(letter);
            if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(damaged.unwrap(), 0);
        found
    };
    let of = |order: &[usize]| order.iter().map(|at| letters[*at].clone()).collect::<Vec<_>>();
    let all = LetterFilter::default;
    assert_eq!(read(all(), Direction::Descending, 9), of(&[0, 1, 3, 2]));
    assert_eq!(read(all(), Direction::Ascending, 2), of(&[2, 3]));
    let reason = LetterFilter { reason: Some("not_json".to_owned()), ..all() };
    assert_eq!(read(reason, Direction::Ascending, 9), of(&[2, 3, 0]));
    let (from, to) = (Some(now()), Some(now().plus_seconds(30)));
    assert_eq!(read(LetterFilter { from, to, ..all() }, Direction::Ascending, 9), of(&[3, 1]));
    let ids = vec![letters[1].id.clone(), "nobody".to_owned()];
    assert_eq!(read(LetterFilter { ids, ..all() }, Direction::Ascending, 9), of(&[1]));
}

pub fn many_letters_are_read_page_by_page(store: &dyn Store, namespace: &Namespace) {
    // Many of one time: the pages are cut within it.
    let letters: Vec<Letter> =
        (0..70).map(|at| letter(at, (at / 40) as i64, "not_json", b"x")).collect();
    store.bulk(letters.iter().map(|letter| document(namespace, letter)).collect()).unwrap();
    let mut offsets = Vec::new();
    let filter = LetterFilter::default();
    letters_of_index(store, namespace, &filter, Direction::Ascending, &mut |letter| {
        offsets.push(letter.offset.unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..70).collect::<Vec<_>>());
}
