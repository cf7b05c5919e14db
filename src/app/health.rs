//! `health`: the last whole hour, judged.

use std::sync::Arc;

use anyhow::Context;

use crate::cli::HealthArgs;
use crate::config::Config;
use crate::jobs::{HealthReport, health};
use crate::model::Timestamp;
use crate::stores::Store;

use super::Outcome;
use super::common::{now, open_store_to_write, print_line};

/// Checks and prints; the exit code is the verdict.
pub(super) fn health(config: &Config, args: &HealthArgs) -> anyhow::Result<Outcome> {
    let store = open_store_to_write(config)?;
    let report = check_at(config, &store, args.at.unwrap_or_else(now))?.0;
    let text = match args.json {
        true => serde_json::to_string_pretty(&report).context("writing the result as JSON")?,
        false => report.to_string(),
    };
    print_line(text.trim_end())?;
    Ok(Outcome::Code(report.exit_code()))
}

/// The result of a check.
pub(super) struct Checked(HealthReport);

impl Checked {
    /// The verdict on one line.
    pub(super) fn line(&self) -> &str {
        self.0.summary()
    }
}

/// Judges the whole hour before `at` and keeps the result in the store.
pub(super) fn check_at(
    config: &Config,
    store: &Arc<dyn Store>,
    at: Timestamp,
) -> anyhow::Result<Checked> {
    let run = health::run_once(&**store, &config.namespace()?, &config.health, at)
        .context("checking the health")?;
    Ok(Checked(run.report))
}
