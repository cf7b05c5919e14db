//! Where results go: documents to standard output, to a store, to a spool.

mod enriched;
mod kafka;
mod letters;
mod ndjson;
mod patient;
mod since;
mod spool;
mod store;
mod table;

use std::io;

use serde_json::Value;

use crate::model::{Timestamp, alert_document, anomaly_document, dataset};
use crate::scorer::Output;

pub use enriched::EnrichedSink;
pub use kafka::{KafkaProducer, ProduceError};
pub use letters::{DeadLetters, LetterFile, LetterIndex, LetterPlace, LetterTopic};
pub use ndjson::NdjsonSink;
pub use patient::{PatientSink, until_done};
pub use since::{Earlier, SinceSink};
pub use spool::Spool;
pub use store::{Refused, StoreSink};
pub use table::{TableSink, printable};

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dataset {
    /// Numbers of a subject over a window.
    Window,
    /// An anomaly.
    Anomaly,
    /// An alert.
    Alert,
}

impl Dataset {
    /// The value of `event.dataset`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Window => dataset::WINDOW,
            Self::Anomaly => dataset::ANOMALY,
            Self::Alert => dataset::ALERT,
        }
    }
}

/// One document to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is about.
    pub dataset: Dataset,
    /// The ECS document.
    pub body: Value,
}

impl Document {
    /// Returns the document of an output of the scorer.
    pub fn of(output: &Output) -> Self {
        match output {
            Output::Window(summary) => Self { dataset: Dataset::Window, body: summary.document() },
            Output::Anomaly(anomaly) => {
                Self { dataset: Dataset::Anomaly, body: anomaly_document(anomaly) }
            }
            Output::Alert(alert) => Self { dataset: Dataset::Alert, body: alert_document(alert) },
        }
    }

    /// The id that the input decides.
    pub fn id(&self) -> &str {
        self.text("/event/id")
    }

    /// The event time; decides on the index.
    pub fn time(&self) -> Timestamp {
        self.text("/@timestamp").parse().unwrap_or_default()
    }

    /// The text at a JSON pointer, empty when there is none.
    fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Writing failed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The output cannot be written.
    #[error("cannot write the results")]
    Write(#[from] io::Error),
    /// The store failed.
    #[error("cannot store the results")]
    Store(#[from] crate::stores::StoreError),
    /// The brokers failed.
    #[error(transparent)]
    Send(#[from] ProduceError),
    /// The store refused documents for good; all others are written.
    #[error(
        "the store refused {} documents for good, all others are written; the first: {}",
        .0.count, .0.reasons.join("; ")
    )]
    Refused(Refused),
    /// The store has no time for documents now.
    #[error(
        "the store did not take {count} documents now ({reason}): try again later, what is written \
         is not written twice"
    )]
    Busy {
        /// How many.
        count: usize,
        /// Why the first one.
        reason: String,
    },
}

/// Takes documents in order.
pub trait Sink {
    /// Writes one document, maybe not at once.
    fn write(&mut self, document: &Document) -> Result<(), SinkError>;

    /// Writes everything that still waits.
    fn flush(&mut self) -> Result<(), SinkError>;
}
