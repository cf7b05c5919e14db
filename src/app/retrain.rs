//! `retrain`: learns models anew, and puts those to use that pass the gate.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tracing::{info, warn};

use super::Outcome;
use super::common::{open_store_to_write, print_line};
use super::models::{Asked, Lesson, Opened, learn_anew, lines, promote_opened, registry_on};
use crate::classify::RetrainSettings;
use crate::cli::{RetrainArgs, RowsArgs};
use crate::config::Config;
use crate::stores::Store;

/// Does it now.
pub(super) fn retrain(config: &Config, args: &RetrainArgs) -> anyhow::Result<Outcome> {
    let entries = &config.models.retrain;
    ensure!(!entries.is_empty(), "there is nothing to learn anew: set `models.retrain`");
    for alias in &args.aliases {
        ensure!(
            entries.iter().any(|entry| entry.alias == *alias),
            "`{alias}` is not under `models.retrain`"
        );
    }
    let store = open_store_to_write(config)?;
    let mut failed = 0;
    for entry in entries {
        if !args.aliases.is_empty() && !args.aliases.contains(&entry.alias) {
            continue;
        }
        match one(config, &store, entry) {
            Ok(told) => told.iter().try_for_each(|line| print_line(line))?,
            Err(error) => {
                eprintln!("{}: {error:#}", entry.alias);
                failed += 1;
            }
        }
    }
    store.flush().context("flushing the store")?;
    if failed > 0 {
        bail!("{failed} of {} models were not replaced", entries.len());
    }
    Ok(Outcome::Done)
}

/// Does it by the clock: what fails is logged, and tried again at the next time.
pub(super) fn by_the_clock(config: &Config, store: &Arc<dyn Store>) {
    for entry in &config.models.retrain {
        let alias = &entry.alias;
        match one(config, store, entry) {
            Ok(told) => info!(%alias, outcome = %told.join("; "), "a model was learned anew"),
            Err(error) => {
                warn!(%alias, error = %format!("{error:#}"), "a model was learned anew and is not used");
            }
        }
    }
}

/// Learns one model; returns what came of it, for a person.
fn one(
    config: &Config,
    store: &Arc<dyn Store>,
    entry: &RetrainSettings,
) -> anyhow::Result<Vec<String>> {
    let rows = RowsArgs { schema: entry.schema.clone(), data: entry.data.clone() };
    let commit = concat!("flowsentry ", env!("CARGO_PKG_VERSION"));
    let model = learn_anew(&Lesson {
        rows: &rows,
        normal: &[],
        distinct: false,
        params: entry.params.as_deref(),
        seed: None,
        commit,
    })?;
    let candidate = Opened::from_bytes(model.to_bytes()?)?;
    let asked = Asked {
        alias: &entry.alias,
        evaluation: None,
        worse_by: config.models.worse_by,
        force: false,
        comment: "learned anew",
    };
    let promoted = promote_opened(&registry_on(config, store)?, &candidate, asked)?;
    Ok(lines(&entry.alias, &candidate.sha256, &promoted))
}
