//! The place for what could not be used: nothing is dropped in silence.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::json;

use crate::model::hex;
use crate::sources::Rejected;

/// A file of rejected records, one JSON object a line: reason, detail, source, line, offset, and
/// the record itself (`record` when it is text, else `record_hex`).
pub struct DeadLetters {
    writer: Option<BufWriter<File>>,
}

impl DeadLetters {
    /// Returns a place that keeps nothing; the summary still counts.
    pub fn discarded() -> Self {
        Self { writer: None }
    }

    /// Appends to a file, made when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { writer: Some(BufWriter::new(file)) })
    }

    /// Writes one rejected record.
    pub(super) fn write(&mut self, source: &str, rejected: &Rejected) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut letter = json!({
            "reason": rejected.reject.reason.name(),
            "detail": rejected.reject.detail,
            "source": source,
            "line": rejected.place.line,
            "offset": rejected.place.offset,
        });
        match std::str::from_utf8(&rejected.record) {
            Ok(text) => letter["record"] = json!(text),
            Err(_) => letter["record_hex"] = json!(hex(&rejected.record)),
        }
        serde_json::to_writer(&mut *writer, &letter)?;
        writer.write_all(b"\n")
    }

    /// Returns the present end of the file, for [`DeadLetters::rewind`].
    pub(super) fn mark(&mut self) -> io::Result<u64> {
        self.flush()?;
        self.writer.as_mut().map_or(Ok(0), |writer| writer.get_mut().seek(SeekFrom::End(0)))
    }

    /// Takes back everything written since `mark`: the same input is read again.
    pub(super) fn rewind(&mut self, mark: u64) -> io::Result<()> {
        self.flush()?;
        self.writer.as_mut().map_or(Ok(()), |writer| writer.get_mut().set_len(mark))
    }

    /// Writes out what still waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}
