//! Hosts that a learned model calls an attack: a model of the schema `flow`, trained on the numbers of
//! hosts over one window (60 s).
//!
//! The verdict is the model's, at its stored threshold; how rare such a score is here is learned from
//! the windows before, so that a model that is often wrong about this network is not believed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::features::{HostsWindow, NamedFeatures, SourceWindow};
use crate::model::{FeatureEvidence, Finding, Kind, SettingError};
use crate::models::record::{Record, Value, record_of};
use crate::models::{Model, Prediction, Scratch};

use super::alarms::{self, Alarm, Alarms, Highest, one_in};
use super::novelty::{Candidates, Hosts};
use super::rules::Keys;
use super::{Configured, Context, Detector, RestoreError, Settings};

const ID: &str = "learned";
/// A finding names at most so many numbers.
const NAMED: usize = 4;

/// Settings of the detector `learned`. The model is read at the edge, which hands it over by
/// [`SharedModel`], so that it can change at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the detector takes part. Without a `model` it does not.
    pub enabled: bool,
    /// A model file, or `store:ALIAS`; of the schema `flow`. Read again when it changes.
    pub model: Option<String>,
    /// When findings are made.
    pub alarms: Alarms,
    /// Most hosts that are judged in one window; at least 8. Of more the busiest and a sample.
    pub max_hosts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, model: None, alarms: Alarms::default(), max_hosts: 64 }
    }
}

impl Configured for Config {
    fn is_enabled(&self) -> bool {
        self.enabled && self.model.is_some()
    }

    fn check(&self) -> Result<(), SettingError> {
        let keys = Keys(ID);
        self.alarms.check(&keys)?;
        keys.at_least("max_hosts", self.max_hosts as u64, 8)
    }

    fn build(&self, _settings: &Settings, context: &Context) -> Box<dyn Detector> {
        Box::new(Learned::new(self, context.learned.clone()))
    }
}

/// A handle on the model in use: whoever holds a clone may swap it; the next window is judged by the
/// new one. Starts without.
#[derive(Clone, Debug, Default)]
pub struct SharedModel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Counts the swaps.
    generation: AtomicU64,
    model: RwLock<Option<Arc<Model>>>,
}

impl SharedModel {
    /// Puts `model` in the place of the one in use.
    ///
    /// # Errors
    /// Says why it cannot judge hosts.
    pub fn set(&self, model: Model) -> Result<(), String> {
        let none = [0.0; SourceWindow::NAMES.len()];
        record(&model, &none).map_err(|error| {
            format!("the model does not read the numbers of hosts (schema `flow`): {error}")
        })?;
        *self.0.model.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(model));
        self.0.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn get(&self) -> Option<Arc<Model>> {
        self.0.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The numbers of a host as the model wants them.
fn record(model: &Model, values: &[f64]) -> Result<Record, crate::models::record::RowError> {
    let named = SourceWindow::NAMES.iter().zip(values);
    record_of(model.schema(), named.map(|(name, value)| (*name, Value::Number(*value))))
}

struct Learned {
    alarms: Alarms,
    hosts: Hosts,
    shared: SharedModel,
    generation: u64,
    model: Option<Arc<Model>>,
    highest: Highest,
}

impl Learned {
    fn new(config: &Config, shared: SharedModel) -> Self {
        Self {
            highest: Highest::new(&config.alarms),
            alarms: config.alarms.clone(),
            hosts: Hosts { max_hosts: config.max_hosts, ..Hosts::default() },
            generation: 0,
            model: None,
            shared,
        }
    }

    /// Takes over a model that was swapped; what was usual for the old one is not for the new one.
    fn follow(&mut self) {
        let generation = self.shared.0.generation.load(Ordering::Acquire);
        if generation != self.generation {
            let is_first = self.generation == 0;
            (self.generation, self.model) = (generation, self.shared.get());
            if !is_first {
                self.highest = Highest::new(&self.alarms);
            }
        }
    }
}

impl Detector for Learned {
    fn id(&self) -> &'static str {
        ID
    }

    fn save(&self) -> Vec<u8> {
        alarms::save(&self.highest)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let highest: Highest = alarms::restore(ID, state)?;
        self.highest = highest.under(&self.alarms);
        Ok(())
    }

    fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
        self.follow();
        let Some(model) = self.model.clone() else { return };
        let candidates = Candidates::of(window, &self.hosts);
        let (mut scratch, mut values) = (Scratch::default(), Vec::new());
        let mut said: Vec<(usize, Record, Prediction)> = Vec::new();
        for &place in &candidates.places {
            values.clear();
            window.sources[place].write_features(&mut values);
            // It was checked when the model was set.
            let Ok(record) = record(&model, &values) else { continue };
            let mut prediction = Prediction::default();
            model.predict_into(&record, &mut scratch, &mut prediction);
            said.push((place, record, prediction));
        }
        let scores: Vec<_> = said.iter().map(|(_, _, prediction)| prediction.score).collect();
        for alarm in self.highest.judge(&self.alarms, &scores) {
            let (place, record, prediction) = &said[alarm.place];
            if prediction.is_attack {
                let source = &window.sources[*place];
                findings.push(finding(window, source, &model, record, prediction, &alarm));
            }
        }
    }
}

fn finding(
    window: &HostsWindow,
    source: &SourceWindow,
    model: &Model,
    record: &Record,
    said: &Prediction,
    alarm: &Alarm,
) -> Finding {
    let class = model.schema().classes.get(said.class).map_or("attack", String::as_str);
    let reasons = model.explain(record);
    let evidence = |reason: &crate::models::Contribution| FeatureEvidence {
        name: reason.feature.clone().into(),
        actual: reason.value.parse().unwrap_or_default(),
        typical: None,
        lower: None,
        upper: None,
        share: Some(reason.share.clamp(0.0, 1.0)),
    };
    let features: Vec<_> = reasons.iter().take(NAMED).map(evidence).collect();
    let told: Vec<_> = reasons
        .iter()
        .filter(|reason| reason.share > 0.0)
        .take(2)
        .map(|reason| format!("{} = {}", reason.feature, reason.value))
        .collect();
    let by =
        if told.is_empty() { String::new() } else { format!(", mostly by {}", told.join(" and ")) };
    Finding {
        detector: ID,
        kind: Kind::UnusualHost,
        subject: source.subject(),
        window: window.span,
        probability: alarm.probability,
        strength: alarm.strength,
        features,
        reason: format!(
            "is called {class} by a learned model (probability {:.3}) within {} s{by}; {}",
            said.probability,
            window.span.seconds,
            one_in(alarm.probability),
        ),
        related: Vec::new(),
        services: Vec::new(),
    }
}
