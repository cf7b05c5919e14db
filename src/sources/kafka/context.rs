//! What the Kafka client tells: which partitions are ours, how far their ends are, what is wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};

use super::partitions::{Partition, PartitionName, Partitions};
use super::settings::Start;

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

/// Receives the client's callbacks, all on the thread that polls.
pub(super) struct Context {
    pub(super) partitions: Partitions,
    start: Start,
    /// A group with a snapshot has read every partition that it knew; a new one is read whole.
    is_first_start: bool,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    assigned: Vec<Arc<Partition>>,
    /// Changes of the assignment that were not told yet.
    is_changed: bool,
    ends: HashMap<PartitionName, PartitionEnd>,
    problem: Option<String>,
}

impl Context {
    pub(super) fn new(partitions: Partitions, start: Start, is_first_start: bool) -> Self {
        Self { partitions, start, is_first_start, shared: Mutex::default() }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The assignment, when it has changed since the last call.
    pub(super) fn new_assignment(&self) -> Option<Vec<Arc<Partition>>> {
        let mut shared = self.shared();
        std::mem::take(&mut shared.is_changed).then(|| shared.assigned.clone())
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
        let names: Vec<PartitionName> = list.elements().iter().map(name_of).collect();
        let partitions: Vec<Arc<Partition>> =
            names.iter().map(|name| self.partitions.named(name)).collect();
        let mut unknown = TopicPartitionList::new();
        for partition in &partitions {
            let PartitionName { topic, partition: number } = &partition.name;
            match partition.next() {
                Some(next) => set(list, topic, *number, Offset::Offset(next)),
                None => {
                    unknown.add_partition(topic, *number);
                }
            }
        }
        if unknown.count() > 0 {
            for (name, offset) in self.first_offsets(consumer, &unknown) {
                set(list, &name.topic, name.partition, offset);
            }
        }
        let mut shared = self.shared();
        shared.assigned = partitions;
        shared.is_changed = true;
        // What was known belongs to an older assignment.
        shared.ends.clear();
    }

    /// Where partitions that nobody has read here begin.
    fn first_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        unknown: &TopicPartitionList,
    ) -> Vec<(PartitionName, Offset)> {
        let names = unknown.elements().iter().map(name_of).collect::<Vec<_>>();
        let fall_back = match self.start {
            _ if !self.is_first_start => Offset::Beginning,
            Start::Earliest => Offset::Beginning,
            Start::Latest => Offset::End,
            Start::At(_) => Offset::End,
        };
        let mut found: HashMap<PartitionName, Offset> = HashMap::new();
        let mut note = |list: TopicPartitionList| {
            for element in list.elements() {
                if let Offset::Offset(offset) = element.offset() {
                    found.entry(name_of(&element)).or_insert(Offset::Offset(offset));
                }
            }
        };
        if self.is_first_start {
            match consumer.committed_offsets(unknown.clone(), LOOKUP_TIMEOUT) {
                Ok(committed) => note(committed),
                Err(error) => tracing::warn!(%error, "the group's offsets are not known"),
            }
            if let Start::At(time) = self.start {
                let mut wanted = TopicPartitionList::new();
                for name in &names {
                    let offset = Offset::Offset(time.millis());
                    // Adding fails for a wrong offset only.
                    let _ = wanted.add_partition_offset(&name.topic, name.partition, offset);
                }
                match consumer.offsets_for_times(wanted, LOOKUP_TIMEOUT) {
                    Ok(at) => note(at),
                    Err(error) => {
                        tracing::error!(%error, "the offsets of `start` are not known");
                    }
                }
            }
        }
        let offset_of = |name: &PartitionName| found.get(name).copied().unwrap_or(fall_back);
        names.into_iter().map(|name| (name.clone(), offset_of(&name))).collect()
    }
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
                let is_reached = partition.next_offset >= end && has_polled_all;
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
    /// As the client does it, but every partition begins where this process left it: what waits in
    /// our queues is not fetched again.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.set_offsets(consumer, list);
            tracing::info!(partitions = list.count(), "partitions are assigned");
            consumer.assign(list)
        } else {
            let mut shared = self.shared();
            shared.assigned.clear();
            shared.is_changed = true;
            drop(shared);
            tracing::info!(partitions = list.count(), "partitions are taken back");
            consumer.unassign()
        };
        if let Err(error) = done {
            tracing::error!(%error, "the assignment of partitions failed");
        }
    }
}
