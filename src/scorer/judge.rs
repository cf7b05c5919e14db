//! Closed windows → detectors → fuse → alerts: what both kinds of scorers share.

use crate::alerts::{self, Alerts, SharedRules};
use crate::detect::{Detector, RestoreError};
use crate::features::{ClosedWindow, Conversation, HostsWindow, Notes, Position};
use crate::fuse::fuse;
use crate::model::{Finding, Timestamp, WindowSpan};

use super::evidence::Conversations;
use super::observer::Observer;
use super::state::{Learned, LogPosition, State};
use super::{Counters, Output, Settings, summary};

/// Judges closed windows, in their order.
pub(super) struct Judge {
    pub(super) observer: Observer,
    alerts: Alerts,
    /// A state is asked for, at the end of the next long window.
    pub(super) wants_state: bool,
    pub(super) state: Option<State>,
}

impl Judge {
    pub(super) fn new(
        settings: Settings,
        alerts: alerts::Settings,
        detectors: Vec<Box<dyn Detector>>,
    ) -> Self {
        let (observer, alerts) = (Observer::new(settings, detectors), Alerts::new(alerts));
        Self { observer, alerts, wants_state: false, state: None }
    }

    /// Judges a window and appends what follows. Returns the end of a long one.
    pub(super) fn close(
        &mut self,
        closed: &ClosedWindow,
        output: &mut Vec<Output>,
    ) -> Option<Timestamp> {
        let mut findings = Vec::new();
        match closed {
            ClosedWindow::Pairs(window) => {
                self.observer.counters.pairs += window.pairs.len() as u64;
                self.observer
                    .detectors
                    .iter_mut()
                    .for_each(|d| d.close_pairs(window, &mut findings));
                self.judge((window.span, &window.conversations), findings, output);
                None
            }
            ClosedWindow::Hosts(window) => {
                self.count(window);
                let summaries = summary::summaries(window, self.observer.settings.keep_hosts);
                output.extend(summaries.into_iter().map(Output::Window));
                self.observer
                    .detectors
                    .iter_mut()
                    .for_each(|d| d.close_hosts(window, &mut findings));
                self.judge((window.span, &window.conversations), findings, output);
                Some(window.span.end())
            }
        }
    }

    /// Hands a detector what another one of its kind noted of flows of the window at `start`.
    pub(super) fn add_notes(&mut self, start: Timestamp, notes: &Notes) {
        let known =
            self.observer.detectors.iter_mut().find(|detector| detector.id() == notes.detector);
        // One that is switched off here needs none.
        if let Some(detector) = known
            && detector.add_notes(start, &notes.bytes).is_err()
        {
            self.observer.counters.damaged_notes += 1;
        }
    }

    fn count(&mut self, window: &HostsWindow) {
        self.observer.counters.windows += 1;
        self.observer.counters.sources += window.sources.len() as u64;
        self.observer.counters.destinations += window.destinations.len() as u64;
    }

    fn judge(
        &mut self,
        (span, conversations): (WindowSpan, &[Conversation]),
        findings: Vec<Finding>,
        output: &mut Vec<Output>,
    ) {
        let mut changed = Vec::new();
        let mut anomalies = fuse(span, findings);
        if !anomalies.is_empty() {
            let conversations = Conversations::new(conversations);
            anomalies.iter_mut().for_each(|anomaly| conversations.explain(anomaly));
        }
        self.observer.counters.anomalies += anomalies.len() as u64;
        self.alerts.fold(span.end(), &anomalies, &mut changed);
        output.extend(anomalies.into_iter().map(Output::Anomaly));
        self.alerts.close_quiet(span.end(), &mut changed);
        output.extend(changed.into_iter().map(Output::Alert));
    }

    /// Follows what people decide about alerts, from the next window on.
    pub(super) fn follow(&mut self, rules: SharedRules) {
        self.alerts.follow(rules);
    }

    /// What was seen, the numbers of the alerts included.
    pub(super) fn counters(&self) -> Counters {
        let (alerts, withheld) = (self.alerts.opened(), self.alerts.withheld());
        Counters { alerts, withheld, ..self.observer.counters }
    }

    /// Notes the state right after a long window was closed and judged, if it was asked for; `place`
    /// tells where reading goes on.
    pub(super) fn note_state(
        &mut self,
        closed_through: Timestamp,
        place: impl FnOnce() -> (Vec<(u32, Position)>, Option<LogPosition>),
    ) {
        if !std::mem::take(&mut self.wants_state) {
            return;
        }
        let (positions, log) = place();
        let saved = self
            .observer
            .detectors
            .iter()
            .map(|detector| Learned { id: detector.id().to_owned(), state: detector.save() });
        let detectors = saved.filter(|learned| !learned.state.is_empty()).collect();
        let (alerts, budget) = (self.alerts.open_alerts().cloned().collect(), self.alerts.budget());
        self.state = Some(State { closed_through, positions, log, detectors, alerts, budget });
    }

    /// Continues with what a state holds of detectors and alerts; returns what cannot be read.
    pub(super) fn resume(&mut self, state: State) -> Vec<RestoreError> {
        self.alerts.resume(state.alerts, state.budget);
        let mut damaged = Vec::new();
        for Learned { id, state } in &state.detectors {
            let known =
                self.observer.detectors.iter_mut().find(|detector| detector.id() == id.as_str());
            // One that was switched off meanwhile is nobody's loss.
            if let Some(Err(error)) = known.map(|detector| detector.restore(state)) {
                damaged.push(error);
            }
        }
        damaged
    }
}
