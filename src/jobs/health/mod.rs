//! The hourly health check: was the last hour abnormal, and can its flows be trusted?
//!
//! ```text
//! store ─history─→ hours ─baseline, spike─→ findings about outliers ─┐
//!       ─pipeline─→ findings about ingest, exporters, sampling … ────┴→ HealthReport → document
//! ```
//!
//! Everything is judged by event time and from what the store holds: there is no state that a
//! restart could lose, and the same store gives the same verdict again. An hour without flows is a
//! gap: it is reported as such, it is no drop of outliers, and it is left out of what later hours
//! are compared with.

mod baseline;
mod exporters;
mod feeds;
mod history;
mod models;
mod pipeline;
mod report;
mod settings;
mod spike;
mod tail;
mod text;
mod told;
mod workers;

#[cfg(test)]
mod tests;

pub use baseline::Basis;
pub use feeds::tell_feeds;
pub use models::{ModelState, tell_models};
pub use report::{Figures, HealthFinding, HealthReport, HealthStatus};
pub use settings::HealthSettings;

use crate::model::{SettingError, Timestamp};
use crate::stores::{BulkItem, Namespace, Store, StoreError};
use history::{HOUR_SECONDS, History};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take the document.
    #[error("the store refused the health document: {reason}")]
    Refused {
        /// Why, for a person.
        reason: String,
    },
}

/// A check that was run and written down.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthRun {
    /// What it found.
    pub report: HealthReport,
    /// Whether this run wrote the document. `false` when the hour had been written down before, by
    /// an earlier run or another worker: then it has been mailed, too.
    pub is_first: bool,
}

/// Judges the last whole hour before `at`.
///
/// A run that is made up for hands in the moment at which it was due: windows after `at` are not
/// looked at, and the verdict is the one it would have been then.
///
/// # Errors
/// When a setting cannot be used or the store does not answer.
pub fn check(
    store: &dyn Store,
    namespace: &Namespace,
    settings: &HealthSettings,
    at: Timestamp,
) -> Result<HealthReport, HealthError> {
    settings.check()?;
    let zone = settings.zone()?;
    let hour = at.floor(HOUR_SECONDS as u32).plus_seconds(-HOUR_SECONDS);
    let history = History::read(store, namespace, hour, settings.baseline_days)?;
    let mut findings = spike::outliers(&history, zone, settings);
    let scope = pipeline::Scope { store, namespace, settings, hour, at };
    findings.extend(pipeline::findings(&scope, &history)?);
    let mut report = HealthReport::new(namespace.clone(), hour, at, findings);
    if let Some(checked) = &history.checked {
        report.flows = checked.flows as u64;
        report.outliers = checked.outliers;
    }
    Ok(report)
}

/// Runs [`check`] and creates the report's document, unless the hour has one.
///
/// # Errors
/// As [`check`]; also when the store does not take the document.
pub fn run_once(
    store: &dyn Store,
    namespace: &Namespace,
    settings: &HealthSettings,
    at: Timestamp,
) -> Result<HealthRun, HealthError> {
    let report = check(store, namespace, settings, at)?;
    let outcome = store.bulk(vec![report.to_document()])?;
    match outcome.items.into_iter().next() {
        Some(BulkItem::Created) => Ok(HealthRun { report, is_first: true }),
        Some(BulkItem::Duplicate) => Ok(HealthRun { report, is_first: false }),
        Some(BulkItem::Rejected { reason, .. }) => Err(HealthError::Refused { reason }),
        None => Err(HealthError::Refused { reason: "it gave no answer".to_owned() }),
    }
}
