//! Lines for a person at a terminal.

use std::io::Write;

use serde_json::Value;

use super::{Dataset, Document, Sink, SinkError};

/// Writes one aligned line per document.
pub struct TableSink<W> {
    writer: W,
    has_header: bool,
}

impl<W: Write> TableSink<W> {
    /// Returns a sink that writes to `writer`; give it a buffered one.
    pub fn new(writer: W) -> Self {
        Self { writer, has_header: false }
    }
}

impl<W: Write> Sink for TableSink<W> {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        if !self.has_header {
            self.has_header = true;
            writeln!(
                self.writer,
                "{:<20} {:<8} {:<9} {:>5}  WHAT",
                "TIME", "WHAT IS", "SEVERITY", "SCORE"
            )?;
        }
        let time = document.text("/@timestamp").get(..19).unwrap_or_default().replace('T', " ");
        let (word, object) = match document.dataset {
            Dataset::Window => ("window", "/flowsentry/window"),
            Dataset::Anomaly => ("anomaly", "/flowsentry/anomaly"),
            Dataset::Alert => ("alert", "/flowsentry/alert"),
        };
        let grade = document.text(&format!("{object}/grade"));
        let score = document.body.pointer(&format!("{object}/score")).and_then(Value::as_f64);
        let score = score.map_or(String::new(), |score| format!("{score:.0}"));
        let text = printable(&what(document));
        writeln!(self.writer, "{time:<20} {word:<8} {grade:<9} {score:>5}  {text}")?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(self.writer.flush()?)
    }
}

fn what(document: &Document) -> String {
    match document.dataset {
        Dataset::Anomaly => document.text("/event/reason").to_owned(),
        Dataset::Alert => {
            let kind = document.text("/flowsentry/alert/kind");
            let count = document.body.pointer("/flowsentry/alert/count").and_then(Value::as_u64);
            format!("{kind} ×{}: {}", count.unwrap_or(0), document.text("/event/reason"))
        }
        Dataset::Window => {
            let subject_type = document.text("/flowsentry/window/subject/type");
            let subject = document.text("/flowsentry/window/subject/value");
            let features = document.body.pointer("/flowsentry/window/features");
            let features = features.and_then(Value::as_object).into_iter().flatten();
            let features: Vec<_> =
                features.map(|(name, value)| format!("{name}={value}")).collect();
            format!("{subject_type} {subject} {}", features.join(" "))
        }
    }
}

/// Returns the text with everything replaced that would steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_names_time_severity_score_and_reason_and_steers_no_terminal() {
        let mut bytes = Vec::new();
        let mut sink = TableSink::new(&mut bytes);
        let body = json!({
            "@timestamp": "2026-11-21T10:00:00.000Z",
            "event": {"reason": "10.0.0.1 tried \u{1b}[31m150 ports."},
            "flowsentry": {"anomaly": {"score": 72.4, "grade": "high"}},
        });
        sink.write(&Document { dataset: Dataset::Anomaly, body }).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with("2026-11-21 10:00:00  anomaly  high         72  10.0.0.1 tried \u{fffd}[31m150 ports.\n"), "{text}");
    }
}
