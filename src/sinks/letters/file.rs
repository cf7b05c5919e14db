//! Letters in a file, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::{LetterPlace, WAITING_BYTES};
use crate::model::Letter;
use crate::sinks::SinkError;

/// A file that grows by whole lines, so that several may append to it.
pub struct LetterFile {
    file: File,
    lines: Vec<u8>,
}

impl LetterFile {
    /// Opens a file, made when it is missing.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, lines: Vec::new() })
    }
}

impl LetterPlace for LetterFile {
    fn write(&mut self, letter: &Letter) -> Result<(), SinkError> {
        serde_json::to_writer(&mut self.lines, letter).map_err(io::Error::from)?;
        self.lines.push(b'\n');
        if self.lines.len() >= WAITING_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.file.write_all(&std::mem::take(&mut self.lines))?;
        // A pipe or a terminal has nothing to be synced to.
        let _ = self.file.sync_data();
        Ok(())
    }

    fn mark(&mut self) -> Result<u64, SinkError> {
        self.flush()?;
        Ok(self.file.seek(SeekFrom::End(0))?)
    }

    fn rewind(&mut self, mark: u64) -> Result<(), SinkError> {
        self.flush()?;
        Ok(self.file.set_len(mark)?)
    }
}

impl Drop for LetterFile {
    /// A stream that breaks off cannot be read again.
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!(%error, "dead letters are lost");
        }
    }
}
