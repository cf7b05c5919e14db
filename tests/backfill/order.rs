//! Whatever the sizes, a partition is read in the order of its offsets, each flow once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use flowsentry::sources::search::{Reach, SearchSource, Stretch};
use flowsentry::sources::{PartitionRead, PartitionSource, Partitions};
use flowsentry::stores::{EmbeddedConfig, EmbeddedStore, Family, Namespace, SearchRequest, Store};
use serde_json::json;

use super::indexed::{Indexed, fill};
use super::topic::Topic;

/// What was handed over: offsets by partition, with the number within the offset.
type Read = BTreeMap<String, Vec<(i64, u32)>>;

fn read(store: &Arc<dyn Store>, stretch: Stretch) -> Read {
    let partitions = Partitions::default();
    let namespace = Namespace::default();
    let source = SearchSource::new(
        Arc::clone(store),
        namespace,
        partitions.clone(),
        Reach::Between(stretch),
    );
    let (sender, receiver) = sync_channel(2);
    thread::scope(|scope| {
        scope.spawn(move || source.read(&sender, &|| false).unwrap());
        let mut read = Read::new();
        let mut passed = Vec::new();
        for told in receiver {
            match told {
                PartitionRead::Flows { flows, .. } => {
                    for flow in flows {
                        let place = flow.place;
                        assert!(!passed.contains(&place.partition), "it had passed");
                        let name = partitions.get(place.partition).unwrap().name.to_string();
                        read.entry(name).or_default().push((place.offset, place.index));
                    }
                }
                PartitionRead::Passed(id, _) => passed.push(id),
                PartitionRead::Gained { .. } | PartitionRead::Lost(_) | PartitionRead::Idle(_) => {}
            }
        }
        assert_eq!(passed.len(), partitions.all().len());
        read
    })
}

/// Takes the position from the flows of one partition, and the id from half of those.
fn unplace(indexed: &mut Indexed) {
    for (at, (_, document)) in indexed.documents.iter_mut().enumerate() {
        if document["flowsentry"]["flow"]["partition"] == 2 {
            document["flowsentry"]["flow"].as_object_mut().unwrap().remove("offset");
            if at % 2 == 0 {
                document["event"].as_object_mut().unwrap().remove("id");
            }
        }
    }
}

#[test]
fn sizes_do_not_matter() {
    let topic = Topic::new(11);
    let mut indexed = Indexed::of(&topic);
    unplace(&mut indexed);
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
    fill(&store, &Namespace::default(), &indexed.documents);
    let store: Arc<dyn Store> = Arc::new(store);
    let (from, to) = indexed.extent();
    let stretch = Stretch {
        from: from.floor(60),
        to: to.floor(60).plus_seconds(60),
        lateness_seconds: 30,
        clock_seconds: 3_900,
        page_documents: 5_000,
        band_documents: 100_000,
        held_flows: 500_000,
    };
    let expected = read(&store, stretch);
    for (partition, log) in topic.logs.iter().enumerate().take(2) {
        let places: Vec<(i64, u32)> = (0..log.len()).map(|place| (place as i64 * 2, 0)).collect();
        assert!(expected[&format!("flows/{partition}")] == places, "{partition}");
    }
    let unplaced = &expected["flows without a position/-1"];
    let all = SearchRequest::new(Family::Flows, Namespace::default())
        .filter(flowsentry::stores::Filter::exists("flowsentry.flow.offset").negate());
    let all = store.search(&all.size(0)).unwrap().total;
    assert!(
        unplaced.is_sorted()
            && unplaced.len() > topic.logs[2].len()
            && unplaced.len() as u64 <= all
    );
    for (page_documents, band_documents, held_flows) in
        [(777, 5_000, 500_000), (500, 5_000, 300), (900, 20_000, 0)]
    {
        let other = Stretch { page_documents, band_documents, held_flows, ..stretch };
        let found = read(&store, other);
        for (name, places) in &expected {
            let case = json!([name, page_documents, band_documents, held_flows]);
            // The order of flows of one moment without a position is nobody's business.
            let offsets = |places: &[(i64, u32)]| -> Vec<i64> {
                places.iter().map(|(offset, _)| *offset).collect()
            };
            assert!(offsets(&found[name]) == offsets(places), "{case}");
        }
    }
}
