//! One index: a folder with the engine's segments and the log of what they do not hold yet.
//!
//! ```text
//! write ─→ log frame, synced ─→ acknowledged ─→ engine's buffer ─→ commit ─→ log cleared
//! open  ─→ engine's last commit (names the next sequence number) + log frames from there on
//! ```
//!
//! A process that is killed between any two steps loses nothing that was acknowledged: the engine's
//! commit is atomic and says how far it got, and the log has the rest.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tantivy::directory::MmapDirectory;
use tantivy::indexer::IndexWriterOptions;
use tantivy::{
    DocAddress, Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument,
    TantivyError, Term,
};

use super::ids::IdFilter;
use super::layout::{
    documents_with_id, fields, known_ids, parse_source, read_document, schema, sequence_of,
    to_engine,
};
use super::log::{self, Log, LoggedWrite};
use crate::stores::document::check_document;
use crate::stores::{IndexName, StoreError, Stored, Version};

const LOG_FILE: &str = "writes.log";

/// How much may wait in memory (and in the log) for a commit: more makes larger segments, and a
/// longer recovery after a crash (about ten microseconds per document).
const PENDING_DOCUMENTS: usize = 100_000;
const PENDING_BYTES: usize = 48 << 20;

/// How long to wait for the engine's lock file: a second, far longer than a program takes to start.
const LOCK_ATTEMPTS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Log frames are cut at this size, far below what their length field can say.
const FRAME_BYTES: usize = 64 << 20;

/// An open index.
pub(super) struct OpenIndex {
    name: IndexName,
    folder: PathBuf,
    index: Index,
    reader: IndexReader,
    writer: Option<Writer>,
    /// The log may hold what the engine does not: true until a writer has read it.
    unread_log: bool,
    memory_bytes: usize,
}

/// The part of an open index that only writes need.
struct Writer {
    engine: IndexWriter,
    log: Log,
    ids: IdFilter,
    next_sequence: u64,
    pending: HashMap<String, Pending>,
    pending_bytes: usize,
}

/// A document that is acknowledged but not committed.
struct Pending {
    sequence: u64,
    source: Vec<u8>,
}

/// A write on its way in.
pub(super) struct NewWrite<'a> {
    pub id: &'a str,
    /// The document as JSON.
    pub source: Vec<u8>,
    /// The document as the engine takes it, but for the sequence number.
    pub document: TantivyDocument,
}

/// Wraps an error of the engine.
pub(super) fn engine_error(
    name: &IndexName,
    action: &str,
    reason: impl std::fmt::Display,
) -> StoreError {
    StoreError::Engine { action: format!("{action} index {name}"), reason: reason.to_string() }
}

pub(super) fn io_error(name: &IndexName, action: &str, source: std::io::Error) -> StoreError {
    StoreError::Io { action: format!("{action} index {name}"), source }
}

impl OpenIndex {
    /// Opens the index `name` in `folder`, creating both when they do not exist.
    pub(super) fn open(
        name: &IndexName,
        folder: &Path,
        memory_bytes: usize,
    ) -> Result<Self, StoreError> {
        let failed = |reason: tantivy::TantivyError| engine_error(name, "opening", reason);
        if !folder.exists() {
            std::fs::create_dir(folder).map_err(|error| io_error(name, "creating", error))?;
            sync_parent(folder).map_err(|error| io_error(name, "creating", error))?;
        }
        let directory = MmapDirectory::open(folder).map_err(|error| failed(error.into()))?;
        let index = Index::open_or_create(directory, schema()).map_err(failed)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let log_length = std::fs::metadata(folder.join(LOG_FILE)).map_or(0, |data| data.len());
        Ok(Self {
            name: name.clone(),
            folder: folder.to_owned(),
            reader: reader.map_err(failed)?,
            index,
            writer: None,
            unread_log: log_length > 0,
            memory_bytes,
        })
    }

    /// Whether it holds a writer's memory.
    pub(super) fn is_writing(&self) -> bool {
        self.writer.is_some()
    }

    /// Creates each document whose id does not exist and says for each whether it did so.
    pub(super) fn create(&mut self, writes: Vec<NewWrite<'_>>) -> Result<Vec<bool>, StoreError> {
        self.open_writer()?;
        let mut created = Vec::with_capacity(writes.len());
        let mut fresh: Vec<NewWrite<'_>> = Vec::with_capacity(writes.len());
        let mut taken = HashSet::new();
        for write in writes {
            let is_new = !taken.contains(write.id) && !self.exists(write.id)?;
            if is_new {
                taken.insert(write.id);
                fresh.push(write);
            }
            created.push(is_new);
        }
        let mut rest = fresh.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut frame = Vec::new();
            while let Some(write) = rest.next_if(|_| bytes < FRAME_BYTES) {
                bytes += write.source.len();
                frame.push(write);
            }
            self.write(frame, false)?;
        }
        Ok(created)
    }

    /// Replaces the document of the same id and returns the new version.
    pub(super) fn replace(&mut self, write: NewWrite<'_>) -> Result<Version, StoreError> {
        self.open_writer()?;
        let sequence = self.write(vec![write], true)?;
        Ok(Version { sequence, term: 1 })
    }

    /// Logs and then applies `writes`, and returns the sequence number of the first. When it
    /// fails, the writer is given up: the log says what was acknowledged.
    fn write(&mut self, writes: Vec<NewWrite<'_>>, replaces: bool) -> Result<u64, StoreError> {
        let Some(writer) = &mut self.writer else {
            return Err(engine_error(&self.name, "writing", "there is no writer"));
        };
        let first_sequence = writer.next_sequence;
        let written = writer.write(writes, replaces);
        let written = match written {
            Ok(()) if writer.is_full() => self.commit(),
            Ok(()) => Ok(()),
            Err(reason) => Err(engine_error(&self.name, "writing", reason)),
        };
        if written.is_err() {
            self.abandon_writer();
        }
        written.map(|()| first_sequence)
    }

    /// Returns the document `id`.
    pub(super) fn get(&mut self, id: &str) -> Result<Option<Stored>, StoreError> {
        self.recover()?;
        let pending = self.writer.as_ref().and_then(|writer| writer.pending.get(id));
        if let Some(pending) = pending {
            let version = Version { sequence: pending.sequence, term: 1 };
            return parse_source(&self.name, &pending.source)
                .map(|source| Some(Stored { source, version }));
        }
        let searcher = self.reader.searcher();
        let Some(address) = self.locate(&searcher, id)? else { return Ok(None) };
        let reader = searcher.segment_reader(address.segment_ord);
        let sequence = sequence_of(reader, address.doc_id)
            .ok_or_else(|| engine_error(&self.name, "reading", "a sequence number is missing"))?;
        let (_, source) = read_document(&self.name, &searcher, address)?;
        Ok(Some(Stored { source, version: Version { sequence, term: 1 } }))
    }

    /// Returns what a search sees: everything acknowledged until now.
    pub(super) fn searcher(&mut self) -> Result<Searcher, StoreError> {
        self.commit()?;
        Ok(self.reader.searcher())
    }

    /// Moves everything from the log into the engine.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.recover()?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.pending.is_empty() {
            return Ok(());
        }
        let committed = writer.commit();
        let committed = committed.map_err(|reason| engine_error(&self.name, "committing", reason));
        let reloaded = committed.and_then(|()| {
            self.reader.reload().map_err(|error| engine_error(&self.name, "reading", error))
        });
        if reloaded.is_err() {
            self.abandon_writer();
        }
        reloaded
    }

    /// Commits and gives the writer's memory back.
    pub(super) fn close_writer(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let finished = writer.engine.wait_merging_threads();
        finished.map_err(|error| engine_error(&self.name, "closing", error))?;
        // Merged segments replace their parts; without it the parts' files would stay mapped.
        self.reader.reload().map_err(|error| engine_error(&self.name, "reading", error))
    }

    fn abandon_writer(&mut self) {
        self.writer = None;
        self.unread_log = true;
    }

    /// Reads the log when a former process, or a writer that failed, left something in it.
    fn recover(&mut self) -> Result<(), StoreError> {
        if self.unread_log { self.open_writer() } else { Ok(()) }
    }

    fn open_writer(&mut self) -> Result<(), StoreError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let failed = |reason: String| engine_error(&self.name, "opening", reason);
        let engine = new_engine(&self.index, self.memory_bytes)
            .map_err(|error| failed(error.to_string()))?;
        // A commit that was cut short left files under the names that its repetition uses.
        engine.garbage_collect_files().wait().map_err(|error| failed(error.to_string()))?;
        let metas = self.index.load_metas().map_err(|error| failed(error.to_string()))?;
        let next_sequence = match metas.payload.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(sequence)) => sequence,
            Some(Err(_)) => return Err(failed("its last commit names no sequence number".into())),
        };
        self.reader.reload().map_err(|error| failed(error.to_string()))?;
        let ids = known_ids(&self.reader.searcher()).map_err(|error| failed(error.to_string()))?;
        let (log, frames) = Log::open(&self.folder.join(LOG_FILE))
            .map_err(|error| io_error(&self.name, "reading the log of", error))?;
        let mut writer =
            Writer { engine, log, ids, next_sequence, pending: HashMap::new(), pending_bytes: 0 };
        for frame in frames {
            writer.replay(&self.name, &frame).map_err(failed)?;
        }
        self.writer = Some(writer);
        self.unread_log = false;
        Ok(())
    }

    fn exists(&self, id: &str) -> Result<bool, StoreError> {
        if let Some(writer) = &self.writer {
            if writer.pending.contains_key(id) {
                return Ok(true);
            }
            if !writer.ids.may_contain(id.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(self.locate(&self.reader.searcher(), id)?.is_some())
    }

    fn locate(&self, searcher: &Searcher, id: &str) -> Result<Option<DocAddress>, StoreError> {
        let failed = |reason: String| engine_error(&self.name, "looking an id up in", reason);
        for (segment_ord, reader) in (0..).zip(searcher.segment_readers()) {
            let documents = documents_with_id(reader, id).map_err(failed)?;
            if let Some(doc_id) = documents.first() {
                return Ok(Some(DocAddress::new(segment_ord, *doc_id)));
            }
        }
        Ok(None)
    }
}

impl Writer {
    fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_DOCUMENTS || self.pending_bytes >= PENDING_BYTES
    }

    fn write(&mut self, writes: Vec<NewWrite<'_>>, replaces: bool) -> Result<(), String> {
        let logged: Vec<_> = writes
            .iter()
            .map(|write| log::WriteRef { replaces, id: write.id, source: &write.source })
            .collect();
        let frame = log::encode(self.next_sequence, &logged);
        self.log.append(&frame).map_err(|error| error.to_string())?;
        for write in writes {
            self.apply(write, replaces)?;
        }
        Ok(())
    }

    fn apply(&mut self, write: NewWrite<'_>, replaces: bool) -> Result<(), String> {
        let NewWrite { id, source, mut document } = write;
        let sequence = self.next_sequence;
        if replaces {
            self.engine.delete_term(Term::from_field_text(fields().id, id));
        }
        document.add_u64(fields().sequence, sequence);
        self.engine.add_document(document).map_err(|error| error.to_string())?;
        self.next_sequence += 1;
        self.pending_bytes += source.len();
        // No need to tell the filter of ids before the commit: `pending` knows this one.
        self.pending.insert(id.to_owned(), Pending { sequence, source });
        Ok(())
    }

    /// Applies a frame of the log unless the engine has it.
    fn replay(&mut self, name: &IndexName, frame: &[u8]) -> Result<(), String> {
        let (first_sequence, writes) =
            log::decode(frame).ok_or("its log holds a frame of another version")?;
        if first_sequence < self.next_sequence {
            return Ok(());
        }
        self.next_sequence = first_sequence;
        for LoggedWrite { replaces, id, source } in writes {
            let value: Value =
                serde_json::from_slice(&source).map_err(|error| error.to_string())?;
            // A document that was acknowledged stays, even if today's catalogue would refuse it.
            let leaves = check_document(name, &value).unwrap_or_default();
            let document = to_engine(&id, &source, &leaves);
            self.apply(NewWrite { id: &id, source, document }, replaces)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let mut prepared = self.engine.prepare_commit().map_err(|error| error.to_string())?;
        prepared.set_payload(&self.next_sequence.to_string());
        prepared.commit().map_err(|error| error.to_string())?;
        for id in self.pending.keys() {
            self.ids.insert(id.as_bytes());
        }
        self.pending.clear();
        self.pending_bytes = 0;
        self.log.clear().map_err(|error| error.to_string())
    }
}

/// Opens the engine's writer. Its lock file cannot be held by another process, the store's lock
/// sees to that, but a program that another thread is just starting has a copy of the file open
/// for a moment (until it is executed): then it is tried again.
fn new_engine(index: &Index, memory_bytes: usize) -> tantivy::Result<IndexWriter> {
    let mut attempts = 0;
    loop {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(memory_bytes)
            .build();
        match index.writer_with_options(options) {
            Err(TantivyError::LockFailure(..)) if attempts < LOCK_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            result => return result,
        }
    }
}

/// Makes the entry of `folder` in its parent survive a power cut.
fn sync_parent(folder: &Path) -> std::io::Result<()> {
    match folder.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
