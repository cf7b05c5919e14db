//! `backtest`: the alerts that the settings would have given over past flows.

use std::fmt::Write as _;
use std::fs;

use anyhow::{bail, ensure};
use serde_json::json;

use crate::cli::BacktestArgs;
use crate::config::Config;
use crate::evaluate::{Backtest, Found};
use crate::model::Timestamp;
use crate::sinks::printable;

use super::Outcome;
use super::backfill::rehearse;
use super::common::{grouped, print_line};
use super::evaluate::Runner;

/// Scores past flows and counts what came of it; stores nothing.
pub(super) fn backtest(config: &Config, args: &BacktestArgs) -> anyhow::Result<Outcome> {
    let (found, extent) = match args.files.is_empty() {
        true => from_store(config, args)?,
        false => from_files(config, args)?,
    };
    let backtest = Backtest::of(&found, args.from.unwrap_or(extent.0), args.to.unwrap_or(extent.1));
    let memory = peak_memory();
    match args.json {
        true => {
            let figures = json!({ "backtest": backtest, "peak_memory_bytes": memory });
            print_line(&figures.to_string())?;
        }
        false => print_line(&text(&backtest, memory))?,
    }
    Ok(Outcome::Done)
}

type FoundWithin = (Found, (Timestamp, Timestamp));

fn from_files(config: &Config, args: &BacktestArgs) -> anyhow::Result<FoundWithin> {
    if let (Some(from), Some(to)) = (args.from, args.to) {
        ensure!(from < to, "`--from` must lie before `--to`");
    }
    let (summary, found) = Runner::new(config, &[])?.score(&args.files)?;
    for problem in &summary.problems {
        eprintln!("problem: {}", printable(problem));
    }
    let (first, last) = summary.extent.unwrap_or_default();
    // The first alert begins with its window, before the first flow.
    let first = first.floor(config.windows.host_seconds);
    Ok((found, (first, last.plus_nanos(1))))
}

fn from_store(config: &Config, args: &BacktestArgs) -> anyhow::Result<FoundWithin> {
    let (Some(from), Some(to)) = (args.from, args.to) else {
        bail!("`--from` and `--to` say which indexed flows are scored");
    };
    Ok((rehearse(config, from, to)?, (from, to)))
}

/// The most memory that this process ever held, in bytes; `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

fn text(backtest: &Backtest, memory: Option<u64>) -> String {
    let Backtest { from, to, days, alerts, alerts_per_day, above_low_per_day, .. } = backtest;
    let mut text = format!(
        "{} alerts from {from} to {to} ({days:.2} days): {alerts_per_day:.1} a day, \
         {above_low_per_day:.1} above low.\n\n{:<24}{:<30}{:>8}{:>10}{:>9}\n",
        grouped(*alerts as u64),
        "KIND",
        "DETECTORS",
        "ALERTS",
        "ABOVE LOW",
        "A DAY",
    );
    for (kind, load) in &backtest.by_kind {
        let _ = writeln!(
            text,
            "{:<24}{:<30}{:>8}{:>10}{:>9.1}",
            kind.name(),
            load.detectors.join(", "),
            load.alerts,
            load.above_low,
            load.per_day,
        );
    }
    text.push_str("\nMost alerts:\n");
    for noisy in &backtest.noisiest {
        let kinds: Vec<_> =
            noisy.kinds.iter().map(|(kind, alerts)| format!("{kind} {alerts}")).collect();
        let _ = writeln!(
            text,
            "{:>8}  {} {}: {}",
            noisy.alerts,
            noisy.subject_type.name(),
            noisy.subject,
            kinds.join(", ")
        );
    }
    proposals(&mut text, backtest);
    if let Some(bytes) = memory {
        let _ = writeln!(text, "\nPeak memory: {} MiB", grouped(bytes >> 20));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Lines to paste first, then what repeats and should rather be looked at.
fn proposals(text: &mut String, backtest: &Backtest) {
    let (lines, others): (Vec<_>, Vec<_>) =
        backtest.proposals.iter().partition(|proposal| proposal.line.is_some());
    if lines.is_empty() {
        text.push_str("\nNothing harmless repeats on most days: no exceptions are proposed.\n");
    } else {
        text.push_str("\nThese repeat on most days. If they are harmless, paste under `alerts:`\n");
        text.push_str("exceptions:\n");
    }
    for proposal in lines {
        let (alerts, days, severity) = (proposal.alerts, proposal.days, proposal.severity);
        let line = proposal.line.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {line}  # {alerts} alerts on {days} days, at most {severity}");
    }
    for (place, proposal) in others.iter().enumerate() {
        if place == 0 {
            text.push_str("\nThese repeat too, but should be looked at before they are hidden:\n");
        }
        let (alerts, days, severity) = (proposal.alerts, proposal.days, proposal.severity);
        let (kind, subject) = (proposal.kind, &proposal.subject);
        let _ =
            writeln!(text, "  {kind} {subject}: {alerts} alerts on {days} days, up to {severity}");
    }
}
