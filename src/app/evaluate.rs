//! `evaluate`: what is found against what is known to be there.

mod run;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::cli::{EvaluateArgs, EvaluateDetectionArgs, EvaluateSimulatedArgs, EvaluateWhat};
use crate::config::Config;
use crate::evaluate::{self, Attack, Capture, Evaluation, Presence, Run, Truth};
use crate::simulate::{self, AttackKind, Extent, Simulation};

use super::Outcome;
use super::collected::Collected;
use super::common::print_line;
use super::models;
use super::simulated::score_simulation;

pub(super) use run::Runner;

/// Share of the simulated episodes of a kind that must be found.
const LEAST_SHARE: f64 = 0.95;

/// Scores what is asked for and compares it with the truth.
pub(super) fn evaluate(config: &Config, args: &EvaluateArgs) -> anyhow::Result<Outcome> {
    let (runs, is_json) = match (&args.what, &args.model) {
        (Some(EvaluateWhat::Detection(args)), _) => (detection(config, args)?, args.json),
        (Some(EvaluateWhat::Simulated(args)), _) => (vec![simulated(config, args)?], args.json),
        (Some(EvaluateWhat::Published { data, json }), _) => return models::published(data, *json),
        (None, Some(model)) => return models::evaluate(config, model, &args.data, args.json),
        (None, None) => bail!("there is no model to evaluate"),
    };
    match is_json {
        true => print_line(&json!({ "runs": runs }).to_string())?,
        false => print_line(&text::text(&runs))?,
    }
    Ok(Outcome::Done)
}

fn detection(config: &Config, args: &EvaluateDetectionArgs) -> anyhow::Result<Vec<Run>> {
    let runner = Runner::new(config, &args.blacklist)?;
    for path in &args.data {
        ensure!(path.exists(), "`{}` is not there", path.display());
    }
    if args.truth == Path::new("column") {
        return labelled(&runner, &args.data);
    }
    let text = fs::read_to_string(&args.truth)
        .with_context(|| format!("reading the truth `{}`", args.truth.display()))?;
    let truth = Truth::parse(&text)
        .map_err(|problem| anyhow::anyhow!("`{}`: {problem}", args.truth.display()))?;
    match truth {
        Truth::Episodes(episodes) => {
            let attacks: Vec<Attack> = episodes.iter().map(Attack::from).collect();
            let files: Vec<_> = files_under(&args.data)?;
            Ok(vec![runner.episodes(&files, &attacks)?])
        }
        Truth::Captures(captures) => expected(&runner, &args.data, &captures, &args.truth),
    }
}

/// Every file with labels beside its flows is a run.
fn labelled(runner: &Runner<'_>, data: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for path in files_under(data)? {
        let capture = Capture { labels: true, ..Capture::default() };
        let run = runner.capture(&capture, std::slice::from_ref(&path));
        let was_named = data.contains(&path);
        match run {
            Ok(run) => runs.push(run),
            Err(problem) if was_named => return Err(problem),
            Err(problem) => eprintln!("left out: {problem:#}"),
        }
    }
    ensure!(!runs.is_empty(), "no file has flows with a column of labels");
    Ok(runs)
}

/// Every capture of the truth whose files are there is a run.
fn expected(
    runner: &Runner<'_>,
    data: &[PathBuf],
    captures: &[Capture],
    truth: &Path,
) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for capture in captures {
        let Some(paths) = data.iter().find_map(|data| capture.located(data)) else {
            if data.iter().any(|data| data.is_dir()) {
                eprintln!("skipped: {} is not there", run::names(&capture.files));
            }
            continue;
        };
        // A capture that cannot be read is told with the others.
        runs.push(runner.capture(capture, &paths).unwrap_or_else(|problem| Run {
            problems: vec![format!("{problem:#}")],
            ..run::empty(capture, &paths)
        }));
    }
    match runs.is_empty() {
        true => bail!("no file of `{}` is among the data", truth.display()),
        false => Ok(runs),
    }
}

fn simulated(config: &Config, args: &EvaluateSimulatedArgs) -> anyhow::Result<Run> {
    let simulation = Simulation::new(simulate::Config {
        seed: args.seed,
        extent: Extent::Hours(args.hours),
        flows_per_hour: args.flows_per_hour,
        attacks: AttackKind::parse_list(&args.attacks)?,
        episodes_per_kind: args.episodes,
        ..simulate::Config::default()
    })?;
    let attacks: Vec<Attack> = simulation.truth().iter().map(Attack::from).collect();
    let mut sink = Collected::default();
    let summary = score_simulation(config, simulation, &mut sink)?;
    let evaluation = Evaluation::of(&attacks, &[], &sink.0, false);
    let hosts = usize::try_from(simulate::Config::default().hosts)?;
    Ok(Run {
        set: "simulated".to_owned(),
        name: format!("seed {}", args.seed),
        files: Vec::new(),
        problems: summary.problems,
        flows: summary.counters.flows,
        extent: summary.extent,
        presence: Presence { hosts, host_days: hosts as f64 * args.hours / 24.0 },
        checks: evaluate::share_checks(&evaluation, LEAST_SHARE),
        evaluation: Some(evaluation),
        rank: None,
    })
}

/// Files as they are named, those of folders in order of their paths.
fn files_under(data: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in data {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let context = || format!("reading the folder `{}`", path.display());
        let entries: std::io::Result<Vec<_>> = fs::read_dir(path).with_context(context)?.collect();
        let mut inside: Vec<_> =
            entries.with_context(context)?.into_iter().map(|entry| entry.path()).collect();
        inside.sort();
        files.extend(files_under(&inside)?);
    }
    Ok(files)
}
