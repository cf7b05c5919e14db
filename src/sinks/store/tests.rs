use std::sync::Mutex;

use serde_json::json;

use crate::model::Timestamp;
use crate::stores::{
    EmbeddedConfig, EmbeddedStore, Moment, SearchRequest, SearchResponse, Stored, Version,
};

use super::*;

/// An embedded store that counts bulk calls, and has no time for anybody when told so.
struct Watched {
    inner: EmbeddedStore,
    bulks: Mutex<Vec<usize>>,
    is_busy: Mutex<bool>,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let inner = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let (bulks, is_busy) = (Mutex::default(), Mutex::default());
        Arc::new(Self { inner, bulks, is_busy, _folder: folder })
    }

    fn sink(self: &Arc<Self>) -> StoreSink {
        StoreSink::new(Arc::clone(self) as Arc<dyn Store>, Namespace::default())
    }

    /// The sizes of the bulk calls since the last time.
    fn bulks(&self) -> Vec<usize> {
        std::mem::take(&mut self.bulks.lock().unwrap())
    }

    fn count(&self, family: Family) -> u64 {
        self.inner.search(&SearchRequest::new(family, Namespace::default())).unwrap().total
    }

    fn alert(&self, id: &str) -> Stored {
        let index = IndexName::for_event(Family::Alerts, &Namespace::default(), time());
        self.inner.get(&index, &DocumentId::new(id).unwrap()).unwrap().unwrap()
    }
}

impl Store for Watched {
    fn bulk(&self, documents: Vec<StoredDocument>) -> Result<BulkOutcome, StoreError> {
        self.bulks.lock().unwrap().push(documents.len());
        if *self.is_busy.lock().unwrap() {
            let item = BulkItem::Rejected { reason: "queue is full".into(), retriable: true };
            return Ok(BulkOutcome { items: vec![item; documents.len()] });
        }
        self.inner.bulk(documents)
    }

    fn update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        partial: Value,
        expected: Version,
    ) -> Result<UpdateOutcome, StoreError> {
        self.inner.update(index, id, partial, expected)
    }

    fn get(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError> {
        self.inner.get(index, id)
    }

    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, StoreError> {
        self.inner.search(request)
    }

    fn moment(
        &self,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Box<dyn Moment + '_>, StoreError> {
        self.inner.moment(family, namespace)
    }

    fn drop_before(&self, family: Family, cutoff: Timestamp) -> Result<Vec<IndexName>, StoreError> {
        self.inner.drop_before(family, cutoff)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

fn time() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn document(dataset: Dataset, id: &str) -> Document {
    let body = json!({"@timestamp": time(), "event": {"id": id}});
    Document { dataset, body }
}

fn alert(id: &str, count: u64, score: f64) -> Document {
    let mut document = document(Dataset::Alert, id);
    document.body["flowsentry"] =
        json!({"alert": {"count": count, "score": score, "status": "open"}});
    document
}

fn broken(dataset: Dataset, id: &str) -> Document {
    let mut document = document(dataset, id);
    document.body["source"] = json!({"ip": "no\u{1b}body"});
    document
}

#[test]
fn a_refused_document_does_not_lose_its_neighbours() {
    let store = Watched::new();
    let mut sink = store.sink();
    for number in 0..9 {
        let id = format!("w{number}");
        let is_broken = number % 2 == 1;
        let make = if is_broken { broken } else { document };
        sink.write(&make(Dataset::Window, &id)).unwrap();
    }
    sink.write(&broken(Dataset::Alert, "a0")).unwrap();
    sink.write(&document(Dataset::Alert, "a1")).unwrap();
    sink.flush().unwrap();
    assert_eq!((store.count(Family::Windows), store.count(Family::Alerts)), (5, 1));
    let verdict = sink.verdict().unwrap_err().to_string();
    let expected = "the store refused 5 documents for good, all others are written; the first: \
                    `w1`: ";
    assert!(verdict.starts_with(expected), "{verdict}");
    assert!(verdict.contains("`w3`: ") && verdict.contains("`w5`: "), "{verdict}");
    assert!(!verdict.contains("`w7`") && !verdict.contains('\u{1b}'), "{verdict}");
}

#[test]
fn a_busy_store_is_an_error_and_repeating_loses_and_doubles_nothing() {
    let store = Watched::new();
    let documents = [document(Dataset::Window, "w"), document(Dataset::Alert, "a")];
    *store.is_busy.lock().unwrap() = true;
    let mut sink = store.sink();
    documents.iter().for_each(|document| sink.write(document).unwrap());
    assert_eq!(
        sink.flush().unwrap_err().to_string(),
        "the store did not take 1 documents now (queue is full): try again later, what is written \
         is not written twice"
    );
    *store.is_busy.lock().unwrap() = false;
    for _ in 0..2 {
        let mut sink = store.sink();
        documents.iter().for_each(|document| sink.write(document).unwrap());
        sink.flush().unwrap();
        sink.verdict().unwrap();
    }
    assert_eq!((store.count(Family::Windows), store.count(Family::Alerts)), (1, 1));
}

#[test]
fn facts_go_in_batches_before_the_alerts_that_name_them() {
    let store = Watched::new();
    let mut sink = store.sink();
    for number in 0..BATCH_DOCUMENTS + 10 {
        sink.write(&document(Dataset::Anomaly, &format!("n{number}"))).unwrap();
        if number % 100 == 0 {
            sink.write(&document(Dataset::Alert, &format!("a{number}"))).unwrap();
        }
    }
    sink.flush().unwrap();
    assert_eq!(store.bulks(), [BATCH_DOCUMENTS, 10, 41]);
    let mut large = document(Dataset::Window, "large");
    large.body["message"] = json!("x".repeat(BATCH_BYTES));
    sink.write(&large).unwrap();
    assert_eq!(store.bulks(), [1], "a batch is bounded by its bytes, too");
}

#[test]
fn an_alert_is_written_as_it_is_last_and_only_when_that_is_news() {
    let store = Watched::new();
    let write = |alerts: &[Document]| {
        let mut sink = store.sink();
        alerts.iter().for_each(|alert| sink.write(alert).unwrap());
        sink.flush().unwrap();
        sink.verdict().unwrap();
        store.alert("a")
    };
    // A number whose text does not read back as itself in every parser.
    let score = 0.1 + 0.2;
    let first = write(&[alert("a", 1, 7.0), alert("b", 1, 1.0), alert("a", 2, score)]);
    assert_eq!(store.bulks(), [2]);
    assert_eq!(first.source["flowsentry"]["alert"]["count"], 2);
    assert_eq!(write(&[alert("a", 2, score)]).version, first.version, "nothing new");
    let third = write(&[alert("a", 3, score)]);
    assert_ne!(third.version, first.version);
    assert_eq!(third.source["flowsentry"]["alert"]["count"], 3);
}

#[test]
fn what_people_set_stays() {
    let store = Watched::new();
    let mut sink = store.sink();
    sink.write(&alert("a", 1, 1.0)).unwrap();
    sink.flush().unwrap();
    let stored = store.alert("a");
    let index = IndexName::for_event(Family::Alerts, &Namespace::default(), time());
    let taken = json!({"flowsentry": {"alert": {"status": "acknowledged", "owner": "anna"}}});
    let id = DocumentId::new("a").unwrap();
    store.update(&index, &id, taken, stored.version).unwrap();
    sink.write(&alert("a", 2, 1.0)).unwrap();
    sink.flush().unwrap();
    let alert = store.alert("a").source["flowsentry"]["alert"].clone();
    assert_eq!(alert, json!({"count": 2, "score": 1.0, "status": "acknowledged", "owner": "anna"}));
}

#[test]
fn what_hides_an_alert_is_written_with_its_creation_alone() {
    let store = Watched::new();
    let mut sink = store.sink();
    let hidden = |count| {
        let mut alert = alert("a", count, 1.0);
        alert.body["flowsentry"]["alert"]["suppressed_by"] = json!("exception ab: printers");
        alert
    };
    sink.write(&hidden(1)).unwrap();
    sink.flush().unwrap();
    let said = || store.alert("a").source["flowsentry"]["alert"]["suppressed_by"].clone();
    assert_eq!(said(), "exception ab: printers");
    let index = IndexName::for_event(Family::Alerts, &Namespace::default(), time());
    let shown = json!({"flowsentry": {"alert": {"suppressed_by": null, "feedback": "attack"}}});
    let id = DocumentId::new("a").unwrap();
    store.update(&index, &id, shown, store.alert("a").version).unwrap();
    // A worker that has not heard of it.
    sink.write(&hidden(2)).unwrap();
    sink.flush().unwrap();
    let alert = store.alert("a").source["flowsentry"]["alert"].clone();
    assert_eq!((said(), &alert["count"]), (Value::Null, &json!(2)));
    assert_eq!(alert["feedback"], "attack");
}

#[test]
fn refused_documents_become_letters_once_and_are_told_all_the_same() {
    let store = Watched::new();
    let index = crate::sinks::LetterIndex::new(Arc::clone(&store) as _, Namespace::default());
    let letters = DeadLetters::new(index, Box::new(|_| true), time);
    let mut sink = store.sink().with_letters(letters);
    for _ in 0..2 {
        sink.write(&broken(Dataset::Window, "w")).unwrap();
        sink.write(&broken(Dataset::Alert, "a")).unwrap();
        sink.write(&document(Dataset::Anomaly, "n")).unwrap();
        sink.flush().unwrap();
    }
    assert_eq!(store.count(Family::DeadLetters), 2, "each once");
    assert_eq!(store.count(Family::Anomalies), 1);
    let request = SearchRequest::new(Family::DeadLetters, Namespace::default())
        .filter(crate::stores::Filter::term("flowsentry.deadletter.document", "w"));
    let found = store.inner.search(&request).unwrap();
    let letter = crate::model::Letter::from_document(&found.hits[0].source).unwrap();
    assert_eq!((letter.reason.as_str(), letter.kind.name()), ("refused", "document"));
    assert_eq!(letter.source, "flowsentry-windows-default-2026.11.21");
    assert!(letter.detail.contains("source.ip"), "{}", letter.detail);
    let kept: Value = serde_json::from_slice(&letter.bytes()).unwrap();
    assert_eq!(kept, broken(Dataset::Window, "w").body);
    assert!(sink.verdict().is_err());
}

#[test]
fn letters_of_refused_documents_are_not_lost_while_the_store_is_busy() {
    let store = Watched::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let letters = DeadLetters::append_to(&path, time).unwrap();
    let mut sink = store.sink().with_letters(letters);
    sink.write(&broken(Dataset::Window, "w")).unwrap();
    *store.is_busy.lock().unwrap() = true;
    sink.flush().unwrap_err();
    *store.is_busy.lock().unwrap() = false;
    sink.flush().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
}
