use super::*;

use crate::formats::{Reject, RejectReason};
use crate::sources::{MessageFacts, Place};
use crate::stores::{EmbeddedConfig, EmbeddedStore, Family, Namespace, SearchRequest, Sort, Store};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn rejected(offset: u64, record: &[u8]) -> Rejected {
    let reject = Reject::new(RejectReason::NotJson, "it ends early");
    let message = MessageFacts { index: 0, time: Some(now()), taken: 0 };
    let rejected = Rejected::new(Place { offset, line: 1 }, reject, record);
    Rejected { message: Some(message), ..rejected }
}

/// Is away so many times; counts what it has.
struct Away {
    failures: u32,
    waiting: u32,
    had: std::sync::Arc<Mutex<u32>>,
}

impl LetterPlace for Away {
    fn write(&mut self, _: &Letter) -> Result<(), SinkError> {
        self.waiting += 1;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(SinkError::Busy { count: 1, reason: "away".to_owned() });
        }
        *self.had.lock().unwrap() += std::mem::take(&mut self.waiting);
        Ok(())
    }
}

#[test]
fn a_place_that_is_away_is_waited_for_and_gets_each_letter_once() {
    let had = Arc::new(Mutex::new(0));
    let pauses = Arc::new(Mutex::new(0));
    let away = Away { failures: 3, waiting: 0, had: Arc::clone(&had) };
    let counted = Arc::clone(&pauses);
    let wait = move |_| {
        *counted.lock().unwrap() += 1;
        false
    };
    let letters = DeadLetters::new(away, Box::new(wait), now);
    letters.write("flows/0", &rejected(1, b"x")).unwrap();
    letters.flush().unwrap();
    assert_eq!((*had.lock().unwrap(), *pauses.lock().unwrap()), (1, 2));
    let gone = Away { failures: 9, waiting: 0, had };
    let letters = DeadLetters::new(gone, Box::new(|_| true), now);
    assert!(letters.write("flows/0", &rejected(1, b"x")).is_err(), "told when waiting is over");
}

#[test]
fn letters_of_a_file_are_whole_lines_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let letters = DeadLetters::append_to(&path, now).unwrap();
    letters.write("flows/0", &rejected(1, b"x")).unwrap();
    let mark = letters.mark().unwrap();
    letters.write("flows/0", &rejected(2, b"y")).unwrap();
    letters.rewind(mark).unwrap();
    // Somebody else appends as well.
    let others = DeadLetters::append_to(&path, now).unwrap();
    others.write("flows/1", &rejected(3, b"\xff")).unwrap();
    letters.write("flows/0", &rejected(4, b"z")).unwrap();
    others.flush().unwrap();
    letters.flush().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let read: Vec<Letter> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let offsets: Vec<_> = read.iter().map(|letter| letter.offset).collect();
    assert_eq!(offsets, [Some(1), Some(3), Some(4)]);
}

#[test]
fn letters_of_an_index_are_there_once_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap());
    let hostile = [&b"\x00\x1b[31m\"\\"[..], &[b'a'; Letter::RECORD_BYTES]].concat();
    for _ in 0..2 {
        let index = LetterIndex::new(Arc::clone(&store), Namespace::default());
        let letters = DeadLetters::new(index, Box::new(|_| true), now);
        letters.write("flows/0", &rejected(1, &hostile)).unwrap();
        letters.write("flows/0", &rejected(2, b"\xff\xfe")).unwrap();
        letters.flush().unwrap();
    }
    let request = SearchRequest::new(Family::DeadLetters, Namespace::default())
        .sort(Sort::ascending("flowsentry.deadletter.offset"));
    let found = store.search(&request).unwrap();
    assert_eq!(found.total, 2);
    let read: Vec<Letter> =
        found.hits.iter().map(|hit| Letter::from_document(&hit.source).unwrap()).collect();
    assert_eq!(read[0].bytes(), hostile[..Letter::RECORD_BYTES]);
    assert!(read[0].is_cut() && read[0].length == hostile.len() as u64);
    assert_eq!((read[1].bytes(), read[1].is_cut()), (b"\xff\xfe".to_vec(), false));
}

#[test]
fn clones_share_a_place() {
    let had = Arc::new(Mutex::new(0));
    let place = Away { failures: 0, waiting: 0, had: Arc::clone(&had) };
    let letters = DeadLetters::new(place, Box::new(|_| true), now);
    letters.clone().write("flows/0", &rejected(1, b"x")).unwrap();
    letters.write("flows/0", &rejected(2, b"x")).unwrap();
    assert_eq!(*had.lock().unwrap(), 2);
}
