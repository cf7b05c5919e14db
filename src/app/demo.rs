//! `demo`: 24 simulated hours through everything, without any service.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::DemoArgs;
use crate::config::Config;
use crate::evaluate::{Attack, Evaluation, Found};
use crate::model::Timestamp;
use crate::pipeline::Summary;
use crate::simulate::{self, AttackKind, Episode, Extent, Simulation};
use crate::sinks::StoreSink;
use crate::stores::{Family, SearchRequest, Store};

use super::common::{self, grouped, make_folder, print_line};
use super::simulated::score_simulation;
use super::{Outcome, health, report};

/// Length of the simulation.
const HOURS: f64 = 24.0;
/// What is hidden.
const ATTACKS: [AttackKind; 4] = [
    AttackKind::PortScanVertical,
    AttackKind::PortScanHorizontal,
    AttackKind::PortScanSlow,
    AttackKind::Blacklist,
];

/// Simulates a day, scores it, checks health, writes the report, and says what was found.
pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<Outcome> {
    let config = demo_config(&args.out)?;
    let simulation = Simulation::new(simulate::Config {
        seed: args.seed,
        extent: Extent::Hours(HOURS),
        attacks: ATTACKS.to_vec(),
        ..simulate::Config::default()
    })?;
    let episodes = simulation.truth().to_vec();
    let store = common::open_store(&config)?;
    let begun = Instant::now();
    let summary = score(&config, simulation, &store)?;
    let seconds = begun.elapsed().as_secs_f64();
    let Some((first, end)) = summary.extent else { bail!("the simulation gave no flows") };
    let health = check_every_hour(&config, &store, first, end)?;
    let day = end.plus_seconds(-1).to_utc().date_naive();
    let written =
        report::write_report(&config, &store, day, &facts(&summary), end, &config.report_path())?;
    let attacks: Vec<Attack> = episodes.iter().map(Attack::from).collect();
    let evaluation = Evaluation::of(&attacks, &[], &read_alerts(&config, &*store)?, false);
    if args.json {
        print_line(&figures(&evaluation, &summary, seconds, &written).to_string())?;
    } else {
        print_line(&text(&evaluation, &episodes, &summary, seconds, &health, &written))?;
    }
    Ok(Outcome::Done)
}

/// The settings of a demo: everything in one folder, which starts empty.
fn demo_config(out: &Path) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.path.data = out.to_owned();
    config.report.path = Some(out.to_owned());
    make_folder(out)?;
    let store = config.store_path();
    if store.exists() {
        std::fs::remove_dir_all(&store).with_context(|| {
            format!("removing the store of an earlier demo, `{}`", store.display())
        })?;
    }
    Ok(config)
}

/// Scores the simulation into the store.
fn score(
    config: &Config,
    simulation: Simulation,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Summary> {
    let mut sink = StoreSink::new(Arc::clone(store), config.namespace()?);
    let summary = score_simulation(config, simulation, &mut sink)?;
    sink.verdict()?;
    Ok(summary)
}

/// Judges every whole hour, as the schedule would have, and returns the last verdict.
fn check_every_hour(
    config: &Config,
    store: &Arc<dyn Store>,
    first: Timestamp,
    end: Timestamp,
) -> anyhow::Result<health::Checked> {
    const HOUR: u32 = 3_600;
    let last = end.plus_seconds(1).floor(HOUR);
    let mut due = first.floor(HOUR).plus_seconds(i64::from(HOUR));
    while due < last {
        health::check_at(config, store, due)?;
        due = due.plus_seconds(i64::from(HOUR));
    }
    health::check_at(config, store, last)
}

/// Reads the alerts back from the store, as any reader would.
fn read_alerts(config: &Config, store: &dyn Store) -> anyhow::Result<Found> {
    let request = SearchRequest::new(Family::Alerts, config.namespace()?).size(10_000);
    let response = store.search(&request).context("reading the alerts back")?;
    let mut found = Found::default();
    response.hits.iter().for_each(|hit| found.note(&hit.source));
    Ok(found)
}

/// Pipeline facts for the report.
fn facts(summary: &Summary) -> Vec<(String, String)> {
    common::summary_facts(summary)
}

fn figures(
    evaluation: &Evaluation,
    summary: &Summary,
    seconds: f64,
    report: &report::Written,
) -> Value {
    json!({
        "episodes_hidden": evaluation.hidden(),
        "episodes_found": evaluation.found(),
        "false_alerts": evaluation.outside.len(),
        "simulated_hours": HOURS,
        "flows": summary.counters.flows,
        "flows_per_second": (summary.counters.flows as f64 / seconds).round(),
        "report": report.html,
    })
}

fn text(
    evaluation: &Evaluation,
    episodes: &[Episode],
    summary: &Summary,
    seconds: f64,
    health: &health::Checked,
    report: &report::Written,
) -> String {
    let counters = &summary.counters;
    let mut text = format!(
        "Simulated {HOURS:.0} hours of a network with {} attacks hidden in {} flows,\n\
         scored them in {seconds:.1} s ({} flows/s) and found {} of {}.\n\n  \
         {:<24}{:>8}{:>8}\n",
        episodes.len(),
        grouped(counters.flows),
        grouped((counters.flows as f64 / seconds) as u64),
        evaluation.found(),
        evaluation.hidden(),
        "attack",
        "hidden",
        "found",
    );
    for (name, result) in &evaluation.by_name {
        let _ = writeln!(text, "  {name:<24}{:>8}{:>8}", result.hidden, result.found);
    }
    let _ = write!(
        text,
        "\n{} false alerts in {HOURS:.0} hours, {} anomalies in all.",
        evaluation.outside.len(),
        grouped(counters.anomalies),
    );
    for alert in evaluation.outside.iter().take(10) {
        let _ = write!(text, "\n  {} {} {}", alert.first, alert.kind, alert.subject);
    }
    let _ = write!(text, "\n\nHealth of the last hour: {}", health.line());
    let paths: Vec<(&str, &PathBuf)> =
        vec![("as a page", &report.html), ("as a mail", &report.eml), ("as figures", &report.json)];
    let _ = write!(text, "\n\nThe report of the day:");
    for (what, path) in paths {
        let _ = write!(text, "\n  {what:<12}{}", path.display());
    }
    text
}
