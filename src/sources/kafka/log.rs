//! One partition that is read in order from an offset, without a group that shares it out.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::config::client_config;
use super::settings::KafkaInput;
use crate::sources::{PartitionName, SourceError};

/// How long the client may take to go to another offset.
const SEEK_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the first partition of a topic.
pub struct KafkaLog {
    consumer: BaseConsumer,
    name: PartitionName,
    /// The offset that comes next, when it is known.
    expected: Mutex<Option<i64>>,
}

impl KafkaLog {
    /// The partition that is read.
    pub fn name_in(topic: &str) -> PartitionName {
        PartitionName { topic: topic.to_owned(), partition: 0 }
    }

    /// Begins at an offset, else with the oldest message that is there.
    ///
    /// # Errors
    /// When the client cannot be made of the settings. Brokers that are away are waited for.
    pub fn open(
        settings: &KafkaInput,
        topic: &str,
        begin: Option<i64>,
    ) -> Result<Self, SourceError> {
        let failed = |error: KafkaError| failed(topic, &error);
        let mut config = client_config(settings)?;
        config
            // For those who watch how far it is; nothing is shared out.
            .set("group.id", format!("{}-judge", settings.group_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", (settings.queue_megabytes * 1024).to_string());
        let consumer: BaseConsumer = config.create().map_err(failed)?;
        let name = Self::name_in(topic);
        let mut list = TopicPartitionList::new();
        let offset = begin.map_or(Offset::Beginning, Offset::Offset);
        list.add_partition_offset(topic, name.partition, offset).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        Ok(Self { consumer, name, expected: Mutex::new(begin) })
    }

    /// Returns the next message and its offset; `None` when none came in time.
    ///
    /// # Errors
    /// When the client is broken. Brokers that are away are waited for.
    pub fn poll(&self, wait: Duration) -> Result<Option<(i64, Vec<u8>)>, SourceError> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                self.look_for_a_gap(message.offset());
                Ok(Some((message.offset(), message.payload().unwrap_or_default().to_vec())))
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(failed(&self.name.topic, &error))
            }
            Some(Err(error)) => {
                tracing::debug!(%error, topic = self.name.topic, "kafka: waiting for the brokers");
                Ok(None)
            }
        }
    }

    fn look_for_a_gap(&self, offset: i64) {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(missing) = expected.map(|expected| offset - expected)
            && missing > 0
        {
            tracing::error!(
                topic = self.name.topic,
                offset,
                missing,
                "messages were deleted before they were judged: let the topic keep them longer"
            );
        }
        *expected = Some(offset + 1);
    }

    /// Goes on at another offset.
    ///
    /// # Errors
    /// When the client cannot.
    pub fn seek(&self, offset: i64) -> Result<(), SourceError> {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
        let PartitionName { topic, partition } = &self.name;
        self.consumer
            .seek(topic, *partition, Offset::Offset(offset), SEEK_TIMEOUT)
            .map_err(|error| failed(topic, &error))
    }

    /// Tells the broker from where it would be read again. Failing is no loss.
    pub fn commit(&self, next: &[(PartitionName, i64)]) {
        let mut list = TopicPartitionList::new();
        for (name, offset) in next {
            // Adding fails for a wrong offset only.
            let _ = list.add_partition_offset(&name.topic, name.partition, Offset::Offset(*offset));
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the offset of the log is not committed");
        }
    }
}

fn failed(topic: &str, error: &KafkaError) -> SourceError {
    let action = format!("reading the topic `{topic}`");
    SourceError::Failed { action, reason: error.to_string() }
}
