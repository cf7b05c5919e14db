//! Logs of the worker, on standard error: lines for people, or ECS documents for machines.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, LogLevel, LoggingSettings};

use super::common::now;

/// Starts logging. A second start changes nothing.
pub(super) fn start(settings: &LoggingSettings) {
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let logging = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // Only a program that starts twice within one process sees the error.
    let _ = match settings.format {
        LogFormat::Text => logging.with_target(false).try_init(),
        LogFormat::Json => logging.event_format(EcsDocuments).try_init(),
    };
}

/// One ECS document a line: message, level and time where ECS has them, fields under `flowsentry`.
struct EcsDocuments;

impl<S, N> FormatEvent<S, N> for EcsDocuments
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        writeln!(writer, "{}", ecs_document(&now().to_string(), &level, fields.0))
    }
}

fn ecs_document(time: &str, level: &str, mut fields: Map<String, Value>) -> Value {
    let mut document = json!({
        "@timestamp": time,
        "log": { "level": level },
        "message": fields.remove("message").unwrap_or_default(),
        "ecs": { "version": "9.4.0" },
        "service": { "name": "flowsentry" },
    });
    if let Some(error) = fields.remove("error") {
        document["error"] = json!({ "message": error });
    }
    if !fields.is_empty() {
        document["flowsentry"] = Value::Object(fields);
    }
    document
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_an_ecs_document() {
        let fields = json!({"message": "job failed", "error": "disk full", "job": "report"});
        let Value::Object(fields) = fields else { unreachable!() };
        let document = ecs_document("2026-11-21T10:00:00.000Z", "error", fields);
        assert_eq!(document["log"]["level"], "error");
        assert_eq!(document["error"]["message"], "disk full");
        assert_eq!(document["flowsentry"], json!({"job": "report"}));
    }
}
