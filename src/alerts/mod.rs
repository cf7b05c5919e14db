//! Anomalies → alerts: folding, exceptions, life.
//!
//! An anomaly folds into the alert of each of its kinds whose subject type and window length it has,
//! but for vague kinds that another of its kinds explains.
//! An alert opens with an anomaly at or above the minimum score, goes on while anomalies of its kind
//! follow within the gap, and closes when the gap has passed without one.

mod exception;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Alert, AlertStatus, Anomaly, Kind, Score, SettingError, Subject, Timestamp};

pub use exception::Exception;

/// Settings under `alerts:`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Score (0–100) from which an anomaly opens an alert. Higher means fewer alerts.
    pub minimum_score: f64,
    /// Seconds without an anomaly after which an alert closes; a later anomaly opens a new one.
    pub gap_seconds: u32,
    /// Most alerts that are open at a time; beyond it new ones are counted, not opened.
    pub max_open: usize,
    /// What is known to be harmless. Alerts that match are marked, not mailed.
    pub exceptions: Vec<Exception>,
}

impl Default for Settings {
    fn default() -> Self {
        // 15 minutes bridge a scanner's pauses; a day's alerts of a network fit a hundred times over.
        Self { minimum_score: 40.0, gap_seconds: 900, max_open: 10_000, exceptions: Vec::new() }
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
        self.exceptions.iter().enumerate().try_for_each(|(place, exception)| {
            exception.check(&format!("alerts.exceptions[{place}]"))
        })
    }
}

/// The open alerts.
#[derive(Debug)]
pub struct Alerts {
    settings: Settings,
    open: BTreeMap<(Kind, Subject), Alert>,
    opened: u64,
    refused: u64,
}

impl Alerts {
    /// Returns a folder without open alerts.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: BTreeMap::new(), opened: 0, refused: 0 }
    }

    /// Folds one anomaly in and appends the alerts it changed, as they are now.
    pub fn fold(&mut self, anomaly: &Anomaly, changed: &mut Vec<Alert>) {
        let subject_type = anomaly.subject.subject_type();
        for &kind in &anomaly.kinds {
            let folds = kind.subject_type() == subject_type
                && kind.window_seconds() == anomaly.window.seconds;
            let is_explained = anomaly.kinds.iter().any(|&other| kind.is_explained_by(other));
            if folds && !is_explained {
                changed.extend(self.fold_kind(kind, anomaly));
            }
        }
    }

    fn fold_kind(&mut self, kind: Kind, anomaly: &Anomaly) -> Option<Alert> {
        let key = (kind, anomaly.subject);
        if let Some(alert) = self.open.get_mut(&key) {
            extend(alert, kind, anomaly);
            return Some(alert.clone());
        }
        if anomaly.score_of(kind).value() < self.settings.minimum_score {
            return None;
        }
        if self.open.len() >= self.settings.max_open {
            self.refused += 1;
            return None;
        }
        let mut alert = open(kind, anomaly);
        alert.suppressed_by = self
            .settings
            .exceptions
            .iter()
            .find(|exception| exception.covers(&alert))
            .map(Exception::to_string);
        self.opened += 1;
        self.open.insert(key, alert.clone());
        Some(alert)
    }

    /// Closes the alerts whose last anomaly lies further back than the gap at `now` (event time) and
    /// appends them.
    pub fn close_quiet(&mut self, now: Timestamp, changed: &mut Vec<Alert>) {
        let gap = i64::from(self.settings.gap_seconds);
        let quiet = |alert: &Alert| alert.last.plus_seconds(gap) < now;
        for (_, mut alert) in self.open.extract_if(.., |_, alert| quiet(alert)) {
            alert.status = AlertStatus::Closed;
            changed.push(alert);
        }
    }

    /// The open alerts, for a snapshot.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }

    /// Continues with the open alerts of a snapshot in place of its own.
    pub fn resume(&mut self, open: Vec<Alert>) {
        self.open = open.into_iter().map(|alert| ((alert.kind, alert.subject), alert)).collect();
    }

    /// How many alerts are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// How many alerts were opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// How many alerts found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
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
mod tests {
    use super::*;
    use crate::model::{DetectorVerdict, WindowSpan};

    fn anomaly(minute: i64, kind: Kind, score: f64) -> Anomaly {
        let start = Timestamp::from_seconds(minute * 60);
        let source = "10.0.0.1".parse().unwrap();
        Anomaly {
            window: WindowSpan { start, seconds: 60, truncated: false },
            subject: Subject::Source(source),
            kinds: vec![kind],
            score: Score::clamped(score),
            confidence: 0.5,
            probability: 0.01,
            detectors: vec![DetectorVerdict {
                id: "test",
                kind,
                score: Score::clamped(score),
                probability: 0.01,
            }],
            features: vec![],
            reasons: vec![],
            sentence: format!("minute {minute}"),
            related: vec![],
        }
    }

    fn fold(alerts: &mut Alerts, anomaly: &Anomaly) -> Vec<Alert> {
        let mut changed = Vec::new();
        alerts.fold(anomaly, &mut changed);
        changed
    }

    #[test]
    fn consecutive_windows_are_one_alert_that_keeps_its_id_and_its_worst_window() {
        let mut alerts = Alerts::new(Settings::default());
        let first = fold(&mut alerts, &anomaly(0, Kind::PortScanVertical, 50.0));
        fold(&mut alerts, &anomaly(1, Kind::PortScanVertical, 80.0));
        let last = fold(&mut alerts, &anomaly(5, Kind::PortScanVertical, 60.0));
        assert_eq!(first[0].id(), last[0].id());
        assert_eq!((last[0].count, last[0].score.value()), (3, 80.0));
        assert_eq!(last[0].sentence, "minute 1");
        assert_eq!(alerts.opened(), 1);
    }

    #[test]
    fn a_gap_closes_an_alert_and_the_next_anomaly_opens_another() {
        let mut alerts = Alerts::new(Settings::default());
        let first = fold(&mut alerts, &anomaly(0, Kind::Blacklist, 70.0));
        let mut closed = Vec::new();
        alerts.close_quiet(Timestamp::from_seconds(60 + 900), &mut closed);
        assert!(closed.is_empty(), "the gap is not over yet");
        alerts.close_quiet(Timestamp::from_seconds(60 + 901), &mut closed);
        assert_eq!(closed[0].status, AlertStatus::Closed);
        let second = fold(&mut alerts, &anomaly(30, Kind::Blacklist, 70.0));
        assert_ne!(first[0].id(), second[0].id());
    }

    #[test]
    fn a_weak_anomaly_opens_nothing_but_extends_what_is_open() {
        let mut alerts = Alerts::new(Settings::default());
        assert!(fold(&mut alerts, &anomaly(0, Kind::Blacklist, 39.0)).is_empty());
        fold(&mut alerts, &anomaly(1, Kind::Blacklist, 60.0));
        assert_eq!(fold(&mut alerts, &anomaly(2, Kind::Blacklist, 5.0))[0].count, 2);
    }

    #[test]
    fn a_vague_kind_opens_no_alert_beside_the_scan_that_explains_it() {
        let mut alerts = Alerts::new(Settings::default());
        let mut both = anomaly(0, Kind::PortScanVertical, 80.0);
        both.kinds.push(Kind::TooManyPorts);
        both.detectors
            .push(DetectorVerdict { kind: Kind::TooManyPorts, ..both.detectors[0].clone() });
        let opened: Vec<Kind> = fold(&mut alerts, &both).iter().map(|alert| alert.kind).collect();
        assert_eq!(opened, [Kind::PortScanVertical]);
        assert_eq!(fold(&mut alerts, &anomaly(1, Kind::TooManyPorts, 60.0)).len(), 1);
    }

    #[test]
    fn anomalies_of_another_subject_type_or_length_do_not_fold() {
        let mut alerts = Alerts::new(Settings::default());
        assert!(fold(&mut alerts, &anomaly(0, Kind::VolumeOutlier, 60.0)).is_empty());
    }

    #[test]
    fn the_number_of_open_alerts_is_bounded_and_what_is_refused_is_counted() {
        let mut alerts = Alerts::new(Settings { max_open: 1, ..Settings::default() });
        fold(&mut alerts, &anomaly(0, Kind::Blacklist, 60.0));
        fold(&mut alerts, &anomaly(0, Kind::PortScanSlow, 60.0));
        assert_eq!((alerts.open_count(), alerts.refused()), (1, 1));
    }

    #[test]
    fn an_excepted_alert_says_by_what() {
        let line = r#"{kind: port_scan_vertical, source: 10.0.0.0/24, owner: anna, comment: "our scanner"}"#;
        let settings = Settings {
            exceptions: vec![serde_yaml_ng::from_str(line).unwrap()],
            ..Settings::default()
        };
        let mut alerts = Alerts::new(settings);
        let alert = &fold(&mut alerts, &anomaly(0, Kind::PortScanVertical, 60.0))[0];
        assert_eq!(
            alert.suppressed_by.as_deref(),
            Some("port_scan_vertical from 10.0.0.0/24 (anna: our scanner)")
        );
        let other = &fold(&mut alerts, &anomaly(0, Kind::PortScanSlow, 60.0))[0];
        assert_eq!(other.suppressed_by, None);
    }
}
