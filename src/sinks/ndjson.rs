//! One JSON document a line.

use std::io::Write;

use super::{Document, Sink, SinkError};

/// Writes one JSON document a line.
pub struct NdjsonSink<W> {
    writer: W,
}

impl<W: Write> NdjsonSink<W> {
    /// Returns a sink that writes to `writer`; give it a buffered one.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<W: Write> Sink for NdjsonSink<W> {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        serde_json::to_writer(&mut self.writer, &document.body).map_err(std::io::Error::from)?;
        Ok(self.writer.write_all(b"\n")?)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(self.writer.flush()?)
    }
}
