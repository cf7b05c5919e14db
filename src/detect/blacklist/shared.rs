//! A list that can be swapped while flows pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Blacklist;

/// A handle on the current [`Blacklist`]: whoever holds a clone may swap it; readers see the new
/// list with their next flow. Starts empty.
#[derive(Clone, Debug, Default)]
pub struct SharedList(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Counts the swaps, so that a reader asks for the lock only after one.
    generation: AtomicU64,
    list: RwLock<Arc<Blacklist>>,
}

impl SharedList {
    /// Puts `list` in the place of the current one.
    pub fn set(&self, list: Arc<Blacklist>) {
        let mut current = self.0.list.write().unwrap_or_else(PoisonError::into_inner);
        *current = list;
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the current list.
    pub fn get(&self) -> Arc<Blacklist> {
        self.current().1
    }

    /// Returns the current list and its number.
    pub(super) fn current(&self) -> (u64, Arc<Blacklist>) {
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        (self.0.generation.load(Ordering::Acquire), Arc::clone(&list))
    }

    /// Returns the current list and its number when that is not `generation`. One load otherwise.
    pub(super) fn newer_than(&self, generation: u64) -> Option<(u64, Arc<Blacklist>)> {
        (self.0.generation.load(Ordering::Acquire) != generation).then(|| self.current())
    }
}
