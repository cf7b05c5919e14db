//! What the Kafka client tells: which partitions are ours, how far their ends are, what is wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use super::settings::Start;
use crate::sources::{Partition, PartitionName, Partitions};

/// How long brokers may take to say where a group stands, or which offset belongs to a time.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// How far the end of a partition is, as the client saw it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionEnd {
    /// Messages that are there and were not read.
    pub lag: i64,
    /// Everything that is there was read.
    pub is_reached: bool,
}

/// How a worker takes part in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It reads everything, from where its snapshot says.
    Judge {
        /// A group with a snapshot has read every partition that it knew; a new one is read whole.
        is_first_start: bool,
    },
    /// It reads what falls to it, from where the last reader committed.
    Shared,
}

/// Where reading begins, with what the last reader left there, if anything.
type Left = Option<(i64, String)>;

/// What has become of partitions.
#[derive(Debug)]
pub(super) enum Change {
    Gained { partitions: Vec<(Arc<Partition>, Left)>, existing: Vec<u32> },
    Lost(Vec<Arc<Partition>>),
}

/// Receives the client's callbacks, all on the thread that polls.
pub(super) struct Context {
    pub(super) partitions: Partitions,
    start: Start,
    membership: Membership,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What was not told yet.
    changes: Vec<Change>,
    ends: HashMap<PartitionName, PartitionEnd>,
    problem: Option<String>,
}

impl Context {
    pub(super) fn new(partitions: Partitions, start: Start, membership: Membership) -> Self {
        Self { partitions, start, membership, shared: Mutex::default() }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has become of partitions since the last call.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.shared().changes)
    }

    pub(super) fn end_of(&self, name: &PartitionName) -> Option<PartitionEnd> {
        self.shared().ends.get(name).copied()
    }

    /// The last problem that the client told, once.
    pub(super) fn take_problem(&self) -> Option<String> {
        self.shared().problem.take()
    }

    /// Begins each partition where it was left, or where a new one begins.
    fn set_offsets(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let gained: Vec<Arc<Partition>> = list
            .elements()
            .iter()
            .map(|element| self.partitions.named(&name_of(element)))
            .collect();
        let (begins, existing) = match self.membership {
            Membership::Judge { is_first_start } => {
                let unknown: Vec<_> =
                    gained.iter().filter(|partition| partition.next().is_none()).cloned().collect();
                let mut begins = match unknown.is_empty() {
                    true => HashMap::new(),
                    false => self.first_offsets(consumer, &unknown, is_first_start),
                };
                for partition in &gained {
                    if let Some(next) = partition.next() {
                        begins.insert(partition.id, Begin::at(Offset::Offset(next)));
                    }
                }
                (begins, gained.iter().map(|partition| partition.id).collect())
            }
            // What this process knew may be old: others have read since.
            Membership::Shared => self.committed_offsets(consumer, &gained),
        };
        let mut told = Vec::new();
        for partition in gained {
            let PartitionName { topic, partition: number } = &partition.name;
            let begin = begins.get(&partition.id).cloned().unwrap_or_default();
            set(list, topic, *number, begin.offset);
            if self.membership == Membership::Shared {
                partition.set_next(begin.offset.to_raw().unwrap_or(-1));
            }
            told.push((partition, begin.offset.to_raw().zip(begin.mark)));
        }
        let mut shared = self.shared();
        // What was known belongs to an older assignment.
        shared.ends.clear();
        shared.changes.push(Change::Gained { partitions: told, existing });
    }

    /// Where the last readers left these partitions, and all partitions that exist.
    fn committed_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        gained: &[Arc<Partition>],
    ) -> (HashMap<u32, Begin>, Vec<u32>) {
        let all = self.all_partitions(consumer);
        let existing = all.iter().map(|partition| partition.id).collect();
        // Asked for all: a group that has committed somewhere reads what is new from its beginning.
        let wanted = if all.is_empty() { gained } else { &all };
        (self.first_offsets(consumer, wanted, true), existing)
    }

    /// The partitions of all topics that are subscribed to; none when nobody knows, as with patterns.
    fn all_partitions(&self, consumer: &BaseConsumer<Self>) -> Vec<Arc<Partition>> {
        let known = consumer.subscription().and_then(|subscribed| {
            let elements = subscribed.elements();
            let names = elements.iter().map(|element| element.topic().to_owned());
            let topics: Vec<String> = names.collect();
            let mut all = Vec::new();
            if topics.iter().any(|topic| topic.starts_with('^')) {
                return Ok(all);
            }
            for name in &topics {
                let metadata = consumer.fetch_metadata(Some(name), LOOKUP_TIMEOUT)?;
                for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                    let name = PartitionName { topic: name.clone(), partition: partition.id() };
                    all.push(self.partitions.named(&name));
                }
            }
            Ok(all)
        });
        known.unwrap_or_else(|error| {
            tracing::warn!(%error, "the partitions of the topics are not known");
            Vec::new()
        })
    }

    /// Where partitions that nobody has read here begin.
    fn first_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        unknown: &[Arc<Partition>],
        is_first_start: bool,
    ) -> HashMap<u32, Begin> {
        let mut found = HashMap::new();
        if is_first_start {
            match consumer.committed_offsets(list_of(unknown, None), LOOKUP_TIMEOUT) {
                Ok(committed) => self.note(&committed, &mut found),
                Err(error) => tracing::warn!(%error, "the group's offsets are not known"),
            }
        }
        let is_new_group = is_first_start && found.is_empty();
        if is_new_group && let Start::At(time) = self.start {
            let wanted = list_of(unknown, Some(Offset::Offset(time.millis())));
            match consumer.offsets_for_times(wanted, LOOKUP_TIMEOUT) {
                Ok(at) => self.note(&at, &mut found),
                Err(error) => {
                    tracing::error!(%error, "the offsets of `start` are not known");
                }
            }
        }
        let begins_late = is_new_group && self.start != Start::Earliest;
        let fall_back = if begins_late { Offset::End } else { Offset::Beginning };
        for partition in unknown {
            found.entry(partition.id).or_insert_with(|| Begin::at(fall_back));
        }
        found
    }

    fn note(&self, list: &TopicPartitionList, found: &mut HashMap<u32, Begin>) {
        for element in list.elements() {
            if let Offset::Offset(_) = element.offset() {
                let mark = Some(element.metadata()).filter(|mark| !mark.is_empty());
                let begin = Begin { offset: element.offset(), mark: mark.map(str::to_owned) };
                found.insert(self.partitions.named(&name_of(&element)).id, begin);
            }
        }
    }
}

impl Default for Begin {
    fn default() -> Self {
        Self::at(Offset::Beginning)
    }
}

/// Where the reading of a partition begins, and what its last reader left there.
#[derive(Clone, Debug)]
struct Begin {
    offset: Offset,
    mark: Option<String>,
}

impl Begin {
    fn at(offset: Offset) -> Self {
        Self { offset, mark: None }
    }
}

fn list_of(partitions: &[Arc<Partition>], offset: Option<Offset>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        let PartitionName { topic, partition: number } = &partition.name;
        let offset = offset.unwrap_or(Offset::Invalid);
        // Adding fails for a wrong offset only.
        let _ = list.add_partition_offset(topic, *number, offset);
    }
    list
}

fn set(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: Offset) {
    if let Err(error) = list.set_partition_offset(topic, partition, offset) {
        tracing::error!(%error, topic, partition, "an offset cannot be set");
    }
}

fn name_of(element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> PartitionName {
    PartitionName { topic: element.topic().to_owned(), partition: element.partition() }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(facility, message, "kafka")
            }
            // Errors come as events too, where they are told once.
            RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
            | RDKafkaLogLevel::Notice
            | RDKafkaLogLevel::Info
            | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, message, "kafka");
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        // Of a broker that is away nobody knows how much there is to read.
        let up: Vec<i32> = statistics
            .brokers
            .values()
            .filter(|broker| broker.state == "UP")
            .map(|broker| broker.nodeid)
            .collect();
        let mut shared = self.shared();
        for (topic, partitions) in statistics.topics {
            for (number, partition) in partitions.partitions {
                if number < 0 || !partition.desired {
                    continue;
                }
                let end = if partition.ls_offset >= 0 {
                    partition.ls_offset
                } else {
                    partition.hi_offset
                };
                if end < 0 {
                    continue;
                }
                let name = PartitionName { topic: topic.clone(), partition: number };
                let ours = self.partitions.named(&name);
                // What was fetched may still wait in the client's queue. Marks of transactions have
                // offsets and are never polled.
                let has_polled_all = ours.next().is_some_and(|next| next >= end)
                    || ours.polled() >= i64::try_from(partition.rxmsgs).unwrap_or(i64::MAX);
                let is_reached = up.contains(&partition.leader)
                    && partition.next_offset >= end
                    && has_polled_all;
                let read = ours.next().unwrap_or_else(|| partition.lo_offset.max(0));
                let lag = if is_reached { 0 } else { (end - read).max(0) };
                shared.ends.insert(name, PartitionEnd { lag, is_reached });
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.shared().problem = Some(format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Context {
    /// As the client does it, but every partition of a judge begins where this process left it: what
    /// waits in our queues is not fetched again.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let is_gain = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let is_stepwise = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        if is_gain {
            self.set_offsets(consumer, list);
            tracing::info!(partitions = list.count(), "partitions are assigned");
        } else {
            let name = |element: &_| self.partitions.named(&name_of(element));
            let lost = list.elements().iter().map(name).collect();
            self.shared().changes.push(Change::Lost(lost));
            tracing::info!(partitions = list.count(), "partitions are taken back");
        }
        let done = match (is_gain, is_stepwise) {
            (true, true) => consumer.incremental_assign(list),
            (true, false) => consumer.assign(list),
            (false, true) => consumer.incremental_unassign(list),
            (false, false) => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::error!(%error, "the assignment of partitions failed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets are not committed; the next time tries again");
        }
    }
}
