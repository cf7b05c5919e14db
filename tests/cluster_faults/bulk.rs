//! Bulk requests that fail as a whole, in part, or on the way back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flowsentry::stores::{BulkItem, ClusterError, ClusterSettings, Store, StoreError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use super::scripted::{self, Reply, Request, Rule, Scripted, on};
use super::{documents, patient, root, settings, store};

/// What a scripted server keeps: documents by id, each created at most once.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<BTreeMap<String, Value>>>);

impl Shelf {
    /// Creates what is not there and answers as a real server does.
    fn create(&self, request: &Request) -> Reply {
        let sources: Vec<Value> = request.lines().into_iter().skip(1).step_by(2).collect();
        let mut kept = self.0.lock().unwrap();
        scripted::bulk_answer(request, |at, _, id| {
            if kept.contains_key(id) {
                let kind = "version_conflict_engine_exception";
                return (409, json!({"type": kind, "reason": "document already exists"}));
            }
            kept.insert(id.to_owned(), sources[at].clone());
            (201, Value::Null)
        })
    }

    fn creating(&self) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
        let shelf = self.clone();
        move |request| shelf.create(request)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Asserts that the documents `0` to `count` are here as they were given.
    fn holds(&self, given: &[flowsentry::stores::Document]) {
        let kept = self.0.lock().unwrap();
        assert_eq!(kept.len(), given.len());
        for document in given {
            assert_eq!(kept.get(document.id.as_str()), Some(&document.source), "{}", document.id);
        }
    }
}

fn bulk() -> Rule {
    on("POST", "/_bulk")
}

fn ids_of(request: &Request) -> Vec<String> {
    let actions = request.lines().into_iter().step_by(2);
    actions.map(|action| action["create"]["_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_refused_document_of_thousands_is_rejected_alone() {
    let server = Scripted::with([
        root(),
        bulk().with(|request| {
            scripted::bulk_answer(request, |_, _, id| match id {
                "1789" => (
                    400,
                    json!({"type": "document_parsing_exception", "reason": "[1:9]",
                    "caused_by": {"type": "illegal_argument_exception", "reason": "no number"}}),
                ),
                _ => (201, Value::Null),
            })
        }),
    ]);
    let outcome = store(&settings(&[&server])).bulk(documents("one", 4_000)).unwrap();
    assert_eq!(outcome.created(), 3_999);
    let rejected: Vec<_> = outcome.rejected().collect();
    let [(1_789, reason, false)] = rejected[..] else { panic!("{rejected:?}") };
    assert!(reason.starts_with("document_parsing_exception: [1:9]: no number"), "{reason}");
    // 1,600 documents in one request at most.
    assert_eq!(server.requests_to("POST", "/_bulk").len(), 3);
}

#[test]
fn a_cut_in_the_middle_of_an_answer_loses_and_doubles_nothing() {
    let shelf = Shelf::default();
    let (cutting, creating) = (shelf.clone(), shelf.creating());
    let rule = bulk().with(move |request| cutting.create(request).cut_after(5_000)).with(creating);
    let server = Scripted::with([root(), rule]);
    let given = documents("cut", 1_000);
    let outcome = store(&patient(&[&server])).bulk(given.clone()).unwrap();
    // The first request created them, and nobody knew; the second found them there.
    assert_eq!((outcome.created(), outcome.duplicates()), (0, 1_000));
    shelf.holds(&given);
    let asked = server.requests_to("POST", "/_bulk");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body);
}

#[test]
fn a_connection_that_ends_before_the_answer_loses_nothing() {
    let shelf = Shelf::default();
    let rule = bulk().reply(Reply::close()).with(shelf.creating());
    let server = Scripted::with([root(), rule]);
    let given = documents("close", 1_000);
    let outcome = store(&patient(&[&server])).bulk(given.clone()).unwrap();
    assert_eq!((outcome.created(), outcome.duplicates()), (1_000, 0));
    shelf.holds(&given);
}

#[test]
fn a_cut_that_lasts_is_an_error_and_the_same_call_again_completes_it() {
    let shelf = Shelf::default();
    let cutting = shelf.clone();
    let rule = bulk().with(move |request| cutting.create(request).cut_after(5_000));
    let server = Scripted::with([root(), rule.with(shelf.creating())]);
    let store = store(&settings(&[&server]));
    let given = documents("again", 1_000);
    let error = store.bulk(given.clone()).unwrap_err();
    let is_unreachable = matches!(error, StoreError::Cluster(ClusterError::Unreachable { .. }));
    assert!(is_unreachable, "{error}");
    let outcome = store.bulk(given.clone()).unwrap();
    assert_eq!((outcome.created(), outcome.duplicates()), (0, 1_000));
    shelf.holds(&given);
}

#[test]
fn too_large_requests_are_halved_until_they_fit() {
    let shelf = Shelf::default();
    let creating = shelf.creating();
    let limited = move |request: &Request| match request.body.len() {
        0..20_000 => creating(request),
        _ => Reply::raw(413, "text/plain", ""),
    };
    let server = Scripted::with([root(), bulk().with(limited)]);
    let given = documents("halves", 500);
    let outcome = store(&settings(&[&server])).bulk(given.clone()).unwrap();
    assert_eq!(outcome.created(), 500);
    shelf.holds(&given);
}

#[test]
fn a_document_too_large_for_the_server_is_rejected_alone() {
    let shelf = Shelf::default();
    let creating = shelf.creating();
    let limited = move |request: &Request| match request.body.len() {
        0..20_000 => creating(request),
        _ => Reply::html(413),
    };
    let server = Scripted::with([root(), bulk().with(limited)]);
    let mut given = documents("large", 100);
    given[42].source["note"] = json!("x".repeat(30_000));
    let outcome = store(&settings(&[&server])).bulk(given).unwrap();
    assert_eq!((outcome.created(), shelf.len()), (99, 99));
    let rejected: Vec<_> = outcome.rejected().map(|(at, _, later)| (at, later)).collect();
    assert_eq!(rejected, [(42, false)]);
}

#[test]
fn requests_are_bounded_by_bytes() {
    let shelf = Shelf::default();
    let server = Scripted::with([root(), bulk().with(shelf.creating())]);
    let settings = ClusterSettings { bulk_max_bytes: 10_000, ..settings(&[&server]) };
    let given = documents("bytes", 500);
    assert_eq!(store(&settings).bulk(given.clone()).unwrap().created(), 500);
    shelf.holds(&given);
    let longest = server.requests_to("POST", "/_bulk").iter().map(|asked| asked.body.len()).max();
    assert!(longest.unwrap() <= 10_000, "{longest:?}");
}

#[test]
fn busy_items_alone_are_sent_again() {
    let shelf = Shelf::default();
    let creating = shelf.clone();
    // Every third is refused at first.
    let busy = |request: &Request| {
        let error = json!({"type": "es_rejected_execution_exception", "reason": "queue is full"});
        scripted::bulk_answer(request, |at, _, _| match at % 3 {
            0 => (429, error.clone()),
            _ => (201, Value::Null),
        })
    };
    let rule = bulk().with(busy).with(move |request| creating.create(request));
    let server = Scripted::with([root(), rule]);
    let outcome = store(&patient(&[&server])).bulk(documents("busy", 100)).unwrap();
    assert_eq!(outcome.created(), 100);
    let asked = server.requests_to("POST", "/_bulk");
    assert_eq!(asked.len(), 2);
    let thirds: Vec<String> = (0..100).step_by(3).map(|number| number.to_string()).collect();
    assert_eq!(ids_of(&asked[1]), thirds);
}

#[test]
fn a_full_disk_is_said_by_document_and_may_pass() {
    for status in [403, 429] {
        let blocked = move |request: &Request| {
            let reason = "index [w] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded \
                flood-stage watermark, index has read-only-allow-delete block];";
            let error = json!({"type": "cluster_block_exception", "reason": reason});
            scripted::bulk_answer(request, |_, _, _| (status, error.clone()))
        };
        let server = Scripted::with([root(), bulk().with(blocked)]);
        let outcome = store(&settings(&[&server])).bulk(documents("disk", 3)).unwrap();
        let retriable = |item: &BulkItem| {
            matches!(item, BulkItem::Rejected { reason, retriable: true }
            if reason.contains("flood-stage") && reason.contains("free disk space"))
        };
        assert!(outcome.items.len() == 3 && outcome.items.iter().all(retriable), "{outcome:?}");
    }
}

#[test]
fn answers_without_sense_are_errors_and_never_acknowledge() {
    let answers = [
        json!([]),
        json!("ok"),
        json!({"errors": false}),
        json!({"errors": false, "items": []}),
        json!({"errors": false, "items": [{"create": {"status": 201}}]}),
        json!({"errors": false, "items": [{"create": {}}, {"create": {"status": "201"}}]}),
        json!({"errors": false, "items": [{"delete": {"status": 200}}, null]}),
    ];
    for answer in answers {
        let server = Scripted::with([root(), bulk().json(200, answer.clone())]);
        let error = store(&settings(&[&server])).bulk(documents("sense", 2)).unwrap_err();
        let is_unreadable = matches!(error, StoreError::Cluster(ClusterError::Answer { .. }));
        assert!(is_unreadable, "{answer}: {error}");
    }
}

#[test]
fn bodies_are_compressed_when_it_is_worth_it() {
    let asked = |level, count| {
        let server = Scripted::with([root(), bulk().with(scripted::created)]);
        let settings = ClusterSettings { compression_level: level, ..settings(&[&server]) };
        assert_eq!(store(&settings).bulk(documents("gzip", count)).unwrap().created(), count);
        let asked = server.requests_to("POST", "/_bulk").remove(0);
        assert_eq!(asked.header("content-type"), Some("application/x-ndjson"));
        (asked.header("content-encoding").map(str::to_owned), asked.body.len(), asked.wire_bytes)
    };
    let (encoding, plain, wire) = asked(1, 1_000);
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(wire * 5 < plain, "{plain} bytes became {wire}");
    for (encoding, plain, wire) in [asked(1, 1), asked(0, 1_000)] {
        assert_eq!((encoding, wire), (None, plain));
    }
}

/// Every fault in an order that a seed decides: whatever happens, each document is there once, and
/// the caller is told so. Requests fail twice at most, so that pauses stay short.
#[test]
fn a_storm_of_faults_loses_and_doubles_nothing() {
    let shelf = Shelf::default();
    let (keeping, dice) = (shelf.clone(), Mutex::new(ChaCha8Rng::seed_from_u64(11)));
    let failed = Mutex::new(BTreeMap::<Vec<String>, usize>::new());
    let stormy = move |request: &Request| {
        let roll = dice.lock().unwrap().next_u32();
        let mut failed = failed.lock().unwrap();
        let times = failed.entry(ids_of(request)).or_default();
        *times += 1;
        if *times > 2 {
            return keeping.create(request);
        }
        let (fault, place) = (roll % 10, roll / 10 % 2_000);
        match fault {
            0 => Reply::close(),
            1 => keeping.create(request).cut_after(place as usize),
            2 => keeping.create(request).last(),
            3 => Reply::html(502),
            4 => Reply::json(503, json!({"error": "red"})),
            5 => Reply::raw(413, "text/plain", ""),
            6 => keeping.create(request).chunked(),
            _ => keeping.create(request),
        }
    };
    let server = Scripted::with([root(), bulk().with(stormy)]);
    let settings =
        ClusterSettings { bulk_max_documents: 100, bulk_workers: 4, ..patient(&[&server]) };
    let given = documents("storm", 3_000);
    let outcome = store(&settings).bulk(given.clone()).unwrap();
    let too_large = outcome.rejected().filter(|(_, reason, _)| reason.contains("413")).count();
    assert_eq!(outcome.created() + outcome.duplicates() + too_large, 3_000);
    assert_eq!(shelf.len(), 3_000 - too_large);
    let asked = server.requests_to("POST", "/_bulk").len();
    assert!(asked > 40, "{asked} requests are no storm");
}
