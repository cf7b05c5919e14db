//! `input.search`: flows as they arrive.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use flowsentry::formats::ecs::flow_document;
use flowsentry::model::Timestamp;
use flowsentry::pipeline::Stop;
use flowsentry::sources::search::{Reach, SearchInput, SearchSource};
use flowsentry::sources::{PartitionRead, PartitionSource, Partitions};
use flowsentry::stores::{
    Document, DocumentId, EmbeddedConfig, EmbeddedStore, Family, IndexName, Namespace, Store,
};
use flowsentry::testkit::flow;
use serde_json::json;

use super::indexed::{Indexed, fill_embedded};
use super::judged::{Judged, blacklist};
use super::topic::Topic;
use super::worker::{Site, assert_same};

/// The present, as the source of the second test sees it.
static CLOCK: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    Timestamp::from_seconds(CLOCK.load(Ordering::SeqCst))
}

/// A worker on the index finds what one on the topic finds, and goes on after a kill.
#[test]
fn a_worker_on_the_index_finds_what_one_on_the_topic_finds() {
    let topic = Topic::new(12);
    let expected = Judged::all(&topic).documents();
    let input = "search: {poll_seconds: 1, settle_seconds: 1, idle_seconds: 1, \
                 snapshot_seconds: 0, page_documents: 500}";
    let site = Site::reading("backfill", input, "", "");
    blacklist(&site, &topic);
    fill_embedded(&site, &Indexed::of(&topic).documents);
    assert!(site.start(Some("kept:3")).dies(), "it should have died");
    let log = site.run_to_the_end();
    assert!(log.contains("going on from the snapshot"), "{log}");
    assert_same("follow", &expected, &site.documents());
}

/// A flow of `partition` (none: without a position) that arrived at a second.
fn arrived(partition: Option<i32>, offset: i64, second: i64) -> Document {
    let id = format!("{partition:?}-{offset}");
    let flow = flow().at(second).build();
    let mut source = flow_document(&flow, &id);
    source["event"]["ingested"] = json!(Timestamp::from_seconds(second));
    if let Some(partition) = partition {
        let own = &mut source["flowsentry"]["flow"];
        own["topic"] = "t".into();
        own["partition"] = partition.into();
        own["offset"] = offset.into();
    }
    let index = IndexName::for_event(Family::Flows, &Namespace::default(), flow.end);
    Document { index, id: DocumentId::new(id).unwrap(), source }
}

/// Waits until so many flows were handed over; returns their partitions and offsets.
fn next_flows(
    reads: &Receiver<PartitionRead>,
    partitions: &Partitions,
    count: usize,
) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        if let PartitionRead::Flows { flows, .. } = reads.recv_timeout(PATIENCE).unwrap() {
            seen.extend(flows.iter().map(|flow| {
                let name = &partitions.get(flow.place.partition).unwrap().name;
                format!("{name}:{}", flow.place.offset)
            }));
        }
    }
    seen.sort();
    seen
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What arrived behind a flow that is not settled yet waits for it.
#[test]
fn flows_that_arrive_out_of_order_are_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let write = |documents: &[Document]| {
        assert_eq!(store.bulk(documents.to_vec()).unwrap().created(), documents.len());
    };
    write(&[
        arrived(Some(0), 5, 1_000),
        arrived(Some(0), 7, 1_002),
        arrived(Some(0), 6, 1_020),
        arrived(Some(1), 3, 1_001),
        arrived(None, 0, 1_001),
    ]);
    CLOCK.store(1_040, Ordering::SeqCst);
    let input = SearchInput { poll_seconds: 1, idle_seconds: 1, ..SearchInput::default() };
    let partitions = Partitions::default();
    let reach = Reach::Follow { input, is_first_start: true, now: clock };
    let source =
        SearchSource::new(Arc::clone(&store), Namespace::default(), partitions.clone(), reach);
    let stop = Stop::default();
    let (sender, reads) = sync_channel(8);
    thread::scope(|scope| {
        let asked = stop.clone();
        scope.spawn(move || source.read(&sender, &|| asked.is_asked()).unwrap());
        let first = next_flows(&reads, &partitions, 3);
        assert_eq!(first, ["flows without a position/-1:1001000", "t/0:5", "t/1:3"]);
        CLOCK.store(1_060, Ordering::SeqCst);
        assert_eq!(next_flows(&reads, &partitions, 2), ["t/0:6", "t/0:7"]);
        write(&[arrived(Some(2), 9, 1_065), arrived(None, 1, 1_065)]);
        CLOCK.store(1_100, Ordering::SeqCst);
        let later = next_flows(&reads, &partitions, 2);
        assert_eq!(later, ["flows without a position/-1:1065000", "t/2:9"]);
        let last = |read: PartitionRead| match read {
            PartitionRead::Idle(id) => partitions.get(id).unwrap().name.partition == 2,
            _ => false,
        };
        assert!(reads.iter().any(last), "it falls silent");
        stop.ask();
        while reads.recv().is_ok() {}
    });
}
