//! Polls, decodes, hands over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::config::client_config;
use super::context::Context;
use super::partitions::{Partition, PartitionName, Partitions};
use super::settings::KafkaInput;
use crate::formats::{Format, MessageDecoder, Reject};
use crate::model::{Flow, Timestamp};
use crate::sources::{Place, Rejected, SourceError};

/// Most flows of one hand-over: about a megabyte.
const BATCH_FLOWS: usize = 4_096;
/// Most rejected records of one hand-over.
const BATCH_REJECTED: usize = 64;
/// The longest that a flow waits for others.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// The longest poll: how long a stop takes to be seen.
const POLL: Duration = Duration::from_millis(100);
/// How often a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// A queue that is full for so long means that the other side waits for somebody: fetching is
/// paused then, and polling goes on, so that the group does not take us for dead.
const FULL_PATIENCE: Duration = Duration::from_secs(10);
/// The same problem is told again after so long.
const TELL_PAUSE: Duration = Duration::from_secs(60);
/// How often the client tells how far the ends of the partitions are.
const STATISTICS_MILLISECONDS: &str = "1000";

/// Where a record of a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// The number of the partition in [`Partitions`].
    pub partition: u32,
    /// The offset of the message.
    pub offset: i64,
    /// The record's place in the message, from 0.
    pub index: u32,
}

/// A flow and its place.
#[derive(Debug)]
pub struct ReadFlow {
    /// The flow.
    pub flow: Flow,
    /// Its place.
    pub place: Located,
}

/// What the source hands over, in order.
#[derive(Debug)]
pub enum KafkaRead {
    /// These partitions, and only these, are ours from now on.
    Assigned(Vec<u32>),
    /// Flows of one or several partitions; those of one are in order.
    Flows {
        /// The flows.
        flows: Vec<ReadFlow>,
        /// Records that could not be decoded.
        rejected: Vec<(Located, Rejected)>,
        /// For each partition that was read, the offset of the message that comes next.
        next: Vec<(u32, i64)>,
        /// Records read, those without a flow included.
        records: u64,
    },
    /// A partition has stood at its end for the set time.
    Idle(u32),
}

/// A consumer of a group. Reads on one thread, commits on any.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    settings: KafkaInput,
    format: Option<&'static dyn Format>,
}

impl KafkaSource {
    /// Joins the group. `partitions` says where to begin those that it knows; with
    /// `is_first_start` all others begin at the committed offset or at `start`, else at their
    /// first message.
    ///
    /// # Errors
    /// When the client cannot be made of the settings. Brokers that are away are waited for.
    pub fn open(
        settings: &KafkaInput,
        format: Option<&'static dyn Format>,
        partitions: Partitions,
        is_first_start: bool,
    ) -> Result<Self, SourceError> {
        let refused = |error: KafkaError| SourceError::Kafka {
            action: "opening the consumer".to_owned(),
            reason: error.to_string(),
        };
        let context = Context::new(partitions, settings.start, is_first_start);
        let consumer: BaseConsumer<Context> =
            consumer_config(settings)?.create_with_context(context).map_err(refused)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        Ok(Self { consumer, settings: settings.clone(), format })
    }

    /// Reads until `is_stopped`, or until nobody listens.
    ///
    /// # Errors
    /// When the client is broken, or stuck although there are messages.
    pub fn read(
        &self,
        to: &SyncSender<KafkaRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), SourceError> {
        let mut reading = Reading::new(self);
        loop {
            if is_stopped() {
                return Ok(());
            }
            let heard = reading.step(to, is_stopped)?;
            if !heard {
                return Ok(());
            }
        }
    }

    /// Tells the broker from where each partition would be read again. Failing is no loss: what
    /// counts is the snapshot.
    pub fn commit(&self, next: &[(PartitionName, i64)]) {
        let mut list = TopicPartitionList::new();
        for (name, offset) in next {
            let offset = Offset::Offset(*offset);
            if let Err(error) = list.add_partition_offset(&name.topic, name.partition, offset) {
                tracing::warn!(%error, partition = %name, "an offset cannot be committed");
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, "offsets are not committed; the next snapshot tries again");
        }
    }
}

/// The state of the thread that polls.
struct Reading<'a> {
    source: &'a KafkaSource,
    decoder: MessageDecoder,
    batch: Batch,
    /// The partition of the last message: most follow one of the same.
    current: Option<Arc<Partition>>,
    assigned: Vec<Quiet>,
    looked: Instant,
    last_message: Instant,
    /// The last problem that was told.
    told: Option<(String, Instant)>,
}

/// Since when a partition has nothing to read.
struct Quiet {
    partition: Arc<Partition>,
    since: Option<Instant>,
    is_told: bool,
}

#[derive(Default)]
struct Batch {
    flows: Vec<ReadFlow>,
    rejected: Vec<(Located, Rejected)>,
    next: HashMap<u32, i64>,
    records: u64,
    begun: Option<Instant>,
}

impl Batch {
    fn is_due(&self) -> bool {
        self.flows.len() >= BATCH_FLOWS
            || self.rejected.len() >= BATCH_REJECTED
            || self.begun.is_some_and(|begun| begun.elapsed() >= BATCH_PAUSE)
    }

    fn take(&mut self) -> Option<KafkaRead> {
        self.begun.take()?;
        let Self { flows, rejected, next, records, .. } = std::mem::take(self);
        Some(KafkaRead::Flows { flows, rejected, next: next.into_iter().collect(), records })
    }
}

impl<'a> Reading<'a> {
    fn new(source: &'a KafkaSource) -> Self {
        Self {
            source,
            decoder: MessageDecoder::new(source.format),
            batch: Batch::default(),
            current: None,
            assigned: Vec::new(),
            looked: Instant::now(),
            last_message: Instant::now(),
            told: None,
        }
    }

    /// Polls once. Returns whether somebody still listens.
    fn step(
        &mut self,
        to: &SyncSender<KafkaRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool, SourceError> {
        let consumer = &self.source.consumer;
        let wait = match self.batch.begun {
            Some(begun) => BATCH_PAUSE.saturating_sub(begun.elapsed()),
            None => POLL,
        };
        match consumer.poll(wait) {
            Some(Ok(message)) => self.take(&message),
            Some(Err(error)) => self.judge(&error)?,
            None => {}
        }
        if let Some(assigned) = consumer.context().new_assignment() {
            // What was read before belongs before.
            if !self.hand_over(to, is_stopped) {
                return Ok(false);
            }
            let ids = assigned.iter().map(|partition| partition.id).collect();
            let quiet = |partition| Quiet { partition, since: None, is_told: false };
            self.assigned = assigned.into_iter().map(quiet).collect();
            if !self.send(KafkaRead::Assigned(ids), to, is_stopped) {
                return Ok(false);
            }
        }
        if self.batch.is_due() && !self.hand_over(to, is_stopped) {
            return Ok(false);
        }
        if self.looked.elapsed() >= Duration::from_secs(1) {
            self.looked = Instant::now();
            return self.look_at_ends(to, is_stopped);
        }
        Ok(true)
    }

    fn take(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) {
        self.last_message = Instant::now();
        let (topic, number, offset) = (message.topic(), message.partition(), message.offset());
        let is_current = |partition: &Arc<Partition>| {
            partition.name.partition == number && partition.name.topic == topic
        };
        let partition = match self.current.take().filter(is_current) {
            Some(partition) => partition,
            None => {
                let name = PartitionName { topic: topic.to_owned(), partition: number };
                self.source.consumer.context().partitions.named(&name)
            }
        };
        match partition.next() {
            // What comes twice counts once.
            Some(expected) if offset < expected => {
                tracing::debug!(%partition.name, expected, offset, "a message comes again");
                self.current = Some(partition);
                return;
            }
            Some(expected) if offset > expected => {
                tracing::debug!(%partition.name, expected, offset, "offsets are left out: deleted, or marks");
            }
            _ => {}
        }
        partition.note(offset);
        let batch = &mut self.batch;
        batch.begun.get_or_insert_with(Instant::now);
        batch.next.insert(partition.id, offset + 1);
        let received = message.timestamp().to_millis().map(Timestamp::from_millis);
        let payload = message.payload().unwrap_or_default();
        let mut records = 0;
        self.decoder.decode(payload, &mut |index, decoded| {
            records += 1;
            let place = Located { partition: partition.id, offset, index };
            match decoded {
                Ok(None) => {}
                Ok(Some(mut flow)) => {
                    flow.received = flow.received.or(received);
                    batch.flows.push(ReadFlow { flow, place });
                }
                Err(reject) => batch.rejected.push((place, rejected(place, reject, payload))),
            }
        });
        batch.records += records;
        self.current = Some(partition);
    }

    fn judge(&mut self, error: &KafkaError) -> Result<(), SourceError> {
        let failed = || SourceError::Kafka {
            action: "reading messages".to_owned(),
            reason: error.to_string(),
        };
        match error {
            KafkaError::MessageConsumptionFatal(_) => Err(failed()),
            // Brokers that are away come back; the client tries for ever.
            error => {
                self.tell(error.to_string());
                Ok(())
            }
        }
    }

    /// Says what is wrong, and not again for a while: the client repeats itself many times a second.
    fn tell(&mut self, problem: String) {
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(known, told)| *known == problem && told.elapsed() < TELL_PAUSE);
        if is_known {
            return;
        }
        tracing::warn!(problem, "kafka: waiting for the brokers");
        self.told = Some((problem, Instant::now()));
    }

    fn hand_over(&mut self, to: &SyncSender<KafkaRead>, is_stopped: &dyn Fn() -> bool) -> bool {
        match self.batch.take() {
            Some(read) => self.send(read, to, is_stopped),
            None => true,
        }
    }

    /// Waits for room. Returns whether somebody still listens.
    fn send(
        &mut self,
        mut read: KafkaRead,
        to: &SyncSender<KafkaRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> bool {
        let begun = Instant::now();
        let mut is_paused = false;
        loop {
            match to.try_send(read) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => read = back,
            }
            if is_stopped() {
                return false;
            }
            if begun.elapsed() < FULL_PATIENCE {
                std::thread::sleep(FULL_PAUSE);
                continue;
            }
            is_paused = is_paused || self.pause();
            // Nothing is fetched now. Should a message come all the same, it belongs to this batch.
            if let Some(Ok(message)) = self.source.consumer.poll(POLL) {
                self.take(&message);
            }
        }
        if is_paused {
            self.resume();
        }
        self.last_message = Instant::now();
        true
    }

    fn pause(&self) -> bool {
        let consumer = &self.source.consumer;
        tracing::info!("fetching is paused until what was read is stored");
        let paused = consumer.assignment().and_then(|list| consumer.pause(&list));
        if let Err(error) = &paused {
            tracing::warn!(%error, "fetching cannot be paused");
        }
        paused.is_ok()
    }

    fn resume(&self) {
        let consumer = &self.source.consumer;
        if let Err(error) = consumer.assignment().and_then(|list| consumer.resume(&list)) {
            tracing::warn!(%error, "fetching cannot be resumed");
        }
    }

    /// Tells of partitions that have nothing to read; finds out when the client is stuck.
    fn look_at_ends(
        &mut self,
        to: &SyncSender<KafkaRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool, SourceError> {
        if let Some(problem) = self.source.consumer.context().take_problem() {
            self.tell(problem);
        }
        let settings = &self.source.settings;
        let context = self.source.consumer.context();
        let idle = Duration::from_secs(settings.idle_seconds.into());
        let mut told = Vec::new();
        let mut lag = 0;
        for quiet in &mut self.assigned {
            let end = context.end_of(&quiet.partition.name).unwrap_or_default();
            lag += end.lag;
            if !end.is_reached || self.batch.next.contains_key(&quiet.partition.id) {
                (quiet.since, quiet.is_told) = (None, false);
                continue;
            }
            let since = *quiet.since.get_or_insert_with(Instant::now);
            if since.elapsed() >= idle && !quiet.is_told {
                quiet.is_told = true;
                told.push(quiet.partition.id);
            }
        }
        let stuck = Duration::from_secs(settings.stuck_seconds.into());
        if lag > 0 && self.last_message.elapsed() >= stuck {
            return Err(SourceError::Kafka {
                action: "reading messages".to_owned(),
                reason: format!(
                    "{lag} messages wait, and none came for {} seconds",
                    settings.stuck_seconds
                ),
            });
        }
        // What was read before they fell silent goes first.
        if !told.is_empty() && !self.hand_over(to, is_stopped) {
            return Ok(false);
        }
        for id in told {
            if !self.send(KafkaRead::Idle(id), to, is_stopped) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn rejected(place: Located, reject: Reject, message: &[u8]) -> Rejected {
    let offset = u64::try_from(place.offset).unwrap_or_default();
    let kept = message.len().min(Rejected::KEPT_BYTES);
    let record = message.get(..kept).unwrap_or_default().to_vec();
    Rejected { place: Place { offset, line: u64::from(place.index) + 1 }, reject, record }
}

fn consumer_config(settings: &KafkaInput) -> Result<ClientConfig, SourceError> {
    let mut config = client_config(settings)?;
    let kilobytes = u64::from(settings.queue_megabytes) * 1024;
    config
        .set("group.id", &settings.group_id)
        // One worker of a group judges (its lease says which); for the brokers it is always the same
        // member. So nobody waits for the session of one that died, and one that comes back from
        // the dead is shown out.
        .set("group.instance.id", format!("{}-judge", settings.group_id))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "range")
        .set("statistics.interval.ms", STATISTICS_MILLISECONDS)
        .set("queued.max.messages.kbytes", kilobytes.to_string())
        // The client's own second of rest after a full queue would bound the speed to one queue a
        // second.
        .set("fetch.queue.backoff.ms", "5")
        .set("topic.metadata.refresh.interval.ms", "60000");
    Ok(config)
}
