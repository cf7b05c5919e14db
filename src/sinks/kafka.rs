//! Messages to a Kafka topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::model::Timestamp;
use crate::sources::SourceError;
use crate::sources::kafka::{KafkaInput, client_config};

/// How long the brokers may take to answer for the last messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long brokers may take to make a topic.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(20);
/// As many copies of a topic as the brokers make by themselves.
const BROKER_DEFAULT: i32 = -1;
/// A judge that is away for longer finds that partials are missing: three days.
const LOG_RETENTION_MILLISECONDS: &str = "259200000";
/// As long as dead letters are kept in an index by default: thirty days.
const LETTER_RETENTION_MILLISECONDS: &str = "2592000000";
/// How long a full queue is served before the next attempt.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Sends messages to one topic; each is written once, in the order of its partition.
pub struct KafkaProducer {
    producer: BaseProducer<Deliveries>,
    topic: String,
    /// The only partition; chosen by the key when absent.
    partition: Option<i32>,
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
    /// Those of the failed that no repetition helps.
    too_large: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            tracing::warn!(%error, "a message was not delivered");
            self.failed.fetch_add(1, Ordering::Relaxed);
            if is_size(error) {
                self.too_large.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn is_size(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

impl ProduceError {
    /// Whether the message is larger than the brokers take.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Client { error, .. } if is_size(error))
    }
}

/// Makes a topic of one partition, unless it is there.
fn make_topic(config: &ClientConfig, topic: &str, retention_milliseconds: &str) {
    let made = config.create::<AdminClient<DefaultClientContext>>().and_then(|admin| {
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(BROKER_DEFAULT))
            .set("retention.ms", retention_milliseconds);
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        // The client has threads of its own: nothing is driven here.
        let waiting = tokio::runtime::Builder::new_current_thread().build();
        waiting.expect("a run time without threads").block_on(admin.create_topics([&new], &options))
    });
    match made.map(|topics| topics.into_iter().next()) {
        Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => {}
        Ok(Some(Ok(_))) => tracing::info!(topic, "the topic is made"),
        Ok(Some(Err((_, problem)))) => tracing::warn!(topic, %problem, "the topic is not made"),
        Ok(None) => {}
        Err(problem) => tracing::warn!(topic, %problem, "the topic is not made"),
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

    /// As [`KafkaProducer::open`], to the first partition alone. The topic is made when it is missing
    /// and may be made; brokers that are away are waited for as long as it takes.
    ///
    /// # Errors
    /// When the client cannot be made of the settings.
    pub fn open_log(settings: &KafkaInput, topic: &str) -> Result<Self, ProduceError> {
        let producer = Self::open_made(settings, topic, LOG_RETENTION_MILLISECONDS)?;
        Ok(Self { partition: Some(0), ..producer })
    }

    /// As [`KafkaProducer::open`], for dead letters. The topic is made when it is missing and may be
    /// made; brokers that are away are waited for as long as it takes.
    ///
    /// # Errors
    /// When the client cannot be made of the settings.
    pub fn open_letters(settings: &KafkaInput, topic: &str) -> Result<Self, ProduceError> {
        Self::open_made(settings, topic, LETTER_RETENTION_MILLISECONDS)
    }

    /// Makes the topic when it is missing, and waits for brokers as long as it takes.
    fn open_made(
        settings: &KafkaInput,
        topic: &str,
        retention_milliseconds: &str,
    ) -> Result<Self, ProduceError> {
        let mut config = client_config(settings)?;
        make_topic(&config, topic, retention_milliseconds);
        config.set("message.timeout.ms", "0");
        Self::with(config, topic)
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
        Ok(Self { producer, topic: topic.to_owned(), partition: None })
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
        if let Some(partition) = self.partition {
            record = record.partition(partition);
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

    /// Waits until every message was taken, however long brokers are away, or until `is_stopped`.
    ///
    /// # Errors
    /// When not every message was taken.
    pub fn wait_until_taken(&self, is_stopped: &dyn Fn() -> bool) -> Result<(), ProduceError> {
        while self.producer.flush(FULL_PAUSE).is_err() && !is_stopped() {}
        self.flush()
    }

    /// Waits until every message since the last call has its answer, or until `is_stopped`; returns
    /// how many are larger than the brokers take.
    ///
    /// # Errors
    /// When others were not taken.
    pub fn settle(&self, is_stopped: &dyn Fn() -> bool) -> Result<u64, ProduceError> {
        while self.producer.flush(FULL_PAUSE).is_err() && !is_stopped() {}
        let waiting = u64::try_from(self.producer.in_flight_count()).unwrap_or_default();
        let deliveries = self.producer.context();
        let too_large = deliveries.too_large.swap(0, Ordering::Relaxed);
        let failed = deliveries.failed.swap(0, Ordering::Relaxed);
        match failed.saturating_sub(too_large) + waiting {
            0 => Ok(too_large),
            count => Err(ProduceError::NotDelivered { topic: self.topic.clone(), count }),
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
