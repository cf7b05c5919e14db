//! Results that wait until it is sure that they hold.
//!
//! A finite input is scored in the hope that it is in time order. Until its end nothing may leave:
//! should a record turn up too late, the results are thrown away and the input is sorted first.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom};

use tempfile::SpooledTempFile;

use crate::model::Alert;
use crate::scorer::Output;

use super::{Dataset, Document, Sink, SinkError};

/// Up to this size results wait in memory, then in an unnamed temporary file.
const MEMORY_BYTES: usize = 4 << 20;

/// Results in waiting. Of an alert only the last state is kept.
pub struct Spool {
    file: BufWriter<SpooledTempFile>,
    alerts: BTreeMap<String, Alert>,
}

impl Default for Spool {
    fn default() -> Self {
        let file = BufWriter::new(SpooledTempFile::new(MEMORY_BYTES));
        Self { file, alerts: BTreeMap::new() }
    }
}

impl Spool {
    /// Takes an output.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub fn push(&mut self, output: &Output) -> io::Result<()> {
        if let Output::Alert(alert) = output {
            self.alerts.insert(alert.id(), alert.clone());
            return Ok(());
        }
        let document = Document::of(output);
        let tag = if document.dataset == Dataset::Window { b"w" } else { b"a" };
        io::Write::write_all(&mut self.file, tag)?;
        serde_json::to_writer(&mut self.file, &document.body)?;
        io::Write::write_all(&mut self.file, b"\n")
    }

    /// The alerts as they are now, in the order of their first window.
    pub fn alerts(&self) -> Vec<&Alert> {
        let mut alerts: Vec<_> = self.alerts.values().collect();
        alerts.sort_by_key(|alert| (alert.first, alert.kind, alert.subject));
        alerts
    }

    /// Hands everything to `sink`: windows and anomalies in the order in which they came, then the
    /// alerts.
    ///
    /// # Errors
    /// When reading back or the sink fails.
    pub fn release(self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        let alerts: Vec<Document> = self
            .alerts()
            .into_iter()
            .map(|alert| Document::of(&Output::Alert(alert.clone())))
            .collect();
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let dataset = if line[0] == b'w' { Dataset::Window } else { Dataset::Anomaly };
            let body = serde_json::from_slice(&line[1..]).map_err(io::Error::from)?;
            sink.write(&Document { dataset, body })?;
        }
        alerts.iter().try_for_each(|document| sink.write(document))?;
        sink.flush()
    }
}
