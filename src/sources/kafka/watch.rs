//! Looks after the partitions that are read: which have nothing to read, which are too far ahead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::context::Context;
use super::settings::KafkaInput;
use crate::model::Timestamp;
use crate::sources::{Lag, Partition, PartitionName};

/// The partitions that are read.
#[derive(Default)]
pub(super) struct Watch {
    readers: Vec<Reader>,
    /// The earliest event time of the first that were seen.
    first_seen: Option<Timestamp>,
}

struct Reader {
    partition: Arc<Partition>,
    /// Messages and flows at the last look.
    seen: (i64, i64),
    /// Since when it brings no flows.
    quiet: Option<Instant>,
    is_told: bool,
    /// It is too far ahead of the others.
    is_paused: bool,
}

impl Watch {
    pub(super) fn begin(&mut self, partition: Arc<Partition>) {
        self.end(&[partition.id]);
        let seen = (partition.polled(), partition.flows());
        let reader = Reader { partition, seen, quiet: None, is_told: false, is_paused: false };
        self.readers.push(reader);
    }

    pub(super) fn end(&mut self, ids: &[u32]) {
        self.readers.retain(|reader| !ids.contains(&reader.partition.id));
    }

    /// All partitions are fetched again; those that are too far ahead are found again.
    pub(super) fn none_is_paused(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.is_paused = false);
    }

    /// Returns the partitions that have newly brought no flows for the set time, and how much waits.
    ///
    /// A partition that stands at its end brings none, and one whose messages hold none: windows
    /// would wait for it for ever.
    pub(super) fn look(&mut self, settings: &KafkaInput, context: &Context) -> (Vec<u32>, Lag) {
        let idle = Duration::from_secs(settings.idle_seconds.into());
        let mut told = Vec::new();
        let (mut waiting, mut oldest) = (0, None::<Timestamp>);
        for reader in &mut self.readers {
            let partition = &reader.partition;
            let end = context.end_of(&partition.name).unwrap_or_default();
            waiting += end.lag;
            if end.lag > 0
                && let Some(written) = partition.written()
            {
                oldest = Some(oldest.map_or(written, |known| known.min(written)));
            }
            let (messages, flows) = reader.seen;
            reader.seen = (partition.polled(), partition.flows());
            let brings_nothing = end.is_reached || reader.seen.0 > messages;
            if reader.seen.1 > flows || !brings_nothing {
                (reader.quiet, reader.is_told) = (None, false);
                continue;
            }
            let since = *reader.quiet.get_or_insert_with(Instant::now);
            if since.elapsed() >= idle && !reader.is_told {
                reader.is_told = true;
                told.push(partition.id);
            }
        }
        let present = Timestamp::from_utc(Utc::now());
        let seconds = oldest.map_or(0.0, |written| present.seconds_since(written).max(0.0));
        (told, Lag { messages: u64::try_from(waiting).unwrap_or_default(), seconds })
    }

    /// Pauses partitions that are too far ahead of the slowest one, whose windows stay open meanwhile;
    /// lets those go on that are not any more.
    pub(super) fn align(&mut self, settings: &KafkaInput, consumer: &BaseConsumer<Context>) {
        let newest = |reader: &Reader| reader.partition.newest();
        self.first_seen = self.first_seen.or(self.readers.iter().filter_map(newest).min());
        // One that has shown nothing yet may begin where the first one began.
        let waited_for = self.readers.iter().filter(|reader| !reader.is_told);
        let slowest = waited_for.filter_map(|reader| newest(reader).or(self.first_seen)).min();
        let Some(slowest) = slowest else { return };
        let most = slowest.plus_seconds(settings.ahead_seconds.into());
        for pauses in [true, false] {
            let mut list = TopicPartitionList::new();
            for reader in &mut self.readers {
                let is_ahead = reader.partition.newest().is_some_and(|newest| newest > most);
                if is_ahead == pauses && reader.is_paused != pauses {
                    reader.is_paused = pauses;
                    let PartitionName { topic, partition } = &reader.partition.name;
                    list.add_partition(topic, *partition);
                }
            }
            if list.count() == 0 {
                continue;
            }
            tracing::debug!(partitions = list.count(), pauses, "ahead of the slowest partition");
            let done = if pauses { consumer.pause(&list) } else { consumer.resume(&list) };
            if let Err(error) = done {
                tracing::warn!(%error, pauses, "partitions cannot be paused or resumed");
            }
        }
    }
}
