//! The flows of a topic as the documents that a pipeline makes of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use flowsentry::features::{ClockLimits, event_time};
use flowsentry::formats::ecs::flow_document;
use flowsentry::model::{Flow, Timestamp};
use flowsentry::stores::{
    Document, DocumentId, EmbeddedConfig, EmbeddedStore, Family, IndexName, Namespace, Store,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::topic::Topic;
use super::worker::Site;

const LIMITS: ClockLimits = ClockLimits { ahead_seconds: 300, behind_seconds: 3600 };

/// Documents in the order in which they were written: none.
pub struct Indexed {
    /// Event time and body.
    pub documents: Vec<(Timestamp, Value)>,
    /// Documents that are no flows, and those of them that should be.
    pub odd: usize,
    pub hostile: usize,
    times: Vec<Timestamp>,
}

impl Indexed {
    /// All flows; one of ten is there twice, some documents are broken or something else.
    pub fn of(topic: &Topic) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let mut indexed = Self { documents: Vec::new(), odd: 0, hostile: 0, times: Vec::new() };
        for (partition, log) in topic.logs.iter().enumerate() {
            for (place, flow) in log.iter().enumerate() {
                let (time, document) = placed(flow, partition, place);
                if random.random_ratio(1, 10) {
                    indexed.documents.push((time, document.clone()));
                }
                indexed.documents.push((time, document));
                indexed.times.push(time);
                if random.random_ratio(1, 500) {
                    indexed.add_odd(time, partition, place);
                }
            }
        }
        indexed.documents.shuffle(&mut random);
        indexed
    }

    fn add_odd(&mut self, time: Timestamp, partition: usize, place: usize) {
        self.odd += 1;
        let mut document = json!({
            "@timestamp": time, "source": {"ip": "192.0.2.1"},
            "event": {"id": format!("odd-{partition}-{place}")},
            "flowsentry": {"flow": {
                "topic": "flows", "partition": partition, "offset": offset(place) + 1,
            }},
        });
        match self.odd % 2 {
            0 => document["event"]["dataset"] = "flowsentry.health".into(),
            _ => self.hostile += 1,
        }
        self.documents.push((time, document));
    }

    /// From the first to the last flow.
    pub fn extent(&self) -> (Timestamp, Timestamp) {
        (*self.times.iter().min().unwrap(), self.times.iter().max().unwrap().plus_seconds(1))
    }
}

/// Offsets have holes, as those of a topic do.
fn offset(place: usize) -> usize {
    place * 2
}

/// A flow with its position, as `logstash/flows.conf` writes it.
fn placed(flow: &Flow, partition: usize, place: usize) -> (Timestamp, Value) {
    let time = event_time(flow, LIMITS);
    let offset = offset(place);
    let mut document = flow_document(flow, &format!("flows-{partition}-{offset}-0"));
    document["@timestamp"] = json!(time);
    let own = &mut document["flowsentry"]["flow"];
    own["topic"] = "flows".into();
    own["partition"] = partition.into();
    own["offset"] = offset.into();
    (time, document)
}

/// Writes documents into a store. A repeated one has an id of its own here, because within one index
/// there are no two of the same.
pub fn fill(store: &dyn Store, namespace: &Namespace, documents: &[(Timestamp, Value)]) {
    for (slice, documents) in documents.chunks(2_000).enumerate() {
        let documents = documents.iter().enumerate().map(|(at, (time, body))| Document {
            index: IndexName::for_event(Family::Flows, namespace, *time),
            id: DocumentId::new(format!("{slice}-{at}")).unwrap(),
            source: body.clone(),
        });
        let outcome = store.bulk(documents.collect()).unwrap();
        assert_eq!(outcome.rejected().next(), None);
    }
}

/// Writes documents into the store of a folder.
pub fn fill_embedded(site: &Site, documents: &[(Timestamp, Value)]) {
    let store = EmbeddedStore::open(EmbeddedConfig::at(site.folder.path().join("data/store")));
    let namespace = Namespace::new(&site.namespace).unwrap();
    let store = store.unwrap();
    fill(&store, &namespace, documents);
    store.flush().unwrap();
}
