//! The decoding half: sources in order, on a thread of their own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use crate::formats::Format;
use crate::sources::{
    Batch, ByteCounter, CaptureLimits, FileSource, Opening, Present, SourceError,
};

/// Batches that may wait between decoding and judging: about 8 MiB.
const QUEUE_BATCHES: usize = 8;

/// How long a growing file is left alone once it was read to its end.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// Asks a reader of growing files to stop. Clones ask together.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Asks; the reader ends after its present batch.
    pub fn ask(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until asked, at most `pause`; returns whether it was asked.
    pub fn wait(&self, pause: Duration) -> bool {
        let asked = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(asked, pause, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A reader with the name that its records are told by.
pub type NamedReader = (Arc<str>, Box<dyn io::Read + Send>);

/// Sources to read one after the other.
#[derive(Default)]
pub struct Input {
    /// Readers, taken once, before the files.
    pub readers: Mutex<Vec<NamedReader>>,
    /// The files; `-` is standard input.
    pub paths: Vec<PathBuf>,
    /// The format; told from the content of each file when absent.
    pub format: Option<&'static dyn Format>,
    /// Counts the bytes read.
    pub counter: ByteCounter,
    /// What is newer than the present goes to the dead letters; not judged when absent.
    pub present: Option<Present>,
    /// When flows of captures end.
    pub capture: CaptureLimits,
    /// Reads on when files grow, side by side, until asked to stop. A file that is replaced or cut
    /// is read anew from its start.
    pub follow: bool,
    /// Ends the reading early.
    pub stop: Stop,
}

/// What the reader hands over.
pub(super) enum Read {
    /// The next records.
    Batch(Batch),
    /// A source that could not be used, or not to its end.
    Problem(SourceError),
}

impl Input {
    /// Reads the sources on a thread of the scope. Dropping the receiver ends the thread.
    pub(super) fn read_in<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Receiver<Read> {
        let (sender, receiver) = sync_channel(QUEUE_BATCHES);
        thread::Builder::new()
            .name("decode".to_owned())
            .spawn_scoped(scope, move || self.send_all(&sender))
            .expect("a thread can be started");
        receiver
    }

    /// Whether the reading was ended before the end of the input.
    pub(super) fn was_stopped(&self) -> bool {
        self.stop.is_asked()
    }

    fn send_all(&self, sender: &SyncSender<Read>) {
        if self.follow {
            self.send_growing(sender);
            return;
        }
        let readers =
            std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        let readers = readers
            .into_iter()
            .map(|(name, reader)| FileSource::from_reader(name, reader, &self.opening()));
        let files = self.paths.iter().map(|path| FileSource::open(path, &self.opening()));
        for source in readers.chain(files) {
            let sent = match source {
                Ok(source) => self.send_source(source, sender),
                Err(error) => sender.send(Read::Problem(error)).is_ok(),
            };
            if !sent {
                return;
            }
        }
    }

    fn opening(&self) -> Opening {
        Opening {
            format: self.format,
            counter: self.counter.clone(),
            present: self.present,
            capture: self.capture,
        }
    }

    /// Returns whether somebody still listens.
    fn send_source(&self, mut source: FileSource, sender: &SyncSender<Read>) -> bool {
        while !self.stop.is_asked() {
            match source.next_batch(false) {
                Ok(None) => return true,
                Err(error) => return sender.send(Read::Problem(error)).is_ok(),
                Ok(Some(batch)) => {
                    if sender.send(Read::Batch(batch)).is_err() {
                        return false;
                    }
                }
            }
        }
        false
    }

    fn send_growing(&self, sender: &SyncSender<Read>) {
        let mut files: Vec<Growing> = self.paths.iter().map(|path| Growing::new(path)).collect();
        loop {
            let mut is_quiet = true;
            for file in &mut files {
                let Some(read) = file.read(self) else { continue };
                is_quiet = false;
                if sender.send(read).is_err() {
                    return;
                }
            }
            if self.stop.is_asked() || (is_quiet && self.stop.wait(FOLLOW_PAUSE)) {
                return;
            }
        }
    }
}

/// A file that grows, may be missing for now, and may be replaced.
struct Growing<'a> {
    path: &'a Path,
    open: Option<(FileSource, FileIdentity)>,
    /// The problem was told; it is not told again until it changes.
    told: Option<String>,
}

/// Device, inode and length: what tells a replaced or cut file from a grown one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    length: u64,
}

fn identity(path: &Path) -> Option<FileIdentity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(FileIdentity { device: metadata.dev(), inode: metadata.ino(), length: metadata.len() })
}

impl<'a> Growing<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, open: None, told: None }
    }

    /// Returns what is new, `None` when nothing is.
    fn read(&mut self, input: &Input) -> Option<Read> {
        let now = identity(self.path);
        if self.open.is_none() {
            match (FileSource::open(self.path, &input.opening()), now) {
                (Ok(source), Some(identity)) => self.open = Some((source, identity)),
                // An empty file is one that has not begun to grow.
                (Err(SourceError::Empty { .. }), _) | (_, None) if self.told.is_some() => {
                    return None;
                }
                (Err(error), _) => return self.tell(error),
                (Ok(_), None) => return None,
            }
        }
        let (source, opened) = self.open.as_mut()?;
        match source.next_batch(true) {
            Ok(Some(batch)) => {
                self.told = None;
                if let Some(now) = now.filter(|now| now.inode == opened.inode) {
                    opened.length = opened.length.max(now.length);
                }
                Some(Read::Batch(batch))
            }
            Ok(None) => {
                let replaced = now.is_some_and(|now| {
                    (now.device, now.inode) != (opened.device, opened.inode)
                        || now.length < opened.length
                });
                if replaced {
                    self.open = None;
                }
                None
            }
            Err(error) => {
                self.open = None;
                self.tell(error)
            }
        }
    }

    fn tell(&mut self, error: SourceError) -> Option<Read> {
        let words = error.to_string();
        if self.told.as_ref() == Some(&words) {
            return None;
        }
        self.told = Some(words);
        Some(Read::Problem(error))
    }
}
