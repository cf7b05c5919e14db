//! Flows in; window summaries, anomalies and alerts out: the whole judgement as one pure object.
//!
//! `Scorer::add` → clock repair → windows → (closed windows) → detectors → fuse → alerts. No clock,
//! no I/O, no threads: the same flows in the same order give the same output, in stream, batch and
//! tests.
//!
//! With several workers the same is done in two stages: a [`Fold`] per source partition makes
//! partials, one [`MergedScorer`] judges those of all.

mod evidence;
mod fold;
mod judge;
mod merged;
mod observer;
mod settings;
mod state;
mod summary;

use crate::alerts::{self, SharedRules, Withheld};
use crate::detect::Detector;
use crate::features::{Placement, Windows};
use crate::model::{Alert, Anomaly, Flow, Timestamp, WindowSummary};

use judge::Judge;

pub use fold::{Fold, FoldPosition};
pub use merged::MergedScorer;
pub use settings::Settings;
pub use state::{Learned, LogPosition, SourceProgress, State};

/// Something to write down.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Numbers of a subject over a closed window.
    Window(WindowSummary),
    /// A new fact.
    Anomaly(Anomaly),
    /// An alert as it is now; a later one with the same id replaces it.
    Alert(Alert),
}

/// What a scorer has seen, for summaries and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows taken, late ones included.
    pub flows: u64,
    /// Flows that came after their window was closed.
    pub late: u64,
    /// Flows that were counted before a restart and came again.
    pub replayed: u64,
    /// Flows whose event time was replaced by the receive time.
    pub clock_skew: u64,
    /// Flows without a sampling rate (taken as 1).
    pub unknown_sampling: u64,
    /// Long windows closed.
    pub windows: u64,
    /// Source subjects over all closed long windows.
    pub sources: u64,
    /// Destination subjects over all closed long windows.
    pub destinations: u64,
    /// Pair subjects over all closed short windows.
    pub pairs: u64,
    /// Additions that found no room under the cap on subjects.
    pub overflow: u64,
    /// Notes of other workers' detectors that could not be read.
    pub damaged_notes: u64,
    /// Anomalies found.
    pub anomalies: u64,
    /// Alerts opened.
    pub alerts: u64,
    /// Alerts that the budget held back.
    pub withheld: Withheld,
}

/// Judges flows.
pub struct Scorer {
    windows: Windows,
    judge: Judge,
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
}

impl Scorer {
    /// Returns a scorer that has seen nothing. The settings must have been checked.
    pub fn new(
        settings: Settings,
        alerts: alerts::Settings,
        detectors: Vec<Box<dyn Detector>>,
    ) -> Self {
        Self {
            windows: Windows::new(settings.window_limits()),
            judge: Judge::new(settings, alerts, detectors),
            earliest: None,
            latest: None,
        }
    }

    /// Follows what people decide about alerts, from the next window on. Without this the exceptions
    /// of the settings count.
    pub fn follow(&mut self, rules: SharedRules) {
        self.judge.follow(rules);
    }

    /// Takes a flow of a source partition and appends what follows from it. Returns whether it was
    /// counted or came late; late flows still pass the checks of single flows.
    pub fn add(&mut self, partition: u32, mut flow: Flow, output: &mut Vec<Output>) -> Placement {
        let windows = &mut self.windows;
        let placement = self.judge.observer.add(&mut flow, |flow| windows.add(partition, flow));
        if let Placement::Counted(_) = placement {
            self.earliest = Some(self.earliest.map_or(flow.end, |time| time.min(flow.end)));
            self.latest = Some(self.latest.map_or(flow.end, |time| time.max(flow.end)));
        }
        self.close(output);
        placement
    }

    /// Waits for a source partition before windows are closed, even if it has shown nothing yet.
    pub fn expect(&mut self, partition: u32) {
        self.windows.expect(partition);
    }

    /// The source partitions that were told of, by number.
    pub fn partitions(&self) -> Vec<u32> {
        self.windows.positions().into_iter().map(|(partition, _)| partition).collect()
    }

    /// Says that the flows that follow are of the record at `offset` of a source partition.
    pub fn at(&mut self, partition: u32, offset: i64) {
        self.windows.at(partition, offset);
    }

    /// Does not wait for a source partition any more until its next flow: it has nothing to read.
    pub fn rest(&mut self, partition: u32, output: &mut Vec<Output>) {
        self.windows.rest(partition);
        self.close(output);
    }

    /// Does not wait for a source partition with windows that ended at `time` or before: it has
    /// shown everything that belongs there.
    pub fn pass(&mut self, partition: u32, time: Timestamp, output: &mut Vec<Output>) {
        self.windows.pass(partition, time);
        self.close(output);
    }

    /// Every window that ended here or before is judged; `None` before the first.
    pub fn judged_through(&self) -> Option<Timestamp> {
        self.windows.closed_through()
    }

    /// Whether no source partition is waited for: all were read to their ends a while ago.
    pub fn is_at_rest(&self) -> bool {
        self.windows.watermark() == Some(Timestamp::MAX)
    }

    /// Ends the input: closes every window that is still open and appends what follows.
    pub fn finish(&mut self, output: &mut Vec<Output>) {
        self.windows.finish();
        self.close(output);
    }

    fn close(&mut self, output: &mut Vec<Output>) {
        while let Some(closed) = self.windows.next_closed() {
            if let Some(end) = self.judge.close(&closed, output) {
                let windows = &self.windows;
                self.judge.note_state(end, || (windows.positions(), None));
            }
        }
    }

    /// What was seen so far.
    pub fn counters(&self) -> Counters {
        Counters {
            late: self.windows.late(),
            overflow: self.windows.overflow(),
            ..self.judge.counters()
        }
    }

    /// Earliest and latest event time counted; `None` before the first flow.
    pub fn extent(&self) -> Option<(Timestamp, Timestamp)> {
        self.earliest.zip(self.latest)
    }

    /// Event time up to which every partition is complete.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.windows.watermark()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::HostsWindow;
    use crate::model::{Finding, Kind, Subject};
    use crate::testkit::flow;

    /// Finds every source that sends more than 1,000 bytes in a window.
    struct Heavy;

    impl Detector for Heavy {
        fn id(&self) -> &'static str {
            "heavy"
        }

        fn close_hosts(&mut self, window: &HostsWindow, findings: &mut Vec<Finding>) {
            for host in window.sources.iter().filter(|host| host.counters.bytes > 1_000) {
                findings.push(Finding {
                    detector: self.id(),
                    kind: Kind::Blacklist,
                    subject: host.subject(),
                    window: window.span,
                    probability: 0.001,
                    strength: 0.5,
                    features: vec![],
                    reason: format!("sent {} bytes", host.counters.bytes),
                    related: vec![],
                    services: Vec::new(),
                });
            }
        }
    }

    fn scorer() -> Scorer {
        Scorer::new(Settings::default(), alerts::Settings::default(), vec![Box::new(Heavy)])
    }

    #[test]
    fn a_finding_becomes_an_anomaly_and_an_alert_once_its_window_is_over() {
        let mut scorer = scorer();
        let mut output = Vec::new();
        scorer.add(0, flow().at(0).bytes(5_000).build(), &mut output);
        assert!(output.is_empty(), "the window is open");
        scorer.add(0, flow().at(200).build(), &mut output);
        let anomalies: Vec<_> =
            output.iter().filter(|output| matches!(output, Output::Anomaly(_))).collect();
        let alerts: Vec<_> =
            output.iter().filter(|output| matches!(output, Output::Alert(_))).collect();
        assert_eq!((anomalies.len(), alerts.len()), (1, 1));
        let Output::Anomaly(anomaly) = anomalies[0] else { unreachable!() };
        assert_eq!(anomaly.subject, Subject::Source("10.0.0.1".parse().unwrap()));
        assert_eq!(anomaly.sentence, "10.0.0.1 sent 5000 bytes.");
    }

    #[test]
    fn network_exporters_and_the_busiest_hosts_are_summarised() {
        let mut scorer = scorer();
        let mut output = Vec::new();
        for n in 0..50 {
            let from = format!("10.0.1.{n}");
            scorer.add(0, flow().from(&from).bytes(n).export("192.0.2.1", 1).build(), &mut output);
        }
        scorer.finish(&mut output);
        let summaries: Vec<_> = output
            .iter()
            .filter_map(|output| match output {
                Output::Window(summary) => Some(summary.subject),
                _ => None,
            })
            .collect();
        let sources = summaries.iter().filter(|subject| matches!(subject, Subject::Source(_)));
        assert_eq!(sources.count(), Settings::default().keep_hosts);
        assert!(summaries.contains(&Subject::Network));
        assert!(summaries.contains(&Subject::Exporter("192.0.2.1".parse().unwrap())));
        assert!(summaries.contains(&Subject::Source("10.0.1.49".parse().unwrap())), "the busiest");
    }

    #[test]
    fn a_wrong_exporter_clock_is_counted_and_hurts_nobody() {
        let mut scorer = scorer();
        let mut output = Vec::new();
        scorer.add(0, flow().at(1_000).received(1_000).build(), &mut output);
        scorer.add(0, flow().at(5_000_000).received(1_001).build(), &mut output);
        scorer.add(0, flow().at(1_002).received(1_002).build(), &mut output);
        let counters = scorer.counters();
        assert_eq!((counters.clock_skew, counters.late), (1, 0));
    }
}
