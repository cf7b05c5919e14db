//! The place for what could not be used: nothing is dropped in silence.
//!
//! ```text
//! Rejected, refused document ─→ Letter ─→ DeadLetters ─→ file | topic | index
//! ```
//!
//! A place keeps a bounded number of letters in waiting; when [`DeadLetters::flush`] returns it has
//! them all. The id of a letter comes from the input: a replay writes it again under the same id,
//! which an index takes once.

mod file;
mod index;
mod topic;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::model::{Letter, Origin, Timestamp};
use crate::sources::Rejected;
use crate::stores::Document as StoredDocument;

use super::{SinkError, until_done};
use crate::testkit::crash;
pub use file::LetterFile;
pub use index::LetterIndex;
pub use topic::LetterTopic;

/// Letters wait at most so long for others.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// Letters in waiting, as bytes: beyond that a place writes them.
const WAITING_BYTES: usize = 1 << 20;

/// Keeps letters.
pub trait LetterPlace: Send {
    /// Takes a letter, and maybe writes. When that fails the letter is kept in waiting.
    ///
    /// # Errors
    /// When the place does not take letters now.
    fn write(&mut self, letter: &Letter) -> Result<(), SinkError>;

    /// Writes everything that waits. After a failure it can be repeated.
    ///
    /// # Errors
    /// As [`LetterPlace::write`].
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Where the place ends now, for [`LetterPlace::rewind`].
    ///
    /// # Errors
    /// As [`LetterPlace::write`].
    fn mark(&mut self) -> Result<u64, SinkError> {
        Ok(0)
    }

    /// Takes back what came after `mark`, where the same letters would be there twice otherwise.
    ///
    /// # Errors
    /// As [`LetterPlace::write`].
    fn rewind(&mut self, _mark: u64) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Where letters go; nowhere by default. Clones share.
#[derive(Clone, Default)]
pub struct DeadLetters(Option<Arc<Mutex<Shared>>>);

struct Shared {
    place: Box<dyn LetterPlace>,
    give_up: Box<dyn Fn(Duration) -> bool + Send>,
    now: fn() -> Timestamp,
    /// Since when letters wait.
    waiting: Option<Instant>,
}

impl DeadLetters {
    /// Returns a place that keeps nothing; the summary still counts.
    pub fn discarded() -> Self {
        Self::default()
    }

    /// Returns letters that go to `place`. One that is away is asked again until `give_up`, which
    /// waits for the pause it is given, says that waiting is over; meanwhile nothing more is taken.
    pub fn new(
        place: impl LetterPlace + 'static,
        give_up: Box<dyn Fn(Duration) -> bool + Send>,
        now: fn() -> Timestamp,
    ) -> Self {
        let shared = Shared { place: Box::new(place), give_up, now, waiting: None };
        Self(Some(Arc::new(Mutex::new(shared))))
    }

    /// Appends to a file, made when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn append_to(path: &Path, now: fn() -> Timestamp) -> std::io::Result<Self> {
        Ok(Self::new(LetterFile::open(path)?, Box::new(|_| true), now))
    }

    /// Writes one rejected record of `source`: a file, or `topic/partition`.
    ///
    /// # Errors
    /// When the place does not take it, and waiting is over.
    pub fn write(&self, source: &str, rejected: &Rejected) -> Result<(), SinkError> {
        let Some(mut shared) = self.shared() else { return Ok(()) };
        let origin = match rejected.message {
            Some(facts) => Origin::Message {
                source,
                offset: rejected.place.offset,
                index: facts.index,
                time: facts.time,
                taken: facts.taken,
            },
            None => {
                let (offset, line) = (rejected.place.offset, rejected.place.line);
                Origin::File { name: source, offset, line }
            }
        };
        let why = (rejected.reject.reason.name(), rejected.reject.detail.as_str());
        let now = (shared.now)();
        shared.write(&Letter::new(&origin, why, &rejected.record, rejected.length, now))
    }

    /// Writes a document that the store refused for good.
    ///
    /// # Errors
    /// As [`DeadLetters::write`].
    pub fn write_refused(&self, document: &StoredDocument, reason: &str) -> Result<(), SinkError> {
        let Some(mut shared) = self.shared() else { return Ok(()) };
        let index = document.index.to_string();
        let time = document.source.get("@timestamp").and_then(Value::as_str);
        let now = (shared.now)();
        let time = time.and_then(|time| time.parse().ok()).unwrap_or_default();
        let origin = Origin::Document { index: &index, id: document.id.as_str(), time };
        let text = document.source.to_string();
        let why = (Letter::REFUSED, reason);
        shared.write(&Letter::new(&origin, why, text.as_bytes(), text.len() as u64, now))
    }

    /// Writes out what waits. When this returns, the place has every letter.
    ///
    /// # Errors
    /// As [`DeadLetters::write`].
    pub fn flush(&self) -> Result<(), SinkError> {
        self.shared().map_or(Ok(()), |mut shared| shared.flush())
    }

    /// Writes out what has waited for a second.
    ///
    /// # Errors
    /// As [`DeadLetters::write`].
    pub fn flush_due(&self) -> Result<(), SinkError> {
        let Some(mut shared) = self.shared() else { return Ok(()) };
        let is_due = shared.waiting.is_some_and(|waiting| waiting.elapsed() >= FLUSH_PAUSE);
        if is_due { shared.flush() } else { Ok(()) }
    }

    /// Returns the present end of the place, for [`DeadLetters::rewind`].
    ///
    /// # Errors
    /// As [`DeadLetters::write`].
    pub fn mark(&self) -> Result<u64, SinkError> {
        self.shared().map_or(Ok(0), |mut shared| shared.place.mark())
    }

    /// Takes back everything written since `mark`: the same input is read again.
    ///
    /// # Errors
    /// As [`DeadLetters::write`].
    pub fn rewind(&self, mark: u64) -> Result<(), SinkError> {
        self.shared().map_or(Ok(()), |mut shared| shared.place.rewind(mark))
    }

    fn shared(&self) -> Option<MutexGuard<'_, Shared>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn write(&mut self, letter: &Letter) -> Result<(), SinkError> {
        self.waiting.get_or_insert_with(Instant::now);
        match self.place.write(letter) {
            Err(error) if passes(&error) => self.flush(),
            done => done,
        }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let Self { place, give_up, .. } = self;
        until_done(&**give_up, passes, || place.flush())?;
        if self.waiting.take().is_some() {
            crash::point("letters");
        }
        Ok(())
    }
}

/// Whether the place may take it later.
fn passes(error: &SinkError) -> bool {
    matches!(error, SinkError::Store(_) | SinkError::Busy { .. } | SinkError::Send(_))
}

#[cfg(test)]
mod tests;
