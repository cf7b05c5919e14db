//! Models in the store: `models promote`, `models rollback`, `models list`.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::classify::ModelName;
use crate::cli::PromoteArgs;
use crate::config::Config;
use crate::learn::gate::{Verdict, differences, judge};
use crate::learn::table::Table;
use crate::model::hex;
use crate::models::{Model, shipped};
use crate::registry::{Promotion, Registry};
use crate::sinks::printable;
use crate::stores::Store;

use super::super::Outcome;
use super::super::common::{now, open_store, open_store_to_write, print_line};
use super::super::exception::account;

/// A model with the bytes of its file.
pub(in super::super) struct Opened {
    pub(in super::super) model: Model,
    pub(in super::super) sha256: String,
    bytes: Vec<u8>,
}

impl Opened {
    pub(in super::super) fn from_bytes(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let model = Model::from_bytes(&bytes)?;
        Ok(Self { model, sha256: hex(&Sha256::digest(&bytes)), bytes })
    }

    /// Opens a model; `registry` is asked for where the store has it.
    pub(in super::super) fn open(
        name: &ModelName,
        registry: impl FnOnce() -> anyhow::Result<Registry>,
    ) -> anyhow::Result<Self> {
        let opened = || -> anyhow::Result<Self> {
            let bytes = match name {
                ModelName::Shipped => shipped::FILE.to_vec(),
                ModelName::File(path) => fs::read(path).context("reading the file")?,
                ModelName::Alias(alias) => {
                    let registry = registry()?;
                    let current = registry.current(alias)?;
                    let current = current.context("no model was promoted under this alias")?;
                    registry.get(&current.sha256)?
                }
            };
            Self::from_bytes(bytes)
        };
        opened().with_context(|| format!("the model `{name}`"))
    }
}

/// The models of the settings' namespace in a store.
pub(in super::super) fn registry_on(
    config: &Config,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Registry> {
    Ok(Registry::new(Arc::clone(store), config.namespace()?))
}

/// Opens a model as a command does.
pub(in super::super) fn open_model(config: &Config, name: &ModelName) -> anyhow::Result<Opened> {
    Opened::open(name, || registry_on(config, &open_store(config)?))
}

/// Changes when the model of a name does.
pub(in super::super) fn key(
    config: &Config,
    name: &ModelName,
    store: &Arc<dyn Store>,
) -> anyhow::Result<String> {
    Ok(match name {
        ModelName::Shipped => String::new(),
        ModelName::File(path) => {
            let file = path.metadata().with_context(|| format!("the model `{name}`"))?;
            format!("{:?} {}", file.modified().ok(), file.len())
        }
        ModelName::Alias(alias) => {
            let current = registry_on(config, store)?.current(alias)?;
            current.with_context(|| format!("no model was promoted as `{alias}`"))?.sha256
        }
    })
}

/// What comes of asking for a promotion.
pub(in super::super) struct Promoted {
    /// What was noted; `None` when the alias stands for the same model already.
    pub(in super::super) promotion: Option<Promotion>,
    /// What the gate said; `None` when there was nothing to compare with.
    pub(in super::super) verdict: Option<Verdict>,
}

/// What a promotion is asked for with.
pub(in super::super) struct Asked<'a> {
    pub(in super::super) alias: &'a str,
    /// Labelled rows, compressed; those that are kept when absent.
    pub(in super::super) evaluation: Option<Vec<u8>>,
    pub(in super::super) worse_by: f64,
    /// Whether a refusal is only noted.
    pub(in super::super) force: bool,
    pub(in super::super) comment: &'a str,
}

/// Lets an alias stand for a model if the gate lets it pass.
pub(in super::super) fn promote_opened(
    registry: &Registry,
    candidate: &Opened,
    asked: Asked<'_>,
) -> anyhow::Result<Promoted> {
    let current = registry.current(asked.alias)?;
    let is_same = current.as_ref().is_some_and(|current| current.sha256 == candidate.sha256);
    if is_same && asked.evaluation.is_none() {
        return Ok(Promoted { promotion: None, verdict: None });
    }
    let kept = current.as_ref().and_then(|current| current.evaluation.clone());
    let verdict = match &current {
        None => {
            asked.evaluation.as_ref().map(|rows| rows_of(&candidate.model, rows)).transpose()?;
            None
        }
        Some(current) => Some(gate(registry, current, candidate, &asked)?),
    };
    let reasons = verdict.as_ref().map_or(String::new(), |verdict| verdict.reasons.join("; "));
    if !reasons.is_empty() && !asked.force {
        bail!("`{}` stays as it is: {}", asked.alias, printable(&reasons));
    }
    let comment = [
        asked.comment.to_owned(),
        match reasons.is_empty() {
            true => String::new(),
            false => format!("forced, although {reasons}"),
        },
    ];
    let evaluation = match &asked.evaluation {
        Some(rows) => Some(registry.put(rows, now())?),
        None => kept,
    };
    registry.put(&candidate.bytes, now())?;
    let promotion = Promotion {
        alias: asked.alias.to_owned(),
        revision: current.map_or(1, |current| current.revision + 1),
        sha256: candidate.sha256.clone(),
        at: now(),
        by: account(),
        comment: comment.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        back_to: None,
        evaluation,
    };
    registry.promote(&promotion)?;
    Ok(Promoted { promotion: Some(promotion), verdict })
}

/// Compares a candidate with the model in use.
fn gate(
    registry: &Registry,
    current: &Promotion,
    candidate: &Opened,
    asked: &Asked<'_>,
) -> anyhow::Result<Verdict> {
    let refused = |reasons| Ok(Verdict { reasons, figures: Vec::new() });
    let in_use = Opened::from_bytes(registry.get(&current.sha256)?).context("the model in use")?;
    let differing = differences(in_use.model.schema(), candidate.model.schema());
    if !differing.is_empty() {
        return refused(differing);
    }
    let rows = match (&asked.evaluation, &current.evaluation) {
        (Some(rows), _) => rows.clone(),
        (None, Some(kept)) => registry.get(kept)?,
        (None, None) => {
            return refused(vec![
                "there are no rows to evaluate models of this alias on: name some by `--evaluation`"
                    .to_owned(),
            ]);
        }
    };
    let table = rows_of(&in_use.model, &rows)?;
    Ok(judge(&in_use.model, &candidate.model, &table, asked.worse_by))
}

/// Reads kept rows as a model wants them.
fn rows_of(model: &Model, compressed: &[u8]) -> anyhow::Result<Table> {
    let table = Table::read(model.schema(), GzDecoder::new(compressed))
        .context("reading the rows to evaluate on")?;
    ensure!(!table.is_empty(), "the rows to evaluate on have no known label");
    Ok(table)
}

/// `models promote`.
pub(super) fn promote(config: &Config, args: &PromoteArgs) -> anyhow::Result<Outcome> {
    let worse_by = args.worse_by.unwrap_or(config.models.worse_by);
    ensure!((0.0..=1.0).contains(&worse_by), "`--worse-by` must lie between 0 and 1");
    let store = open_store_to_write(config)?;
    let registry = registry_on(config, &store)?;
    let candidate = Opened::open(&args.model, || registry_on(config, &store))?;
    let schema = candidate.model.schema().name.clone();
    let asked = Asked {
        alias: args.alias.as_deref().unwrap_or(&schema),
        evaluation: read_evaluation(args.evaluation.as_deref())?,
        worse_by,
        force: args.force,
        comment: &args.comment,
    };
    let alias = asked.alias.to_owned();
    let promoted = promote_opened(&registry, &candidate, asked)?;
    store.flush().context("flushing the store")?;
    for line in lines(&alias, &candidate.sha256, &promoted) {
        print_line(&line)?;
    }
    Ok(Outcome::Done)
}

/// What came of it, for a person.
pub(in super::super) fn lines(alias: &str, sha256: &str, promoted: &Promoted) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(verdict) = promoted.verdict.as_ref().filter(|verdict| !verdict.figures.is_empty()) {
        lines.push(format!("{:20}  {:>8}  {:>8}", "figure", "in use", "new"));
        lines.extend(
            verdict
                .figures
                .iter()
                .map(|it| format!("{:20}  {:>8.4}  {:>8.4}", it.name, it.current, it.candidate)),
        );
    }
    let version = &sha256[..16.min(sha256.len())];
    lines.push(match &promoted.promotion {
        Some(promotion) => {
            format!("{alias}: revision {} is model {version}", promotion.revision)
        }
        None => format!("{alias}: model {version} is in use already"),
    });
    lines
}

/// Rows of a file, compressed as they are kept.
fn read_evaluation(path: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(path) = path else { return Ok(None) };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut rows = Vec::new();
    super::open(path)?
        .read_to_end(&mut rows)
        .with_context(|| format!("reading `{}`", path.display()))?;
    encoder.write_all(&rows).context("compressing rows")?;
    Ok(Some(encoder.finish().context("compressing rows")?))
}

/// `models rollback`.
pub(super) fn rollback(config: &Config, alias: &str, to: Option<u64>) -> anyhow::Result<Outcome> {
    let store = open_store_to_write(config)?;
    let registry = registry_on(config, &store)?;
    let history = registry.history(alias)?;
    let Some(current) = history.first() else {
        bail!("no model was promoted under `{}`", printable(alias));
    };
    let target = match to {
        Some(revision) => history.iter().find(|one| one.revision == revision),
        // Who goes back twice goes back two models, not to and fro.
        None => {
            let from = current.back_to.unwrap_or(current.revision);
            history.iter().find(|one| {
                one.revision < from && one.back_to.is_none() && one.sha256 != current.sha256
            })
        }
    };
    let target = target.with_context(|| match to {
        Some(revision) => format!("`{alias}` has no revision {revision}"),
        None => format!("`{alias}` stood for no other model before"),
    })?;
    // Nobody goes back to what cannot be used.
    Opened::from_bytes(registry.get(&target.sha256)?).context("the model to go back to")?;
    let promotion = Promotion {
        revision: current.revision + 1,
        at: now(),
        by: account(),
        comment: format!("back to revision {}", target.revision),
        back_to: Some(target.revision),
        evaluation: current.evaluation.clone(),
        ..target.clone()
    };
    registry.promote(&promotion)?;
    store.flush().context("flushing the store")?;
    let version = &target.sha256[..16.min(target.sha256.len())];
    let (revision, old) = (promotion.revision, target.revision);
    print_line(&format!("{alias}: revision {revision} is model {version} of revision {old}"))?;
    Ok(Outcome::Done)
}

/// `models list` of the store.
pub(super) fn list(config: &Config) -> anyhow::Result<String> {
    let registry = registry_on(config, &open_store(config)?)?;
    let aliases = registry.aliases()?;
    if aliases.is_empty() {
        return Ok("no model was promoted: `flowsentry models promote MODEL`; `flowsentry models list DIR` shows the files of a folder".to_owned());
    }
    let mut lines = vec![format!(
        "{:16}  {:>8}  {:16}  {:24}  {:12}  {}",
        "alias", "revision", "model", "since", "by", "comment"
    )];
    for alias in aliases {
        for (n, one) in registry.history(&alias.alias)?.iter().enumerate() {
            let name = if n == 0 { alias.alias.as_str() } else { "" };
            let version = &one.sha256[..16.min(one.sha256.len())];
            let since = one.at.floor(1).to_string();
            let line = format!(
                "{name:16}  {:>8}  {version:16}  {since:24}  {:12}  {}",
                one.revision, one.by, one.comment
            );
            lines.push(printable(line.trim_end()).to_string());
        }
    }
    Ok(lines.join("\n"))
}
