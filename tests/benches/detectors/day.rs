//! A day of traffic without attacks: what each detector costs, and how often it is wrong.
//!
//! `cargo bench --bench detectors -- day` does this alone, with `FILE…` the same with captures of
//! flows. `FLOWSENTRY_BENCH_HOURS` and `FLOWSENTRY_BENCH_SEED` choose the traffic;
//! `FLOWSENTRY_BENCH_SHOW=hbos,pca` shows what these detectors say.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use flowsentry::detect::{self, Context, Settings};
use flowsentry::features::{ClockLimits, ClosedWindow, Windows, repair_clock};
use flowsentry::formats;
use flowsentry::fuse::fuse;
use flowsentry::model::{Finding, Flow, WindowSpan};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};

use super::{LIMITS, busy};

const CLOCK: ClockLimits = ClockLimits { ahead_seconds: 300, behind_seconds: 3_600 };
/// Anomalies from this score on open alerts.
const ALERT: f64 = 40.0;

/// What one detector did.
#[derive(Default)]
struct Tally {
    taken: Duration,
    longest: Duration,
    findings: u32,
    alerts: u32,
}

fn number_from(variable: &str, otherwise: f64) -> f64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A day of records, decoded one by one: all together they do not fit.
fn simulated() -> impl Iterator<Item = Flow> {
    let hours = number_from("FLOWSENTRY_BENCH_HOURS", 24.0);
    let seed = number_from("FLOWSENTRY_BENCH_SEED", 1.0) as u64;
    let config =
        Config { extent: Extent::Hours(hours), seed, attacks: Vec::new(), ..Config::default() };
    let mut record = Vec::new();
    let mut decoder = None;
    Simulation::new(config).unwrap().filter_map(move |flow| {
        record.clear();
        write_goflow2(&flow, &mut record);
        let decoder = decoder
            .get_or_insert_with(|| formats::detect(&record).expect("a known format").decoder());
        let mut flow = decoder.decode(record.trim_ascii_end()).ok().flatten()?;
        repair_clock(&mut flow, CLOCK);
        Some(flow)
    })
}

fn flows_of(records: &[u8]) -> Vec<Flow> {
    let mut decoder = formats::detect(records).expect("a known format").decoder();
    let lines = records.split(|&byte| byte == b'\n');
    let mut flows: Vec<_> = lines.filter_map(|line| decoder.decode(line).ok().flatten()).collect();
    flows.iter_mut().for_each(|flow| {
        repair_clock(flow, CLOCK);
    });
    flows.sort_by_key(|flow| flow.end);
    flows
}

fn capture(path: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if !path.ends_with(".zst") {
        return bytes;
    }
    let mut text = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(&bytes[..]).unwrap().read_to_end(&mut text).unwrap();
    text
}

/// Judges all flows; prints a line per detector.
fn judge(what: &str, flows: impl IntoIterator<Item = Flow>) {
    let mut detectors = detect::build(&Settings::default(), &Context::default()).unwrap();
    let mut windows = Windows::new(LIMITS);
    let mut tallies = BTreeMap::<&str, Tally>::new();
    let (mut sources, mut minutes, mut count) = (0, 0u32, 0u64);
    let mut close = |windows: &mut Windows, detectors: &mut Vec<Box<dyn detect::Detector>>| {
        while let Some(closed) = windows.next_closed() {
            if let ClosedWindow::Hosts(window) = &closed {
                sources += window.sources.len() as u64;
                minutes += 1;
            }
            for detector in &mut *detectors {
                let mut findings = Vec::new();
                let started = busy();
                match &closed {
                    ClosedWindow::Pairs(window) => detector.close_pairs(window, &mut findings),
                    ClosedWindow::Hosts(window) => detector.close_hosts(window, &mut findings),
                }
                let taken = busy().saturating_sub(started);
                let tally = tallies.entry(detector.id()).or_default();
                tally.taken += taken;
                tally.longest = tally.longest.max(taken);
                tally.findings += findings.len() as u32;
                tally.alerts += alerts(closed.span(), detector.id(), findings);
            }
        }
    };
    for flow in flows {
        let start = flow.end.floor(LIMITS.window_seconds);
        let span = WindowSpan { start, seconds: LIMITS.window_seconds, truncated: false };
        detectors.iter_mut().for_each(|detector| detector.observe(&flow, span));
        windows.add(0, &flow);
        count += 1;
        close(&mut windows, &mut detectors);
    }
    windows.finish();
    close(&mut windows, &mut detectors);
    println!("{what}: {count} flows, {minutes} windows, {sources} sources in them");
    for (id, tally) in tallies {
        println!(
            "  {id:15} {:6.2} s in all, {:6.0} ns a source and window, longest {:6.1} ms; {} findings, {} of score 40 or more",
            tally.taken.as_secs_f64(),
            tally.taken.as_nanos() as f64 / sources.max(1) as f64,
            tally.longest.as_secs_f64() * 1e3,
            tally.findings,
            tally.alerts,
        );
    }
    for detector in &detectors {
        let size = detector.save().len();
        if size > 100_000 {
            println!("  {:15} {} KB in a snapshot", detector.id(), size / 1_000);
        }
    }
}

/// How many anomalies of one detector would open an alert.
fn alerts(span: WindowSpan, id: &str, findings: Vec<Finding>) -> u32 {
    let is_shown = std::env::var("FLOWSENTRY_BENCH_SHOW").is_ok_and(|shown| shown.contains(id));
    let anomalies = fuse(span, findings);
    if is_shown {
        for anomaly in &anomalies {
            println!("  {id} {} {:.0} {}", span.start, anomaly.score.value(), anomaly.sentence);
        }
    }
    anomalies.iter().filter(|anomaly| anomaly.score.value() >= ALERT).count() as u32
}

pub fn run(captures: &[String]) {
    for path in captures {
        if path == "day" {
            judge("a simulated day without attacks", simulated());
        } else {
            judge(path, flows_of(&capture(path)));
        }
    }
}
