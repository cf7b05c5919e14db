//! Messages to a Kafka topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::model::Timestamp;
use crate::sources::SourceError;
use crate::sources::kafka::{KafkaInput, client_config};

/// How long the brokers may take to answer for the last messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a full queue is served before the next attempt.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Sends messages to one topic; each is written once, in the order of its partition.
pub struct KafkaProducer {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

/// Messages that the brokers did not take could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The client cannot be made of the settings.
    #[error(transparent)]
    Settings(#[from] SourceError),
    /// The client failed.
    #[error("sending to the topic `{topic}`")]
    Client {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        error: KafkaError,
    },
    /// Brokers refused messages, or did not answer in time.
    #[error("{count} messages were not taken by the topic `{topic}`")]
    NotDelivered {
        /// The topic.
        topic: String,
        /// How many.
        count: u64,
    },
}

#[derive(Clone, Default)]
struct Deliveries {
    failed: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            tracing::warn!(%error, "a message was not delivered");
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl KafkaProducer {
    /// Returns a producer to `topic` of the brokers of `settings`.
    ///
    /// # Errors
    /// When the client cannot be made of the settings. Brokers that are away are waited for.
    pub fn open(settings: &KafkaInput, topic: &str) -> Result<Self, ProduceError> {
        Self::with(client_config(settings)?, topic)
    }

    /// As [`KafkaProducer::open`], with further settings of the client.
    ///
    /// # Errors
    /// When the client cannot be made of the settings.
    pub fn with(mut config: ClientConfig, topic: &str) -> Result<Self, ProduceError> {
        config
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("queue.buffering.max.kbytes", "65536");
        let context = Deliveries::default();
        let producer = config.create_with_context(context).map_err(|error| {
            let topic = topic.to_owned();
            ProduceError::Client { topic, error }
        })?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Sends a message; waits when too many are on their way. Equal keys go to one partition.
    ///
    /// # Errors
    /// When the client refuses it, for example because it is too large.
    pub fn send(
        &self,
        message: &[u8],
        key: Option<&[u8]>,
        time: Option<Timestamp>,
    ) -> Result<(), ProduceError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(message);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(time) = time {
            record = record.timestamp(time.millis());
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(FULL_PAUSE);
                    record = back;
                }
                Err((error, _)) => {
                    return Err(ProduceError::Client { topic: self.topic.clone(), error });
                }
            }
        }
    }

    /// Waits until the brokers have answered for every message.
    ///
    /// # Errors
    /// When not every message was taken.
    pub fn flush(&self) -> Result<(), ProduceError> {
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        let waiting = u64::try_from(self.producer.in_flight_count()).unwrap_or_default();
        let failed = self.producer.context().failed.load(Ordering::Relaxed);
        let topic = self.topic.clone();
        match (flushed, failed + waiting) {
            (_, count) if count > 0 => Err(ProduceError::NotDelivered { topic, count }),
            (Err(error), _) => Err(ProduceError::Client { topic, error }),
            (Ok(()), _) => Ok(()),
        }
    }
}
