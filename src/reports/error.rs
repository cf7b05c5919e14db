//! What can go wrong between the store and the finished report.

use std::path::PathBuf;

use crate::charts::PaintError;
use crate::stores::StoreError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store did not answer.
    #[error("collecting the report: {0}")]
    Store(#[from] StoreError),
    /// A template does not parse, or names something that the report does not have.
    #[error("template `{file}`, line {line}: {reason}")]
    Template {
        /// File name, with its folder when it is an override.
        file: String,
        /// Line, from 1; 0 when the engine does not say.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The folder of overrides holds a template that no report uses.
    #[error("unknown template `{file}` (templates are {known})")]
    UnknownTemplate {
        /// The file.
        file: String,
        /// Names that may be overridden.
        known: String,
    },
    /// A template could not be read.
    #[error("reading the template `{path}`: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A chart could not be painted.
    #[error("painting the chart `{id}`: {source}")]
    Chart {
        /// Which chart.
        id: &'static str,
        /// What went wrong.
        source: PaintError,
    },
}
