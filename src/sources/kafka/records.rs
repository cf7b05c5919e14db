//! Messages of topics as they are, for whoever reads something else than flows.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::config::client_config;
use super::settings::{KafkaInput, Start};
use crate::model::Timestamp;
use crate::sources::SourceError;

/// The longest poll: how long a stop takes to be seen.
const POLL: Duration = Duration::from_millis(100);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was written, as it says itself.
    pub time: Option<Timestamp>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// A member of a group that shares out the partitions of topics. What was read and not committed is
/// read again, by whichever member has the partition then.
pub struct RawTopics {
    consumer: BaseConsumer,
}

impl RawTopics {
    /// Joins the group. A group without a position begins with the oldest message, or with the next
    /// one.
    ///
    /// # Errors
    /// When the client cannot be made of the settings. Brokers that are away are waited for.
    pub fn join(settings: &KafkaInput) -> Result<Self, SourceError> {
        let refused = |error: KafkaError| SourceError::Failed {
            action: "opening the consumer".to_owned(),
            reason: error.to_string(),
        };
        let begin = if settings.start == Start::Latest { "latest" } else { "earliest" };
        let kilobytes = u64::from(settings.queue_megabytes) * 1024;
        let mut config = client_config(settings)?;
        config
            .set("group.id", &settings.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", begin)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("queued.max.messages.kbytes", kilobytes.to_string())
            .set("topic.metadata.refresh.interval.ms", "60000");
        let consumer: BaseConsumer = config.create().map_err(refused)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        Ok(Self { consumer })
    }

    /// Returns up to `most` messages: as soon as there are some and no more come at once, and none
    /// after `patience` without any.
    ///
    /// # Errors
    /// When the client is broken. Brokers that are away come back.
    pub fn next_batch(
        &self,
        most: usize,
        patience: Duration,
    ) -> Result<Vec<RawRecord>, SourceError> {
        let (begin, mut batch) = (Instant::now(), Vec::new());
        while batch.len() < most {
            let pause = if batch.is_empty() { POLL } else { Duration::ZERO };
            match self.consumer.poll(pause) {
                Some(Ok(message)) => batch.push(RawRecord {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                    time: message.timestamp().to_millis().map(Timestamp::from_millis),
                    payload: message.payload().unwrap_or_default().to_vec(),
                }),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(SourceError::Failed {
                        action: "reading messages".to_owned(),
                        reason: error.to_string(),
                    });
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the brokers do not answer as they should")
                }
                None if !batch.is_empty() || begin.elapsed() >= patience => break,
                None => {}
            }
        }
        Ok(batch)
    }

    /// Tells the brokers that everything up to the end of a batch is done.
    pub fn commit(&self, batch: &[RawRecord]) {
        let mut list = TopicPartitionList::new();
        for record in batch {
            // The last one of a partition counts.
            let mut element = match list.find_partition(&record.topic, record.partition) {
                Some(element) => element,
                None => list.add_partition(&record.topic, record.partition),
            };
            if let Err(error) = element.set_offset(Offset::Offset(record.offset + 1)) {
                tracing::warn!(%error, "an offset cannot be committed");
            }
        }
        // A group that is being shared out anew takes none: the messages are read again.
        if let Err(error) = self.consumer.commit(&list, CommitMode::Sync) {
            tracing::warn!(%error, "offsets are not committed; the messages are read again");
        }
    }
}
