//! `demo`: 24 simulated hours through everything, without any service.

mod evaluate;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::{DemoArgs, Mode};
use crate::config::Config;
use crate::detect::{Blacklist, SharedList};
use crate::model::{Kind, Timestamp};
use crate::pipeline::{DeadLetters, Input, NamedReader, Quiet, Stream, Summary, score_stream};
use crate::simulate::{self, Episode, Extent, Simulation};
use crate::sinks::StoreSink;
use crate::stores::{Family, SearchRequest, Store};

use super::common::{self, ScorerFactory, grouped, make_folder, print_line};
use super::progress::Bar;
use super::simulate::write_records;
use super::{Outcome, health, report};
use evaluate::{Evaluation, FoundAlert, known_attacks};

/// Length of the simulation.
const HOURS: f64 = 24.0;

/// Simulates a day, scores it, checks health, writes the report, and says what was found.
pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<Outcome> {
    let config = demo_config(&args.out)?;
    let simulation = Simulation::new(simulate::Config {
        seed: args.seed,
        extent: Extent::Hours(HOURS),
        attacks: known_attacks(),
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
    let evaluation = Evaluation::of(&episodes, read_alerts(&config, &*store)?);
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

/// Sends the simulated records as bytes through a pipe into the ordinary path of a stream.
fn score(
    config: &Config,
    simulation: Simulation,
    store: &Arc<dyn Store>,
) -> anyhow::Result<Summary> {
    let context = common::detect_context(config, SharedList::default());
    let listed: Vec<String> = simulation.blacklist().iter().map(ToString::to_string).collect();
    context.blacklist.set(Arc::new(Blacklist::parse(listed.join("\n").as_bytes())));
    let factory = ScorerFactory { config, context, mode: Mode::Detect };
    let progress = Bar::new("scoring", Some(simulation.expected_flows()));
    let (reader, mut writer) = std::io::pipe().context("opening a pipe")?;
    let source: NamedReader = ("simulation".into(), Box::new(reader));
    let input = Input { readers: Mutex::new(vec![source]), ..Input::default() };
    let stream =
        Stream { input: &input, leap_seconds: config.windows.leap_seconds, progress: &progress };
    let mut sink = StoreSink::new(Arc::clone(store), config.namespace()?);
    let summary = thread::scope(|scope| -> anyhow::Result<Summary> {
        let simulating = scope.spawn(move || write_records(simulation, &mut writer, &Quiet));
        let summary =
            score_stream(&stream, &mut factory.make(), &mut sink, &mut DeadLetters::discarded())?;
        simulating.join().expect("the simulation does not panic").context("simulating")?;
        Ok(summary)
    })?;
    progress.clear();
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
fn read_alerts(config: &Config, store: &dyn Store) -> anyhow::Result<Vec<FoundAlert>> {
    let request = SearchRequest::new(Family::Alerts, config.namespace()?).size(10_000);
    let response = store.search(&request).context("reading the alerts back")?;
    Ok(response.hits.iter().filter_map(|hit| found_alert(&hit.source)).collect())
}

fn found_alert(document: &Value) -> Option<FoundAlert> {
    let alert = document.pointer("/flowsentry/alert")?;
    let time = |key: &str| alert.get(key)?.as_str()?.parse::<Timestamp>().ok();
    let hosts = document.pointer("/related/ip").and_then(Value::as_array);
    let hosts = hosts.into_iter().flatten().filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    Some(FoundAlert {
        kind: Kind::parse(alert.get("kind")?.as_str()?)?,
        first: time("first")?,
        last: time("last")?,
        hosts,
        subject: alert.pointer("/subject/value")?.as_str()?.to_owned(),
    })
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
        "false_alerts": evaluation.false_alerts.len(),
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
    for (kind, result) in &evaluation.by_kind {
        let _ = writeln!(text, "  {:<24}{:>8}{:>8}", kind.name(), result.hidden, result.found);
    }
    let _ = write!(
        text,
        "\n{} false alerts in {HOURS:.0} hours, {} anomalies in all.",
        evaluation.false_alerts.len(),
        grouped(counters.anomalies),
    );
    for alert in evaluation.false_alerts.iter().take(10) {
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
