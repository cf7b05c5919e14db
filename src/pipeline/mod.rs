//! Sources → scorer → sinks.
//!
//! [`score_files`] scores finite files in event-time order, whatever their own order;
//! [`score_stream`] scores a stream as it comes. Both decode on one thread and judge on another,
//! with a bounded queue between them.

mod deadletter;
mod finite;
mod order;
mod reader;
mod stream;
mod summary;

use std::io;

use crate::sinks::SinkError;

pub use deadletter::DeadLetters;
pub use finite::{Finite, Results, score_files};
pub use reader::{Input, NamedReader, Stop};
pub use stream::{Stream, score_stream};
pub use summary::Summary;

/// Why scoring stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Results cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Temporary files cannot be used.
    #[error("cannot use a temporary file")]
    Temporary(#[from] io::Error),
    /// Dead letters cannot be written.
    #[error("cannot write the dead letters")]
    DeadLetters(#[source] io::Error),
    /// A spilled flow cannot be read back.
    #[error("cannot read back a flow from a temporary file")]
    Spill(#[from] postcard::Error),
}

/// Told while work goes on; called often, so it must be cheap.
pub trait Progress: Sync {
    /// So many flows were scored since the last call.
    fn scored(&self, flows: u64);
    /// The input turned out not to be in time order and is read again, sorted.
    fn sorting(&self) {}
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn scored(&self, _flows: u64) {}
}
