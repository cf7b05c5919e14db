//! Polls, decodes, hands over.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::config::client_config;
use super::context::{Change, Context, Membership};
use super::settings::KafkaInput;
use super::watch::Watch;
use crate::formats::{Format, MessageDecoder};
use crate::model::Timestamp;
use crate::sources::{
    Gained, Lag, MessageFacts, Partition, PartitionName, PartitionRead, PartitionSource,
    Partitions, Place, ReadFlow, RecordPlace, Rejected, SourceError,
};

/// Most flows of one hand-over: about a quarter of a megabyte, which stays in the cache of a core.
const BATCH_FLOWS: usize = 1_024;
/// Most rejected records of one hand-over.
const BATCH_REJECTED: usize = 64;
/// The longest that a flow waits for others.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// The longest poll: how long a stop takes to be seen.
const POLL: Duration = Duration::from_millis(100);
/// Most messages between two looks at the clock.
const MESSAGES: usize = 64;
/// How often a full queue is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// A queue that is full for so long means that the other side waits for somebody: fetching is
/// paused then, and polling goes on, so that the group does not take us for dead.
const FULL_PATIENCE: Duration = Duration::from_secs(10);
/// The same problem is told again after so long.
const TELL_PAUSE: Duration = Duration::from_secs(60);
/// How often the client tells how far the ends of the partitions are.
const STATISTICS_MILLISECONDS: &str = "1000";

/// A consumer of a group. Reads on one thread, commits on any.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    settings: KafkaInput,
    format: Option<&'static dyn Format>,
    lag: Mutex<Lag>,
}

impl KafkaSource {
    /// Reads all partitions, alone in the group. `partitions` says where to begin those that it
    /// knows; with `is_first_start` all others begin at the committed offset or at `start`, else at
    /// their first message.
    ///
    /// # Errors
    /// When the client cannot be made of the settings. Brokers that are away are waited for.
    pub fn open(
        settings: &KafkaInput,
        format: Option<&'static dyn Format>,
        partitions: Partitions,
        is_first_start: bool,
    ) -> Result<Self, SourceError> {
        Self::with(settings, format, partitions, Membership::Judge { is_first_start })
    }

    /// Shares the partitions with the other members of the group; each begins where its last reader
    /// committed, with the mark that was left there.
    ///
    /// # Errors
    /// As [`KafkaSource::open`].
    pub fn join(
        settings: &KafkaInput,
        format: Option<&'static dyn Format>,
        partitions: Partitions,
    ) -> Result<Self, SourceError> {
        Self::with(settings, format, partitions, Membership::Shared)
    }

    fn with(
        settings: &KafkaInput,
        format: Option<&'static dyn Format>,
        partitions: Partitions,
        membership: Membership,
    ) -> Result<Self, SourceError> {
        let refused = |error: KafkaError| SourceError::Failed {
            action: "opening the consumer".to_owned(),
            reason: error.to_string(),
        };
        let context = Context::new(partitions, settings.start, membership);
        let consumer: BaseConsumer<Context> =
            consumer_config(settings, membership)?.create_with_context(context).map_err(refused)?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        Ok(Self { consumer, settings: settings.clone(), format, lag: Mutex::default() })
    }

    /// As [`PartitionSource::commit`], with a mark for whoever reads the partition next.
    pub fn commit_marked(&self, next: &[(PartitionName, i64, String)]) {
        let marked = next.iter().map(|(name, offset, mark)| (name, *offset, mark.as_str()));
        self.commit_all(marked);
    }

    fn commit_all<'n>(&self, next: impl Iterator<Item = (&'n PartitionName, i64, &'n str)>) {
        let mut list = TopicPartitionList::new();
        for (name, offset, mark) in next {
            let mut element = list.add_partition(&name.topic, name.partition);
            if let Err(error) = element.set_offset(Offset::Offset(offset)) {
                tracing::warn!(%error, partition = %name, "an offset cannot be committed");
            }
            if !mark.is_empty() {
                element.set_metadata(mark);
            }
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, "offsets are not committed; the next time tries again");
        }
    }
}

impl PartitionSource for KafkaSource {
    /// Fails when the client is broken, or stuck although there are messages.
    fn read(
        &self,
        to: &SyncSender<PartitionRead>,
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

    fn lag(&self) -> Option<Lag> {
        Some(*self.lag.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn commit(&self, next: &[(PartitionName, i64)]) {
        self.commit_all(next.iter().map(|(name, offset)| (name, *offset, "")));
    }
}

/// The state of the thread that polls.
struct Reading<'a> {
    source: &'a KafkaSource,
    decoder: MessageDecoder,
    batch: Batch,
    /// The partition of the last message: most follow one of the same.
    current: Option<Arc<Partition>>,
    watch: Watch,
    /// When the clock was looked at last.
    now: Instant,
    looked: Instant,
    last_message: Instant,
    /// The last problem that was told.
    told: Option<(String, Instant)>,
}

#[derive(Default)]
struct Batch {
    flows: Vec<ReadFlow>,
    rejected: Vec<(RecordPlace, Rejected)>,
    next: HashMap<u32, i64>,
    records: u64,
    begun: Option<Instant>,
}

impl Batch {
    fn is_due(&self, now: Instant) -> bool {
        self.flows.len() >= BATCH_FLOWS
            || self.rejected.len() >= BATCH_REJECTED
            || self.begun.is_some_and(|begun| now.duration_since(begun) >= BATCH_PAUSE)
    }

    fn take(&mut self) -> Option<PartitionRead> {
        self.begun.take()?;
        let empty = Self { flows: Vec::with_capacity(BATCH_FLOWS), ..Self::default() };
        let Self { flows, rejected, next, records, .. } = std::mem::replace(self, empty);
        Some(PartitionRead::Flows { flows, rejected, next: next.into_iter().collect(), records })
    }
}

impl<'a> Reading<'a> {
    fn new(source: &'a KafkaSource) -> Self {
        Self {
            source,
            decoder: MessageDecoder::new(source.format),
            batch: Batch::default(),
            current: None,
            watch: Watch::default(),
            now: Instant::now(),
            looked: Instant::now(),
            last_message: Instant::now(),
            told: None,
        }
    }

    /// Reads what is there, up to the next look at the clock. Returns whether somebody still listens.
    fn step(
        &mut self,
        to: &SyncSender<PartitionRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool, SourceError> {
        let consumer = &self.source.consumer;
        let mut wait = match self.batch.begun {
            Some(begun) => BATCH_PAUSE.saturating_sub(self.now.duration_since(begun)),
            None => POLL,
        };
        for _ in 0..MESSAGES {
            match consumer.poll(wait) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.judge(&error)?,
                // Nothing is there, or the assignment has changed.
                None => break,
            }
            wait = Duration::ZERO;
        }
        self.now = Instant::now();
        let changes = consumer.context().take_changes();
        // What was read before belongs before.
        if !changes.is_empty() && !self.hand_over(to, is_stopped) {
            return Ok(false);
        }
        for change in changes {
            let read = self.change(change);
            if !self.send(read, to, is_stopped) {
                return Ok(false);
            }
        }
        if self.batch.is_due(self.now) && !self.hand_over(to, is_stopped) {
            return Ok(false);
        }
        if self.now.duration_since(self.looked) >= Duration::from_secs(1) {
            self.looked = self.now;
            return self.look_at_ends(to, is_stopped);
        }
        Ok(true)
    }

    fn change(&mut self, change: Change) -> PartitionRead {
        self.current = None;
        match change {
            Change::Gained { partitions, existing } => {
                let (mut gained, mut list) = (Vec::new(), TopicPartitionList::new());
                for (partition, left) in partitions {
                    let PartitionName { topic, partition: number } = &partition.name;
                    list.add_partition(topic, *number);
                    gained.push(Gained { id: partition.id, left });
                    self.watch.begin(partition);
                }
                // The client keeps one paused that was paused when it was lost.
                if let Err(error) = self.source.consumer.resume(&list) {
                    tracing::warn!(%error, "partitions that were gained cannot be resumed");
                }
                PartitionRead::Gained { partitions: gained, existing }
            }
            Change::Lost(lost) => {
                let ids: Vec<u32> = lost.iter().map(|partition| partition.id).collect();
                self.watch.end(&ids);
                PartitionRead::Lost(ids)
            }
        }
    }

    fn take(&mut self, message: &rdkafka::message::BorrowedMessage<'_>) {
        self.last_message = self.now;
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
        let received = message.timestamp().to_millis().map(Timestamp::from_millis);
        partition.note(offset, received);
        let batch = &mut self.batch;
        batch.begun.get_or_insert(self.now);
        batch.next.insert(partition.id, offset + 1);
        let payload = message.payload().unwrap_or_default();
        let (flows_before, rejected_before) = (batch.flows.len(), batch.rejected.len());
        let mut records = 0;
        self.decoder.decode(payload, &mut |index, decoded| {
            records += 1;
            let place = RecordPlace { partition: partition.id, offset, index };
            match decoded {
                Ok(None) => {}
                Ok(Some(mut flow)) => {
                    flow.received = flow.received.or(received);
                    partition.note_flow(&flow);
                    batch.flows.push(ReadFlow { flow, place });
                }
                Err(reject) => {
                    // The first one keeps the message for all: a megabyte may hold as many records.
                    let is_first = batch.rejected.len() == rejected_before;
                    let kept = if is_first { payload } else { &[] };
                    let rejected = Rejected::new(line_of(place), reject, kept);
                    let length = payload.len() as u64;
                    batch.rejected.push((place, Rejected { length, ..rejected }));
                }
            }
        });
        let taken = u32::try_from(batch.flows.len() - flows_before).unwrap_or(u32::MAX);
        for (place, rejected) in &mut batch.rejected[rejected_before..] {
            rejected.message = Some(MessageFacts { index: place.index, time: received, taken });
        }
        batch.records += records;
        self.current = Some(partition);
    }

    fn judge(&mut self, error: &KafkaError) -> Result<(), SourceError> {
        let failed = || SourceError::Failed {
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

    fn hand_over(&mut self, to: &SyncSender<PartitionRead>, is_stopped: &dyn Fn() -> bool) -> bool {
        match self.batch.take() {
            Some(read) => self.send(read, to, is_stopped),
            None => true,
        }
    }

    /// Waits for room. Returns whether somebody still listens.
    fn send(
        &mut self,
        mut read: PartitionRead,
        to: &SyncSender<PartitionRead>,
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

    fn resume(&mut self) {
        // Those that are too far ahead are found again.
        self.watch.none_is_paused();
        let consumer = &self.source.consumer;
        if let Err(error) = consumer.assignment().and_then(|list| consumer.resume(&list)) {
            tracing::warn!(%error, "fetching cannot be resumed");
        }
    }

    /// Tells of partitions that have nothing to read; finds out when the client is stuck.
    fn look_at_ends(
        &mut self,
        to: &SyncSender<PartitionRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<bool, SourceError> {
        let source = self.source;
        if let Some(problem) = source.consumer.context().take_problem() {
            self.tell(problem);
        }
        let (told, lag) = self.watch.look(&source.settings, source.consumer.context());
        *source.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
        self.watch.align(&source.settings, &source.consumer);
        let stuck = Duration::from_secs(source.settings.stuck_seconds.into());
        if lag.messages > 0 && self.last_message.elapsed() >= stuck {
            return Err(SourceError::Failed {
                action: "reading messages".to_owned(),
                reason: format!(
                    "{} messages wait, and none came for {} seconds",
                    lag.messages, source.settings.stuck_seconds
                ),
            });
        }
        // What was read before they fell silent goes first.
        if !told.is_empty() && !self.hand_over(to, is_stopped) {
            return Ok(false);
        }
        for id in told {
            if !self.send(PartitionRead::Idle(id), to, is_stopped) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn line_of(place: RecordPlace) -> Place {
    let offset = u64::try_from(place.offset).unwrap_or_default();
    Place { offset, line: u64::from(place.index) + 1 }
}

fn consumer_config(
    settings: &KafkaInput,
    membership: Membership,
) -> Result<ClientConfig, SourceError> {
    let mut config = client_config(settings)?;
    let kilobytes = u64::from(settings.queue_megabytes) * 1024;
    match membership {
        // One worker of a group judges (its lease says which); for the brokers it is always the same
        // member. So nobody waits for the session of one that died, and one that comes back from
        // the dead is shown out.
        Membership::Judge { .. } => {
            config
                .set("group.instance.id", format!("{}-judge", settings.group_id))
                .set("partition.assignment.strategy", "range");
        }
        // Who keeps a partition goes on with it while others come and go.
        Membership::Shared => {
            let session = settings.lease_seconds.clamp(6, 1_800) * 1_000;
            config
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", session.to_string())
                .set("heartbeat.interval.ms", (session / 6).min(3_000).to_string());
        }
    }
    config
        .set("group.id", &settings.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("statistics.interval.ms", STATISTICS_MILLISECONDS)
        .set("queued.max.messages.kbytes", kilobytes.to_string())
        // The client's own second of rest after a full queue would bound the speed to one queue a
        // second.
        .set("fetch.queue.backoff.ms", "5")
        .set("topic.metadata.refresh.interval.ms", "60000");
    Ok(config)
}
