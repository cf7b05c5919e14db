//! Partitions: sources that are read in order and can be read again, whatever keeps them.
//!
//! Named once, numbered here. A source hands over what it reads of all of them in one queue; where
//! reading begins is what [`Partitions::begin_at`] was told.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Rejected, SourceError};
use crate::model::{Flow, Timestamp};

/// A time that nobody knows.
const UNKNOWN: i64 = i64::MIN;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionName {
    /// The topic.
    pub topic: String,
    /// Its number within the topic.
    pub partition: i32,
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One partition and how far it was read.
#[derive(Debug)]
pub struct Partition {
    /// Its number in [`Partitions`].
    pub id: u32,
    /// Its name.
    pub name: PartitionName,
    /// Offset of the next message to read; negative when nobody knows yet.
    next: AtomicI64,
    /// Messages that were polled from the present client.
    polled: AtomicI64,
    /// Flows in them.
    flows: AtomicI64,
    /// When the last polled message was written, in milliseconds.
    written: AtomicI64,
    /// The latest event time that was read, in nanoseconds; no later than its flow was received.
    newest: AtomicI64,
}

impl Partition {
    /// Offset of the next message to read; `None` when nobody knows yet.
    pub fn next(&self) -> Option<i64> {
        Some(self.next.load(Ordering::Relaxed)).filter(|next| *next >= 0)
    }

    pub(in crate::sources) fn set_next(&self, next: i64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Notes a polled message, and when it was written.
    pub(in crate::sources) fn note(&self, offset: i64, written: Option<Timestamp>) {
        self.set_next(offset + 1);
        self.polled.fetch_add(1, Ordering::Relaxed);
        self.written.store(written.map_or(UNKNOWN, Timestamp::millis), Ordering::Relaxed);
    }

    /// Notes a flow that was read.
    pub(in crate::sources) fn note_flow(&self, flow: &Flow) {
        let time = flow.received.map_or(flow.end, |received| flow.end.min(received));
        self.newest.fetch_max(time.nanos(), Ordering::Relaxed);
        self.flows.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::sources) fn flows(&self) -> i64 {
        self.flows.load(Ordering::Relaxed)
    }

    /// When the last polled message was written.
    pub(in crate::sources) fn written(&self) -> Option<Timestamp> {
        let written = Some(self.written.load(Ordering::Relaxed));
        written.filter(|millis| *millis != UNKNOWN).map(Timestamp::from_millis)
    }

    /// The latest event time that was read.
    pub(in crate::sources) fn newest(&self) -> Option<Timestamp> {
        let newest = Some(self.newest.load(Ordering::Relaxed));
        newest.filter(|nanos| *nanos != UNKNOWN).map(Timestamp::from_nanos)
    }

    pub(in crate::sources) fn polled(&self) -> i64 {
        self.polled.load(Ordering::Relaxed)
    }
}

/// All partitions seen, by name and by number. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Partitions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<PartitionName, u32>,
    all: Vec<Arc<Partition>>,
}

impl Partitions {
    /// Returns the partition of a name, numbered when it is new.
    pub fn named(&self, name: &PartitionName) -> Arc<Partition> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = table.by_name.get(name) {
            return Arc::clone(&table.all[id as usize]);
        }
        let id = u32::try_from(table.all.len()).unwrap_or(u32::MAX);
        let partition = Arc::new(Partition {
            id,
            name: name.clone(),
            next: AtomicI64::new(-1),
            polled: AtomicI64::new(0),
            flows: AtomicI64::new(0),
            written: AtomicI64::new(UNKNOWN),
            newest: AtomicI64::new(UNKNOWN),
        });
        table.by_name.insert(name.clone(), id);
        table.all.push(Arc::clone(&partition));
        partition
    }

    /// Sets from where a partition is read, before the source starts.
    pub fn begin_at(&self, name: &PartitionName, offset: i64) -> u32 {
        let partition = self.named(name);
        partition.set_next(offset);
        partition.id
    }

    /// Returns all partitions, by number.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// Returns the partition of a number.
    pub fn get(&self, id: u32) -> Option<Arc<Partition>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.all.get(id as usize).map(Arc::clone)
    }
}

/// Where a record of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordPlace {
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
    pub place: RecordPlace,
}

/// A partition that is read from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gained {
    /// Its number in [`Partitions`].
    pub id: u32,
    /// The offset at which reading begins, with what the last reader left there. Not to be asked of
    /// the partition: by the time that this is heard, it may have been read on.
    pub left: Option<(i64, String)>,
}

/// What a source hands over, in order.
#[derive(Debug)]
pub enum PartitionRead {
    /// These partitions are read from now on.
    Gained {
        /// Which.
        partitions: Vec<Gained>,
        /// All that exist, read by others or by us; empty when nobody knows.
        existing: Vec<u32>,
    },
    /// These partitions are not read any more.
    Lost(Vec<u32>),
    /// Flows of one or several partitions; those of one are in order.
    Flows {
        /// The flows.
        flows: Vec<ReadFlow>,
        /// Records that could not be decoded.
        rejected: Vec<(RecordPlace, Rejected)>,
        /// For each partition that was read, the offset of the message that comes next.
        next: Vec<(u32, i64)>,
        /// Records read, those without a flow included.
        records: u64,
    },
    /// A partition has nothing to read, and had nothing for a while.
    Idle(u32),
    /// A partition has handed over everything that belongs into windows that ended at this event
    /// time or before.
    Passed(u32, Timestamp),
}

impl PartitionRead {
    /// These partitions are read, and no others exist.
    pub fn all(ids: Vec<u32>) -> Self {
        let partitions = ids.iter().map(|&id| Gained { id, left: None }).collect();
        Self::Gained { partitions, existing: ids }
    }
}

/// How far a source is behind what keeps its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Messages that are there and were not read.
    pub messages: u64,
    /// Seconds since the last message that was read was written, while there are others.
    pub seconds: f64,
}

/// Reads partitions in order.
pub trait PartitionSource: Sync {
    /// Reads until `is_stopped`, until nobody listens, or to the end when there is one.
    ///
    /// # Errors
    /// When reading cannot go on.
    fn read(
        &self,
        to: &SyncSender<PartitionRead>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), SourceError>;

    /// How far it is behind, as was last seen; `None` when nobody knows.
    fn lag(&self) -> Option<Lag> {
        None
    }

    /// Tells whoever keeps the partitions from where each would be read again. Failing is no loss:
    /// what counts is the snapshot.
    fn commit(&self, next: &[(PartitionName, i64)]);
}
