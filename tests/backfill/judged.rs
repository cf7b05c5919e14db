//! The flows of a topic judged as they came, message by message.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use flowsentry::model::Timestamp;
use flowsentry::pipeline::{
    Claim, Claimant, DeadLetters, Keep, Partitioned, Quiet, Stop, score_partitions,
};
use flowsentry::sinks::StoreSink;
use flowsentry::sources::{
    PartitionName, PartitionRead, PartitionSource, Partitions, ReadFlow, RecordPlace, SourceError,
};
use flowsentry::stores::{EmbeddedConfig, EmbeddedStore, Namespace, Store};

use super::topic::Topic;
use super::worker::{Documents, Site};

/// The group of the worker.
pub const GROUP: &str = "worker";
const CLOCK: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A store that a worker on the topic has filled.
pub struct Judged {
    pub site: Site,
    /// The end of the last window of its last snapshot.
    pub closed_through: Timestamp,
}

/// Writes the listed addresses of a topic where the settings look for them.
pub fn blacklist(site: &Site, topic: &Topic) {
    let path = site.folder.path().join("listed.txt");
    std::fs::write(&path, &topic.listed).unwrap();
    let settings = std::fs::read_to_string(site.settings()).unwrap();
    let line = format!("detectors:\n  blacklist: {{files: [{}]}}\n", path.display());
    std::fs::write(site.settings(), settings.replacen("detectors:\n", &line, 1)).unwrap();
}

impl Judged {
    /// Everything, to the end of the last window.
    pub fn all(topic: &Topic) -> Self {
        Self::until(topic, 1.0)
    }

    /// The first part of every partition.
    pub fn until(topic: &Topic, share: f64) -> Self {
        let site = Site::reading("backfill", super::SMALL, "", "");
        blacklist(&site, topic);
        let store = EmbeddedStore::open(EmbeddedConfig::at(site.folder.path().join("data/store")));
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let namespace = Namespace::new(&site.namespace).unwrap();
        let claimant = Claimant {
            store: Arc::clone(&store),
            namespace: namespace.clone(),
            group: GROUP.to_owned(),
            owner: "test".to_owned(),
            lease_seconds: 0,
        };
        let Claim::Ours(keeper, None) = claimant.claim(CLOCK).unwrap() else { panic!("taken") };
        let partitions = Partitions::default();
        let source = Messages { topic, partitions: partitions.clone(), share };
        let run = Partitioned {
            source: &source,
            keep: Keep {
                partitions: &partitions,
                keeper: &keeper,
                snapshot_pause: Duration::ZERO,
                now: || CLOCK,
                stop: &Stop::default(),
                progress: &Quiet,
            },
        };
        let mut sink = StoreSink::new(store, namespace);
        let mut dead = DeadLetters::discarded();
        let summary = score_partitions(&run, &mut topic.scorer(), &mut sink, &mut dead).unwrap();
        sink.verdict().unwrap();
        assert!(summary.counters.late > 100, "late flows take part");
        let kept = claimant.look(CLOCK).unwrap().unwrap();
        Self { site, closed_through: kept.state.closed_through }
    }

    pub fn documents(&self) -> Documents {
        self.site.documents()
    }
}

/// Messages of a topic, from partition to partition in turn.
struct Messages<'a> {
    topic: &'a Topic,
    partitions: Partitions,
    share: f64,
}

impl PartitionSource for Messages<'_> {
    fn read(
        &self,
        to: &SyncSender<PartitionRead>,
        _is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), SourceError> {
        let name = |partition| PartitionName { topic: "flows".to_owned(), partition };
        let ids: Vec<u32> = (0..)
            .zip(&self.topic.logs)
            .map(|(at, _)| self.partitions.named(&name(at)).id)
            .collect();
        to.send(PartitionRead::all(ids.clone())).unwrap();
        let longest = self.topic.logs.iter().map(Vec::len).max().unwrap();
        for from in (0..longest).step_by(700) {
            for (&partition, log) in ids.iter().zip(&self.topic.logs) {
                let end = (log.len() as f64 * self.share) as usize;
                let places = from.min(end)..(from + 700).min(end);
                let flows = log[places.clone()].iter().zip(places).map(|(flow, place)| {
                    let offset = place as i64 * 2;
                    let place = RecordPlace { partition, offset, index: 0 };
                    ReadFlow { flow: flow.clone(), place }
                });
                let flows: Vec<ReadFlow> = flows.collect();
                let next = vec![(partition, (from + 700).min(end) as i64 * 2)];
                let records = flows.len() as u64;
                let read = PartitionRead::Flows { flows, rejected: Vec::new(), next, records };
                to.send(read).unwrap();
            }
        }
        if self.share >= 1.0 {
            let end = self.topic.logs.iter().flatten().map(|flow| flow.end).max().unwrap();
            let end = end.floor(60).plus_seconds(60);
            for id in ids {
                to.send(PartitionRead::Passed(id, end)).unwrap();
            }
        }
        Ok(())
    }

    fn commit(&self, _: &[(PartitionName, i64)]) {}
}
