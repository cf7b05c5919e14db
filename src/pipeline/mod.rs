//! Sources → scorer → sinks.
//!
//! [`score_files`] scores finite files in event-time order, whatever their own order;
//! [`score_stream`] scores a stream as it comes. Both decode on one thread and judge on another,
//! with a bounded queue between them.

mod finite;
mod keeping;
mod order;
mod partitioned;
mod position;
mod reader;
mod stages;
mod stream;
mod summary;

use std::io;

use crate::model::Timestamp;
use crate::sinks::{ProduceError, SinkError};
use crate::sources::{Lag, SourceError};

pub use crate::sinks::DeadLetters;
pub use finite::{Finite, Results, score_files};
pub use keeping::Keep;
pub use partitioned::{Partitioned, score_partitions};
pub use position::{Claim, Claimant, Keeper, PositionError, Snapshot};
pub use reader::{Input, NamedReader, Stop};
pub use stages::{FoldRun, MergeRun, fold_partitions, merge_partials};
pub use stream::{Stream, score_stream};
pub use summary::Summary;

/// Why scoring stopped.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Results cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The position cannot be kept.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// The source is broken.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Partials cannot be sent.
    #[error(transparent)]
    Send(#[from] ProduceError),
    /// Temporary files cannot be used.
    #[error("cannot use a temporary file")]
    Temporary(#[from] io::Error),
    /// Dead letters cannot be written.
    #[error("cannot write the dead letters")]
    DeadLetters(#[source] SinkError),
    /// A spilled flow cannot be read back.
    #[error("cannot read back a flow from a temporary file")]
    Spill(#[from] postcard::Error),
}

/// Told while work goes on; called often, so it must be cheap.
pub trait Progress: Sync {
    /// So many flows were scored since the last call.
    fn scored(&self, flows: u64);
    /// Every window that ended at `time` or before is judged, and what followed is stored.
    fn judged_through(&self, _time: Timestamp) {}
    /// How far the reading is behind.
    fn behind(&self, _lag: Lag) {}
    /// The input turned out not to be in time order and is read again, sorted.
    fn sorting(&self) {}
}

/// Shows nothing.
pub struct Quiet;

impl Progress for Quiet {
    fn scored(&self, _flows: u64) {}
}
