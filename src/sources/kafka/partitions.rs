//! The partitions of a source: named once, numbered here.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

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
}

impl Partition {
    /// Offset of the next message to read; `None` when nobody knows yet.
    pub fn next(&self) -> Option<i64> {
        Some(self.next.load(Ordering::Relaxed)).filter(|next| *next >= 0)
    }

    pub(super) fn set_next(&self, next: i64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Notes a polled message.
    pub(super) fn note(&self, offset: i64) {
        self.set_next(offset + 1);
        self.polled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn polled(&self) -> i64 {
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

    /// Returns the partition of a number.
    pub fn get(&self, id: u32) -> Option<Arc<Partition>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.all.get(id as usize).map(Arc::clone)
    }
}
