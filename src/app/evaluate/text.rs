//! Tables for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::evaluate::{AttackOutcome, Evaluation, Least, Run, WindowScores};
use crate::model::Kind;
use crate::sinks::printable;

use crate::app::common::grouped;

/// Outside alerts that are listed per run.
const LISTED: usize = 10;

/// Returns the runs one by one, then all together by data set and kind.
pub(super) fn text(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        one(&mut text, run);
    }
    if runs.len() > 1 {
        together(&mut text, runs);
    }
    text.truncate(text.trim_end().len());
    printable_lines(&text)
}

/// Names come from files; line ends are ours.
fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn one(text: &mut String, run: &Run) {
    let _ = writeln!(text, "{}", run.name);
    for problem in &run.problems {
        let _ = writeln!(text, "  problem    {problem}");
    }
    let Some(evaluation) = &run.evaluation else {
        text.push('\n');
        return;
    };
    let _ = writeln!(
        text,
        "  {} flows, {:.1} hours, {} own hosts ({:.2} host-days)",
        grouped(run.flows),
        run.days() * 24.0,
        run.presence.hosts,
        run.presence.host_days,
    );
    attacks(text, evaluation);
    evaluation.windows.iter().for_each(|scores| windows(text, scores));
    let rate = run.outside().len() as f64 / run.presence.host_days.max(f64::MIN_POSITIVE);
    let _ = writeln!(
        text,
        "  alerts     {} in all, {} outside of attacks ({rate:.2} a host-day), {} about background",
        grouped(evaluation.alerts as u64),
        evaluation.outside.len(),
        evaluation.background_alerts,
    );
    for alert in evaluation.outside.iter().take(LISTED) {
        let (first, kind, severity) = (alert.first, alert.kind, alert.severity);
        let _ = writeln!(text, "             {first} {kind} {} {severity}", alert.subject);
    }
    if evaluation.outside.len() > LISTED {
        let _ = writeln!(text, "             … and {} more", evaluation.outside.len() - LISTED);
    }
    for check in run.checks.iter().filter(|check| !check.is_met) {
        let _ = writeln!(text, "  NOT MET    {}: {}", check.what, check.detail);
    }
    text.push('\n');
}

fn attacks(text: &mut String, evaluation: &Evaluation) {
    for (name, outcome) in &evaluation.by_name {
        let of = evaluation.attacks.iter().filter(|attack| &attack.name == name);
        let mut by = BTreeMap::<Kind, usize>::new();
        of.flat_map(|attack| &attack.found_by).for_each(|kind| *by.entry(*kind).or_default() += 1);
        let by: Vec<_> = by.keys().map(|kind| kind.name()).collect();
        let latency = latency(outcome.median_latency_seconds);
        let _ = writeln!(
            text,
            "  attack     {name}: {} of {} found{}{}{}{latency}",
            outcome.found,
            outcome.hidden,
            if by.is_empty() { "" } else { " by " },
            by.join(", "),
            if outcome.is_line {
                format!(", {} have an anomaly", outcome.noticed)
            } else {
                String::new()
            },
        );
        let missed = evaluation.attacks.iter().filter(|attack| &attack.name == name);
        for attack in missed.filter(|attack| is_missed(attack)).take(LISTED) {
            let seen: Vec<_> = attack.noticed_by.iter().map(|kind| kind.name()).collect();
            let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
            let _ = writeln!(text, "             missed {}: anomalies: {seen}", attack.begins);
        }
    }
}

fn is_missed(attack: &AttackOutcome) -> bool {
    if attack.is_line { !attack.is_noticed } else { !attack.is_found() }
}

fn latency(seconds: Option<f64>) -> String {
    seconds.map_or(String::new(), |seconds| {
        format!(", after {seconds:.0} s ({:.0} windows)", (seconds / 60.0).ceil())
    })
}

fn windows(text: &mut String, scores: &WindowScores) {
    let percent = |share: Option<f64>| {
        share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    let which = match scores.least {
        Least::Low => "all anomalies",
        Least::Medium => "those above low",
    };
    let _ = writeln!(
        text,
        "  {:>4} s     {which}: recall {} of {} (source, window), precision {} of {} (subject, window)",
        scores.seconds,
        percent(scores.recall()),
        scores.malicious,
        percent(scores.precision()),
        scores.alarmed - scores.background,
    );
}

/// A row per data set and kind.
fn together(text: &mut String, runs: &[Run]) {
    #[derive(Default)]
    struct Row {
        attacks: usize,
        found: usize,
        alerts: usize,
        outside: usize,
    }
    let mut rows = BTreeMap::<(&str, Kind), Row>::new();
    for run in runs {
        for (kind, outcome) in run.evaluation.iter().flat_map(|evaluation| &evaluation.by_kind) {
            let row = rows.entry((&run.set, *kind)).or_default();
            row.attacks += outcome.attacks;
            row.found += outcome.found;
            row.alerts += outcome.alerts;
            row.outside += outcome.outside;
        }
    }
    let _ = writeln!(
        text,
        "{:<26}{:<24}{:>14}{:>8}{:>9}",
        "DATA SET", "KIND", "FOUND", "ALERTS", "OUTSIDE"
    );
    for ((set, kind), row) in rows {
        let found = match row.attacks {
            0 => "–".to_owned(),
            attacks => format!("{} of {attacks}", row.found),
        };
        let _ = writeln!(
            text,
            "{set:<26}{:<24}{found:>14}{:>8}{:>9}",
            kind.name(),
            row.alerts,
            row.outside
        );
    }
    let met = runs.iter().flat_map(|run| &run.checks).filter(|check| check.is_met).count();
    let all: usize = runs.iter().map(|run| run.checks.len()).sum();
    let _ = writeln!(text, "\n{met} of {all} checks are met.");
}
