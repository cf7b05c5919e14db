//! A week of an ordinary office, without attacks: the budget holds on every day, by the settings of a
//! fresh installation and by ones that find far too much.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use flowsentry::alerts;
use flowsentry::detect::{self, Detector};
use flowsentry::formats;
use flowsentry::model::{Kind, Severity};
use flowsentry::scorer::{Output, Scorer, Settings};
use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};

const DAY_SECONDS: i64 = 86_400;

/// One set of settings, and the alerts that it opened.
struct Case {
    scorer: Scorer,
    budget: u32,
    seen: BTreeSet<String>,
    /// By day of their beginning and kind; criticals apart.
    opened: BTreeMap<i64, BTreeMap<Kind, u64>>,
    criticals: u64,
}

impl Case {
    fn new(alerts: alerts::Settings, detectors: Vec<Box<dyn Detector>>) -> Self {
        let budget = alerts.budget_per_day;
        let scorer = Scorer::new(Settings::default(), alerts, detectors);
        let (seen, opened) = (BTreeSet::new(), BTreeMap::new());
        Self { scorer, budget, seen, opened, criticals: 0 }
    }

    fn take(&mut self, outputs: &mut Vec<Output>) {
        for output in outputs.drain(..) {
            let Output::Alert(alert) = output else { continue };
            if !self.seen.insert(alert.id()) {
                continue;
            }
            if alert.severity() == Severity::Critical {
                self.criticals += 1;
                continue;
            }
            let day = alert.first.seconds().div_euclid(DAY_SECONDS);
            *self.opened.entry(day).or_default().entry(alert.kind).or_default() += 1;
        }
    }

    /// Alerts of each day.
    fn days(&self) -> Vec<u64> {
        self.opened.values().map(|kinds| kinds.values().sum()).collect()
    }
}

fn keen() -> Vec<Box<dyn Detector>> {
    let mut detectors = detect::Settings::default();
    detectors.iqr.max_probability = 0.05;
    detectors.iqr.warm_up_windows = 60;
    detect::build(&detectors, &detect::Context::default()).unwrap()
}

fn usual() -> Vec<Box<dyn Detector>> {
    detect::build(&detect::Settings::default(), &detect::Context::default()).unwrap()
}

fn with_budget(budget_per_day: u32) -> alerts::Settings {
    alerts::Settings { minimum_score: 0.0, budget_per_day, ..alerts::Settings::default() }
}

#[test]
fn a_week_without_attacks_stays_within_the_budget() {
    let mut cases = [
        Case::new(alerts::Settings::default(), usual()),
        Case::new(with_budget(3), keen()),
        Case::new(with_budget(20), keen()),
        Case::new(with_budget(0), keen()),
    ];
    let config = Config {
        extent: Extent::Hours(7.0 * 24.0),
        flows_per_hour: 20_000.0,
        attacks: Vec::new(),
        ..Config::default()
    };
    let mut decoder = formats::by_name("goflow2").unwrap().decoder();
    let (mut line, mut outputs) = (Vec::new(), Vec::new());
    for simulated in Simulation::new(config).unwrap() {
        line.clear();
        write_goflow2(&simulated, &mut line);
        let flow = decoder.decode(&line).unwrap().unwrap();
        for case in &mut cases {
            case.scorer.add(0, flow.clone(), &mut outputs);
            case.take(&mut outputs);
        }
    }
    for case in &mut cases {
        case.scorer.finish(&mut outputs);
        case.take(&mut outputs);
        println!(
            "budget {}: a day {:?}, critical {}, withheld {:?}, kinds {:?}",
            case.budget,
            case.days(),
            case.criticals,
            case.scorer.counters().withheld.by_kind().collect::<Vec<_>>(),
            case.opened.values().next(),
        );
    }
    let [usual, small, large, unbounded] = &cases;
    let most = unbounded.days().into_iter().max().unwrap();
    assert!(most > 200, "there is far too much to choose from: {most}");
    for case in [usual, small, large] {
        assert_eq!(case.criticals, 0, "ordinary traffic is not critical");
        for day in case.days() {
            assert!(day as f64 <= 1.2 * f64::from(case.budget), "{day} of {}", case.budget);
        }
    }
    for case in [small, large] {
        let all: u64 = case.days().iter().sum();
        let budget = u64::from(case.budget);
        assert!(all >= 7 * budget / 2, "the budget is used: {all} of {}", 7 * budget);
        assert!(case.scorer.counters().withheld.total() > 100);
    }
}

#[test]
fn feedback_ends_where_critical_begins() {
    let severity = |score| flowsentry::model::Score::clamped(score).severity();
    assert_eq!(severity(alerts::CRITICAL_SCORE), Severity::Critical);
    assert!(severity(alerts::CRITICAL_SCORE - 0.1) < Severity::Critical);
}
