//! The store without any service: one folder, one process, the tantivy engine.
//!
//! Every index is a sub-folder of its own, dropped whole when its time is over. Writers take
//! memory, so only a few are open at a time and the one unused for longest is closed; a backfill
//! over many days stays within bounds. One lock file keeps other processes out.
//!
//! Queries and aggregations run over the engine's columns with code of this module, not with the
//! engine's own aggregations: those ignore time zones without a word, return buckets nobody asked
//! for, and estimate where a local store can be exact.

mod aggregate;
mod columns;
mod condition;
mod finish;
mod hits;
mod ids;
mod index;
mod layout;
mod log;
mod pages;
mod partial;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{check_document, merge, unsign_zeros};
use super::{
    BulkItem, BulkOutcome, Document, DocumentId, Family, IndexName, Moment, Namespace,
    SearchRequest, SearchResponse, Store, StoreError, Stored, UpdateOutcome, Version,
    refuse_update,
};
use crate::model::Timestamp;
pub(super) use finish::nothing_found;
use index::{NewWrite, OpenIndex};

const LOCK_FILE: &str = "store.lock";
/// Folders on their way out: renamed first, so that a crash never leaves half an index.
const DROPPED: &str = "dropped-";

/// The largest document, in bytes of JSON; far above any of ours, far below what one frame of the
/// log can hold.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Settings of the embedded store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddedConfig {
    /// The folder; created when it does not exist. Default `data/store`.
    pub path: PathBuf,
    /// The most memory that one open writer takes, in bytes, from 16 MiB to 1 GiB; it grows with
    /// use. Default 32 MiB; more makes fewer, larger segments.
    pub writer_memory_bytes: usize,
    /// How many indices may be open for writing at a time, at least 1. Default 8, as many as there
    /// are families; switching to one more costs a commit of another (tens of milliseconds).
    pub open_writers: usize,
    /// How many indices may be open at a time, at least 1. Default 64; one that is not open costs
    /// a few milliseconds more to search.
    pub open_indices: usize,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/store"),
            writer_memory_bytes: 32 << 20,
            open_writers: 8,
            open_indices: 64,
        }
    }
}

impl EmbeddedConfig {
    /// Returns the default settings with the folder `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

/// The embedded store. Usable from many threads; writes to one index take turns.
pub struct EmbeddedStore {
    config: EmbeddedConfig,
    slots: Mutex<BTreeMap<IndexName, Arc<Slot>>>,
    /// Counts uses, to find the index unused for longest.
    uses: AtomicU64,
    /// Held for as long as the store is open.
    lock: File,
}

/// One index, open or not.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    last_use: AtomicU64,
    is_open: AtomicBool,
    is_writing: AtomicBool,
}

#[derive(Default)]
enum SlotState {
    #[default]
    Closed,
    Open(Box<OpenIndex>),
    /// Gone; whoever still holds the slot must look the index up anew.
    Dropped,
}

/// A panic of another thread leaves at worst an index whose log has to be read again; the data
/// behind these locks is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedStore {
    /// Opens the store, creating its folder when there is none. What a killed process left is
    /// recovered when an index is first used.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open; [`StoreError::Io`] when the folder
    /// cannot be read or written.
    pub fn open(config: EmbeddedConfig) -> Result<Self, StoreError> {
        let config = EmbeddedConfig {
            writer_memory_bytes: config.writer_memory_bytes.clamp(16 << 20, 1 << 30),
            open_writers: config.open_writers.max(1),
            open_indices: config.open_indices.max(1),
            ..config
        };
        let path = &config.path;
        let failed = |source| StoreError::Io {
            action: format!("opening the embedded store in `{}`", path.display()),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = take_lock(path)?;
        let mut slots = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            if file_name.starts_with(DROPPED) {
                std::fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if let Some(name) = IndexName::parse(file_name) {
                slots.insert(name, Arc::default());
            }
        }
        Ok(Self { slots: Mutex::new(slots), uses: AtomicU64::new(0), lock, config })
    }

    /// The names of all indices, sorted by family, namespace and time.
    pub fn indices(&self) -> Vec<IndexName> {
        lock(&self.slots).keys().cloned().collect()
    }

    /// How many indices hold a writer's memory now.
    pub fn open_writers(&self) -> usize {
        let slots = lock(&self.slots);
        slots.values().filter(|slot| slot.is_writing.load(Ordering::Relaxed)).count()
    }

    /// Calls `work` with the open index `name`; returns `None` when there is no such index and
    /// `create` is false.
    fn with_index<T>(
        &self,
        name: &IndexName,
        create: bool,
        work: impl FnOnce(&mut OpenIndex) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.make_room(name)?;
        loop {
            let Some(slot) = self.slot(name, create) else { return Ok(None) };
            let mut state = lock(&slot.state);
            if matches!(*state, SlotState::Closed) {
                let folder = self.config.path.join(name.to_string());
                let memory_bytes = self.config.writer_memory_bytes;
                *state = SlotState::Open(Box::new(OpenIndex::open(name, &folder, memory_bytes)?));
            }
            let SlotState::Open(index) = &mut *state else { continue };
            let result = work(index);
            slot.note(&state);
            return result.map(Some);
        }
    }

    fn slot(&self, name: &IndexName, create: bool) -> Option<Arc<Slot>> {
        let mut slots = lock(&self.slots);
        if create && !slots.contains_key(name) {
            slots.insert(name.clone(), Arc::default());
        }
        let slot = slots.get(name)?;
        slot.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(slot))
    }

    /// Closes what has been unused for longest, so that `name` can be opened for writing. Threads
    /// that do so at the same moment may go over the limit by one each.
    fn make_room(&self, name: &IndexName) -> Result<(), StoreError> {
        while let Some(slot) = self.idlest(name, |slot| &slot.is_writing, self.config.open_writers)
        {
            slot.close(false)?;
        }
        while let Some(slot) = self.idlest(name, |slot| &slot.is_open, self.config.open_indices) {
            slot.close(true)?;
        }
        Ok(())
    }

    /// The slot used least lately among those with the flag set, when so many others than `name`
    /// have it set that one more would be over `limit`.
    fn idlest(
        &self,
        name: &IndexName,
        flag: impl Fn(&Slot) -> &AtomicBool,
        limit: usize,
    ) -> Option<Arc<Slot>> {
        let slots = lock(&self.slots);
        let others = slots.iter().filter(|(other, _)| *other != name).map(|(_, slot)| slot);
        let set: Vec<_> = others.filter(|slot| flag(slot).load(Ordering::Relaxed)).collect();
        if set.len() < limit {
            return None;
        }
        set.into_iter().min_by_key(|slot| slot.last_use.load(Ordering::Relaxed)).cloned()
    }
}

impl Slot {
    /// Notes what the state is, for others to see without its lock.
    fn note(&self, state: &SlotState) {
        let (open, writing) = match state {
            SlotState::Open(index) => (true, index.is_writing()),
            SlotState::Closed | SlotState::Dropped => (false, false),
        };
        self.is_open.store(open, Ordering::Relaxed);
        self.is_writing.store(writing, Ordering::Relaxed);
    }

    /// Closes the writer, or the whole index.
    fn close(&self, whole: bool) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let closed = match &mut *state {
            SlotState::Open(index) => index.close_writer(),
            SlotState::Closed | SlotState::Dropped => Ok(()),
        };
        if whole && matches!(*state, SlotState::Open(_)) {
            *state = SlotState::Closed;
        }
        self.note(&state);
        closed
    }
}

fn take_lock(path: &Path) -> Result<File, StoreError> {
    let shown = path.display().to_string();
    let failed = |source| StoreError::Io {
        action: format!("locking the embedded store in `{shown}`"),
        source,
    };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK_FILE));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: shown }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Returns the document ready to be written.
fn ready<'a>(
    index: &IndexName,
    id: &'a DocumentId,
    source: &'a Value,
) -> Result<NewWrite<'a>, String> {
    // Checked first: that bounds the depth that the serializer has to go down.
    let leaves = check_document(index, source)?;
    let bytes = serde_json::to_vec(source).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("a document has at most {MAX_DOCUMENT_BYTES} bytes"));
    }
    let document = layout::to_engine(id.as_str(), &bytes, &leaves);
    Ok(NewWrite { id: id.as_str(), source: bytes, document })
}

/// Gives the folder free at once: a program that another thread is just starting holds a copy of
/// the open lock file for a moment, and closing ours alone would leave the folder locked.
impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        lock(&self.slots).clear();
        // Nothing can be done about an error; the lock ends with the process at the latest.
        let _ = self.lock.unlock();
    }
}

impl Store for EmbeddedStore {
    fn bulk(&self, mut documents: Vec<Document>) -> Result<BulkOutcome, StoreError> {
        documents.iter_mut().for_each(|document| unsign_zeros(&mut document.source));
        let mut items = vec![BulkItem::Duplicate; documents.len()];
        let mut by_index: BTreeMap<&IndexName, (Vec<usize>, Vec<NewWrite<'_>>)> = BTreeMap::new();
        for (at, document) in documents.iter().enumerate() {
            match ready(&document.index, &document.id, &document.source) {
                Ok(write) => {
                    let (places, writes) = by_index.entry(&document.index).or_default();
                    places.push(at);
                    writes.push(write);
                }
                Err(reason) => items[at] = BulkItem::Rejected { reason, retriable: false },
            }
        }
        for (name, (places, writes)) in by_index {
            let created = self.with_index(name, true, |index| index.create(writes))?;
            for (at, is_new) in places.into_iter().zip(created.unwrap_or_default()) {
                if is_new {
                    items[at] = BulkItem::Created;
                }
            }
        }
        Ok(BulkOutcome { items })
    }

    fn update(
        &self,
        index: &IndexName,
        id: &DocumentId,
        partial: Value,
        expected: Version,
    ) -> Result<UpdateOutcome, StoreError> {
        let outcome = self.with_index(index, false, |open| {
            let Some(mut stored) = open.get(id.as_str())? else {
                return Ok(UpdateOutcome::Missing);
            };
            if let Some(refused) = refuse_update(stored.version, expected, &partial) {
                return Ok(refused);
            }
            merge(&mut stored.source, partial);
            unsign_zeros(&mut stored.source);
            match ready(index, id, &stored.source) {
                Ok(write) => open.replace(write).map(UpdateOutcome::Updated),
                Err(reason) => Ok(UpdateOutcome::Rejected { reason }),
            }
        });
        outcome.map(|outcome| outcome.unwrap_or(UpdateOutcome::Missing))
    }

    fn get(&self, index: &IndexName, id: &DocumentId) -> Result<Option<Stored>, StoreError> {
        self.with_index(index, false, |open| open.get(id.as_str())).map(Option::flatten)
    }

    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, StoreError> {
        request.check()?;
        finish::search(request, &self.shards(request)?)
    }

    fn moment(
        &self,
        family: Family,
        namespace: &Namespace,
    ) -> Result<Box<dyn Moment + '_>, StoreError> {
        let request = SearchRequest::new(family, namespace.clone());
        Ok(Box::new(pages::EmbeddedMoment::new(self.shards(&request)?, family, namespace)))
    }

    fn drop_before(&self, family: Family, cutoff: Timestamp) -> Result<Vec<IndexName>, StoreError> {
        let over = |name: &IndexName| {
            name.family() == family && name.span().is_some_and(|(_, to)| to <= cutoff)
        };
        let names: Vec<_> = self.indices().into_iter().filter(over).collect();
        for name in &names {
            self.drop_index(name)?;
        }
        Ok(names)
    }

    fn flush(&self) -> Result<(), StoreError> {
        for name in self.indices() {
            let is_open = self
                .slot(&name, false)
                .is_some_and(|slot| matches!(*lock(&slot.state), SlotState::Open(_)));
            // An index that is not open has nothing in memory.
            if is_open {
                self.with_index(&name, false, OpenIndex::commit)?;
            }
        }
        Ok(())
    }
}

impl EmbeddedStore {
    /// What a search sees now; later writes do not change it.
    fn shards(&self, request: &SearchRequest) -> Result<Vec<hits::Shard>, StoreError> {
        let mut shards = Vec::new();
        for name in self.indices() {
            let wanted = name.family() == request.family && *name.namespace() == request.namespace;
            if !wanted || !pages::overlaps(&name, request) {
                continue;
            }
            if let Some(searcher) = self.with_index(&name, false, OpenIndex::searcher)? {
                shards.push(hits::Shard { name, searcher });
            }
        }
        Ok(shards)
    }

    fn drop_index(&self, name: &IndexName) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { action: format!("dropping index {name}"), source };
        let Some(slot) = self.slot(name, false) else { return Ok(()) };
        let mut state = lock(&slot.state);
        let folder = self.config.path.join(name.to_string());
        let dropped = self.config.path.join(format!("{DROPPED}{name}"));
        // The engine's threads must be gone before its files are.
        *state = SlotState::Closed;
        slot.note(&state);
        if folder.exists() {
            std::fs::rename(&folder, &dropped).map_err(failed)?;
            std::fs::remove_dir_all(&dropped).map_err(failed)?;
        }
        *state = SlotState::Dropped;
        lock(&self.slots).remove(name);
        Ok(())
    }
}
