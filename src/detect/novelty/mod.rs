//! What the detectors of unusual hosts share.
//!
//! The busiest sources of a window and a sample of the others become rows of numbers; a [`Model`] of
//! past rows gives each a raw score; what a host did before is no news; the highest of every window is
//! calibrated against those of past windows, and what is rare is a finding that says which numbers
//! are to blame. A detector of
//! this family is a [`Model`] and its settings.
//!
//! ```text
//! window → Candidates → Scale → Model::score → Habits → Highest → Finding
//!                     ↘ Memory → Model::fit, at fixed event times
//! ```

mod habits;
mod rows;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::features::{HostsWindow, NamedFeatures, SourceWindow};
use crate::model::{FeatureEvidence, Finding, Kind, SettingError};

use super::alarms::{self, Alarm, Alarms, Highest, one_in};
use super::rules::Keys;
use super::{Detector, RestoreError};

use habits::Habits;

pub(super) use rows::{
    Candidates, Memory, Row, Scale, Seen, WIDTH, shares_of_distance, squared_distance, sum,
};

/// A model is fitted to so many rows at least.
const LEAST_ROWS: usize = 50;
/// The first fit waits for so many windows, so that it has seen more than a moment.
const LEAST_WINDOWS: u64 = 30;
/// A finding names at most so many numbers, …
const NAMED: usize = 4;
/// … and none that explains less than this part of the score.
const LEAST_SHARE: f32 = 0.08;
/// Evidence in words: at most so many numbers.
const IN_WORDS: usize = 2;

/// Which hosts are judged and what is remembered of them: the settings `hosts` of every detector of
/// unusual hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hosts {
    /// Sources that are judged in one window (60 s), those with most flows, those with most bytes
    /// and an even sample of the others; at least 8.
    pub max_hosts: usize,
    /// Rows of past windows that a model is fitted to; 50–5,000. About 50 bytes each.
    pub memory_rows: usize,
    /// Windows within which the rows of the past are replaced; at least 1.
    pub memory_windows: u64,
    /// Windows between two fits of the model; at least 1. A fit takes up to 0.2 s.
    pub refit_windows: u32,
}

impl Default for Hosts {
    fn default() -> Self {
        Self { max_hosts: 64, memory_rows: 2_000, memory_windows: 2_880, refit_windows: 180 }
    }
}

impl Hosts {
    pub(super) fn check(&self, keys: &Keys) -> Result<(), SettingError> {
        keys.at_least("hosts.max_hosts", self.max_hosts as u64, 8)?;
        keys.at_least("hosts.memory_rows", self.memory_rows as u64, LEAST_ROWS as u64)?;
        keys.at_most("hosts.memory_rows", self.memory_rows as u64, 5_000)?;
        keys.at_least("hosts.memory_windows", self.memory_windows, 1)?;
        keys.at_least("hosts.refit_windows", u64::from(self.refit_windows), 1)
    }
}

/// A model of what hosts usually look like. Rows come scaled.
pub(super) trait Model: Sized + Send + Clone + Serialize + DeserializeOwned {
    /// The detector's id.
    const ID: &'static str;
    /// Whether the scale may change with a fit; models that learn from every row need it to stay.
    const FOLLOWS_SCALE: bool = true;
    /// What it has to be told.
    type Settings: Send;

    /// Returns a model of `rows`, which are those of `seen` scaled; `None` when they say too little.
    /// Pure. Costs at most about 0.2 s for 2,000 rows.
    fn fit(
        settings: &Self::Settings,
        rows: &[Row],
        seen: &[Seen],
        previous: Option<Self>,
    ) -> Option<Self>;

    /// Returns one raw score per row; higher is more unusual, at least 0.
    fn score(&self, settings: &Self::Settings, rows: &[Row]) -> Vec<f32>;

    /// Returns the part of each number in the score of a row; they sum to about 1.
    fn shares(&self, row: &Row) -> Row;

    /// Says what a raw score means: "is 7.1 times as far from … as usual".
    fn words(&self, score: f32) -> String;

    /// Learns from the rows of a window, when it is a model that learns between fits.
    fn learn(&mut self, _rows: &[Row]) {}

    /// Whether a saved model fits the settings and is sound.
    fn is_usable(&self, _settings: &Self::Settings) -> bool {
        true
    }
}

/// What is learned.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "M: Model")]
struct State<M> {
    memory: Memory,
    fitted: Option<(Scale, M)>,
    habits: Habits,
    highest: Highest,
    /// Windows with candidates.
    windows: u64,
    /// The number of the stretch of time of the last fit.
    fitted_in: i64,
}

/// The detector around a model.
pub(super) struct Novelty<M: Model> {
    alarms: Alarms,
    hosts: Hosts,
    settings: M::Settings,
    state: State<M>,
}

impl<M: Model> Novelty<M> {
    pub(super) fn new(alarms: Alarms, hosts: Hosts, settings: M::Settings) -> Self {
        let state = State {
            memory: Memory::default(),
            fitted: None,
            habits: Habits::default(),
            highest: Highest::new(&alarms),
            windows: 0,
            fitted_in: i64::MIN,
        };
        Self { alarms, hosts, settings, state }
    }

    /// Fits the model anew when a stretch of time has ended, or for the first time.
    fn refit(&mut self, window: &HostsWindow) {
        let state = &mut self.state;
        let seen = state.memory.seen();
        let length = i64::from(window.span.seconds.max(1)) * i64::from(self.hosts.refit_windows);
        let stretch = window.span.start.seconds().div_euclid(length);
        let is_due = state.fitted.is_none() || stretch != state.fitted_in;
        if !is_due || state.windows < LEAST_WINDOWS || seen.len() < LEAST_ROWS {
            return;
        }
        let (kept, previous) = state.fitted.take().unzip();
        let kept = kept.filter(|_| !M::FOLLOWS_SCALE);
        let Some(scale) = kept.or_else(|| Scale::of(seen)) else { return };
        let rows: Vec<_> = seen.iter().map(|seen| scale.apply(&seen.row)).collect();
        state.fitted = M::fit(&self.settings, &rows, seen, previous).map(|model| (scale, model));
        state.fitted_in = stretch;
    }
}

impl<M: Model> Detector for Novelty<M> {
    fn id(&self) -> &'static str {
        M::ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let mut state: State<M> = alarms::restore(M::ID, state)?;
        state.highest = state.highest.under(&self.alarms);
        state.fitted = state.fitted.filter(|(_, model)| model.is_usable(&self.settings));
        self.state = state;
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        let candidates = Candidates::of(window, &self.hosts);
        if candidates.rows.is_empty() {
            return;
        }
        let state = &mut self.state;
        state.windows += 1;
        let mut alarms = Vec::new();
        if let Some((scale, model)) = &mut state.fitted {
            let rows: Vec<_> = candidates.rows.iter().map(|row| scale.apply(row)).collect();
            let scored = model.score(&self.settings, &rows);
            let hosts = candidates.places.iter().map(|&place| window.sources[place].host());
            let scores: Vec<_> = hosts.zip(scored.iter().map(|&score| f64::from(score))).collect();
            let number = window.span.start.seconds() / i64::from(window.span.seconds.max(1));
            let news = state.habits.news(number, self.alarms.memory_windows, &scores);
            let scores: Vec<_> = scores.iter().map(|(_, score)| *score).collect();
            alarms = state.highest.judge(&self.alarms, &scores);
            alarms.retain(|alarm| news[alarm.place]);
            for alarm in &alarms {
                let source = &window.sources[candidates.places[alarm.place]];
                let story = model.words(scored[alarm.place]);
                let evidence = evidence(source, scale, &model.shares(&rows[alarm.place]));
                findings.push(finding(M::ID, window, source, alarm, &story, evidence));
            }
            model.learn(&rows);
        }
        let is_suspicious = |n: usize| alarms.iter().any(|alarm| alarm.place == n);
        let usual = (0..candidates.rows.len()).filter(|&n| !is_suspicious(n));
        let seen = usual.map(|n| Seen {
            row: candidates.rows[n],
            host: window.sources[candidates.places[n]].host().sketch_key(),
            window: window.span.start.seconds(),
        });
        state.memory.learn(window.span.start, seen.collect(), &self.hosts);
        self.refit(window);
    }
}

/// Returns the numbers that make the score, the most telling first; at least one.
fn evidence(source: &SourceWindow, scale: &Scale, shares: &Row) -> Vec<FeatureEvidence> {
    let mut values = Vec::with_capacity(WIDTH);
    source.write_features(&mut values);
    let mut order: Vec<_> = (0..WIDTH).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
    let named = order.iter().filter(|&&n| shares[n] >= LEAST_SHARE).count().clamp(1, NAMED);
    let one = |&n: &usize| {
        let (typical, lower, upper) = scale.usual(n);
        FeatureEvidence {
            name: SourceWindow::NAMES[n].into(),
            actual: values[n],
            typical: Some(typical),
            lower: Some(lower),
            upper: Some(upper),
            share: Some(f64::from(shares[n]).clamp(0.0, 1.0)),
        }
    };
    order[..named].iter().map(one).collect()
}

fn finding(
    detector: &'static str,
    window: &HostsWindow,
    source: &SourceWindow,
    alarm: &Alarm,
    story: &str,
    features: Vec<FeatureEvidence>,
) -> Finding {
    let told: Vec<_> = features
        .iter()
        .take(IN_WORDS)
        .map(|feature| {
            let typical = feature.typical.unwrap_or_default();
            format!("{} {} (typical host: {typical})", feature.actual, words_of(&feature.name))
        })
        .collect();
    Finding {
        detector,
        kind: Kind::UnusualHost,
        subject: source.subject(),
        window: window.span,
        probability: alarm.probability,
        strength: alarm.strength,
        features,
        reason: format!(
            "{story} within {} s, mostly by {}; {}",
            window.span.seconds,
            told.join(" and "),
            one_in(alarm.probability),
        ),
        related: Vec::new(),
        services: Vec::new(),
    }
}

/// The words for a published name.
fn words_of(name: &str) -> &str {
    match name {
        "sumOfFlows" => "flows",
        "sumOfBytes" => "bytes",
        "sumOfPackets" => "packets",
        "uniqDstIPs" => "receivers",
        "uniqDstPorts" => "destination ports",
        "records" => "flow records",
        "bytesReturned" => "bytes returned",
        "probes" => "contacts in vain",
        other => other,
    }
}
