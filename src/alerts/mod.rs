//! Anomalies → alerts: folding, budget, exceptions, feedback, life.
//!
//! An anomaly folds into the alert of each of its kinds whose subject type and window length it has,
//! but for vague kinds that another of its kinds explains.
//! An alert opens with an anomaly at or above the minimum score, as the feedback shifts it, when the
//! budget has room; goes on while anomalies of its kind follow within the gap, and closes when the
//! gap has passed without one. Critical ones and ones that an exception hides need no room.

mod budget;
mod exception;
mod feedback;
mod rules;
mod withheld;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    Alert, AlertStatus, Anomaly, Kind, Score, SettingError, Severity, Subject, Timestamp,
};

use budget::{Admission, Budget, Candidate};

pub use budget::{BudgetState, KindFacts};
pub use exception::{Exception, parse_network};
pub use feedback::{CRITICAL_SCORE, Feedback, LEAST_SCORE, Shift, Thresholds, Verdict};
pub use rules::{Rules, SharedRules};
pub use withheld::Withheld;

/// Settings under `alerts:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Score (0–100) from which an anomaly opens an alert. Higher means fewer alerts.
    pub minimum_score: f64,
    /// About so many alerts a day are opened; 0 sets no limit. The scores that are needed follow,
    /// kind by kind, so that a noisy kind leaves room for the others. Critical alerts (from 85) and
    /// those that an exception hides are opened in any case and do not count.
    pub budget_per_day: u32,
    /// Seconds without an anomaly after which an alert closes; a later anomaly opens a new one.
    pub gap_seconds: u32,
    /// Most alerts that are open at a time; beyond it new ones are counted, not opened.
    pub max_open: usize,
    /// What is known to be harmless. Alerts that match are marked, not mailed.
    pub exceptions: Vec<Exception>,
    /// How often `run` reads exceptions and feedback in the store again, in seconds (1–3,600).
    pub refresh_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        // 15 minutes bridge a scanner's pauses; a day's alerts of a network fit a hundred times over.
        Self {
            minimum_score: 40.0,
            // Two an hour: what one person can look at.
            budget_per_day: 50,
            gap_seconds: 900,
            max_open: 10_000,
            exceptions: Vec::new(),
            refresh_seconds: 30,
        }
    }
}

impl Settings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<(), SettingError> {
        if Score::new(self.minimum_score).is_none() {
            let problem = format!("must lie between 0 and 100, got {}", self.minimum_score);
            return Err(SettingError::new("alerts.minimum_score", problem));
        }
        if self.max_open == 0 {
            return Err(SettingError::new("alerts.max_open", "must be positive, got 0"));
        }
        if !(1..=3_600).contains(&self.refresh_seconds) {
            let problem = format!("must lie between 1 and 3600, got {}", self.refresh_seconds);
            return Err(SettingError::new("alerts.refresh_seconds", problem));
        }
        self.exceptions.iter().enumerate().try_for_each(|(place, exception)| {
            exception.check(&format!("alerts.exceptions[{place}]"))
        })
    }
}

/// The open alerts.
#[derive(Debug)]
pub struct Alerts {
    settings: Settings,
    shared: SharedRules,
    /// Those of the current window.
    rules: Arc<Rules>,
    budget: Budget,
    open: BTreeMap<(Kind, Subject), Alert>,
    opened: u64,
    refused: u64,
    withheld: Withheld,
}

/// An anomaly that is to open an alert.
struct Opening {
    /// Its place among the anomalies of the window.
    place: usize,
    candidate: Candidate,
    /// Critical, or hidden by an exception.
    needs_no_room: bool,
}

impl Alerts {
    /// Returns a folder without open alerts, by the exceptions of the settings alone.
    pub fn new(settings: Settings) -> Self {
        let shared = SharedRules::new(Rules::new(&settings, [], &[]));
        Self {
            rules: shared.get(),
            shared,
            budget: Budget::new(settings.budget_per_day, settings.max_open),
            settings,
            open: BTreeMap::new(),
            opened: 0,
            refused: 0,
            withheld: Withheld::default(),
        }
    }

    /// Follows `rules` from the next window on.
    pub fn follow(&mut self, rules: SharedRules) {
        self.shared = rules;
    }

    /// Folds the anomalies of one window in, which ended at `end`, and appends the alerts they
    /// changed, as they are now. Call it for windows without anomalies, too: their time counts.
    pub fn fold(&mut self, end: Timestamp, anomalies: &[Anomaly], changed: &mut Vec<Alert>) {
        self.take_rules();
        self.budget.advance(end);
        let folding: Vec<(Kind, &Anomaly)> = anomalies
            .iter()
            .flat_map(|anomaly| kinds_that_fold(anomaly).map(move |kind| (kind, anomaly)))
            .collect();
        for (kind, anomaly) in &folding {
            changed.extend(self.end_exception(*kind, anomaly));
        }
        let opens = self.choose(&folding, end);
        for ((kind, anomaly), opens) in folding.into_iter().zip(opens) {
            let key = (kind, anomaly.subject);
            if let Some(alert) = self.open.get_mut(&key) {
                extend(alert, kind, anomaly);
                changed.push(alert.clone());
            } else if opens {
                let mut alert = open(kind, anomaly);
                let hidden = self.rules.suppressed_by(kind, alert.subject, alert.first);
                alert.suppressed_by = hidden.map(str::to_owned);
                self.opened += 1;
                self.open.insert(key, alert.clone());
                changed.push(alert);
            }
        }
    }

    /// Takes over what people decided meanwhile: a window is judged by one list.
    fn take_rules(&mut self) {
        let rules = self.shared.get();
        if !Arc::ptr_eq(&rules, &self.rules) {
            self.rules = rules;
            self.hide_by_rules();
        }
    }

    fn hide_by_rules(&mut self) {
        for alert in self.open.values_mut() {
            let hidden = self.rules.suppressed_by(alert.kind, alert.subject, alert.first);
            alert.suppressed_by = hidden.map(str::to_owned);
        }
    }

    /// Closes a hidden alert that goes on after its exception has ended: what follows is an alert of
    /// its own.
    fn end_exception(&mut self, kind: Kind, anomaly: &Anomaly) -> Option<Alert> {
        let key = (kind, anomaly.subject);
        self.open.get(&key)?.suppressed_by.as_ref()?;
        let start = anomaly.window.start;
        if self.rules.suppressed_by(kind, anomaly.subject, start).is_some() {
            return None;
        }
        let mut alert = self.open.remove(&key)?;
        alert.status = AlertStatus::Closed;
        Some(alert)
    }

    /// Says which of the anomalies open an alert, the highest scores first.
    fn choose(&mut self, folding: &[(Kind, &Anomaly)], end: Timestamp) -> Vec<bool> {
        let mut opens = vec![false; folding.len()];
        let mut openings: Vec<Opening> = Vec::new();
        for (place, (kind, anomaly)) in folding.iter().enumerate() {
            openings.extend(self.opening(place, *kind, anomaly));
        }
        openings.sort_by(|a, b| {
            let (a, b) = (&a.candidate, &b.candidate);
            let by_score = b.score.value().total_cmp(&a.score.value());
            by_score.then_with(|| (a.kind, a.subject).cmp(&(b.kind, b.subject)))
        });
        let mut free = self.settings.max_open.saturating_sub(self.open.len());
        for Opening { place, candidate, needs_no_room } in openings {
            let Candidate { kind, subject, .. } = candidate;
            if free == 0 {
                self.refused += 1;
                continue;
            }
            let admission = match needs_no_room {
                true => Admission::Opens { waited: self.budget.forget(kind, subject) },
                false => self.budget.admit(candidate, end),
            };
            match admission {
                Admission::Opens { waited } => {
                    (opens[place], free) = (true, free - 1);
                    if waited {
                        self.withheld.take_back(kind);
                    }
                }
                Admission::Waits { is_new: true } => self.withheld.add(kind),
                Admission::Waits { is_new: false } => {}
            }
        }
        opens
    }

    /// Whether an anomaly is to open an alert: there is none, and its score is enough.
    fn opening(&self, place: usize, kind: Kind, anomaly: &Anomaly) -> Option<Opening> {
        let (subject, score) = (anomaly.subject, anomaly.score_of(kind));
        if self.open.contains_key(&(kind, subject)) {
            return None;
        }
        let minimum = self.settings.minimum_score;
        let (needed, is_wanted) = match self.rules.shift(kind, subject) {
            None => (minimum, false),
            Some(Shift::Raised(score)) => (minimum.max(score), false),
            Some(Shift::Lowered(score)) => (minimum.min(score), true),
        };
        if score.value() < needed {
            return None;
        }
        let hidden = self.rules.suppressed_by(kind, subject, anomaly.window.start);
        let needs_no_room = hidden.is_some() || score.severity() == Severity::Critical;
        let candidate = Candidate { kind, subject, score, is_wanted };
        Some(Opening { place, candidate, needs_no_room })
    }

    /// Closes the alerts whose last anomaly lies further back than the gap at `now` (event time) and
    /// appends them.
    pub fn close_quiet(&mut self, now: Timestamp, changed: &mut Vec<Alert>) {
        let gap = i64::from(self.settings.gap_seconds);
        self.budget.forget_quiet(now.plus_seconds(-gap));
        let gap_of = |kind: Kind| gap.max(i64::from(kind.least_gap_seconds()));
        let quiet = |alert: &Alert| alert.last.plus_seconds(gap_of(alert.kind)) < now;
        for (_, mut alert) in self.open.extract_if(.., |_, alert| quiet(alert)) {
            alert.status = AlertStatus::Closed;
            changed.push(alert);
        }
    }

    /// The open alerts, for a snapshot.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }

    /// What the budget goes on from, for a snapshot.
    pub fn budget(&self) -> BudgetState {
        self.budget.save()
    }

    /// Continues with the open alerts and the budget of a snapshot in place of its own.
    pub fn resume(&mut self, open: Vec<Alert>, budget: BudgetState) {
        self.open = open.into_iter().map(|alert| ((alert.kind, alert.subject), alert)).collect();
        self.budget.resume(budget);
        self.rules = self.shared.get();
        // They were hidden by what was in force then.
        self.hide_by_rules();
    }

    /// How many alerts are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// How many alerts were opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// How many alerts found no room under `max_open`.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many alerts the budget holds back, or held back until they were over.
    pub fn withheld(&self) -> Withheld {
        self.withheld
    }
}

/// The kinds whose alerts an anomaly folds into.
fn kinds_that_fold(anomaly: &Anomaly) -> impl Iterator<Item = Kind> {
    let (subject_type, seconds) = (anomaly.subject.subject_type(), anomaly.window.seconds);
    anomaly.kinds.iter().copied().filter(move |kind| {
        kind.subject_type() == subject_type
            && kind.window_seconds() == seconds
            && !anomaly.kinds.iter().any(|other| kind.is_explained_by(*other))
    })
}

fn open(kind: Kind, anomaly: &Anomaly) -> Alert {
    Alert {
        kind,
        subject: anomaly.subject,
        status: AlertStatus::Open,
        first: anomaly.window.start,
        last: anomaly.window.end(),
        count: 1,
        anomaly_ids: vec![anomaly.id()],
        score: anomaly.score_of(kind),
        sentence: anomaly.sentence.clone(),
        features: anomaly.features.clone(),
        related: anomaly.related.clone(),
        services: anomaly.services.clone(),
        flows: anomaly.flows.clone(),
        sampled: anomaly.sampled,
        suppressed_by: None,
    }
}

fn extend(alert: &mut Alert, kind: Kind, anomaly: &Anomaly) {
    alert.last = alert.last.max(anomaly.window.end());
    alert.count += 1;
    if alert.anomaly_ids.len() < Alert::MAX_ANOMALY_IDS {
        alert.anomaly_ids.push(anomaly.id());
    }
    add_related(&mut alert.related, &anomaly.related);
    let score = anomaly.score_of(kind);
    if score > alert.score {
        alert.score = score;
        alert.sentence.clone_from(&anomaly.sentence);
        alert.features.clone_from(&anomaly.features);
        alert.services.clone_from(&anomaly.services);
        alert.flows.clone_from(&anomaly.flows);
        alert.sampled = anomaly.sampled;
    }
}

fn add_related(known: &mut Vec<IpAddr>, more: &[IpAddr]) {
    for ip in more {
        if known.len() >= Alert::MAX_RELATED {
            return;
        }
        if !known.contains(ip) {
            known.push(*ip);
        }
    }
}

#[cfg(test)]
mod tests;
