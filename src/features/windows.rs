//! Flows → event-time windows.
//!
//! A flow goes into the pane (10 s) of its end and into the longer window (60 s) that the pane
//! belongs to. A window closes when the watermark of every partition has passed its end; until then
//! the order of flows does not matter, and batches do not exist here at all.

use std::collections::VecDeque;

use crate::model::{Flow, Timestamp, WindowSpan};

use super::hosts::{DestinationWindow, ExporterWindow, FlowFacts, SourceWindow};
use super::network::{BatchFeatures, NetworkCounters, NetworkWindow};
use super::pairs::PairWindow;
use super::table::SubjectTable;

/// Lengths and limits of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Length of pair windows, in seconds.
    pub pane_seconds: u32,
    /// Length of host, exporter and network windows, in seconds; a multiple of `pane_seconds`.
    pub window_seconds: u32,
    /// How much later than the newest event time a flow may come and still be counted.
    pub lateness_seconds: u32,
    /// Most subjects of one type in one window; more are counted, not held.
    pub max_subjects: usize,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It counts in the window that starts here.
    Counted(Timestamp),
    /// Its window was closed.
    Late,
}

/// A window that will not change any more.
#[derive(Debug)]
pub enum ClosedWindow {
    /// A short window over pairs.
    Pairs(PairsWindow),
    /// A long window over hosts, exporters and the network.
    Hosts(HostsWindow),
}

/// A closed short window.
#[derive(Debug)]
pub struct PairsWindow {
    /// When.
    pub span: WindowSpan,
    /// The pairs in ascending order.
    pub pairs: Vec<PairWindow>,
    /// Totals of the same time.
    pub counters: NetworkCounters,
}

impl PairsWindow {
    /// Returns system 001's batch features of this window.
    pub fn batch_features(&self) -> BatchFeatures {
        BatchFeatures::of(&self.counters, &self.pairs, self.span.seconds)
    }
}

/// A closed long window.
#[derive(Debug)]
pub struct HostsWindow {
    /// When.
    pub span: WindowSpan,
    /// Senders in ascending order.
    pub sources: Vec<SourceWindow>,
    /// Receivers in ascending order.
    pub destinations: Vec<DestinationWindow>,
    /// Exporters in ascending order.
    pub exporters: Vec<ExporterWindow>,
    /// The whole network.
    pub network: NetworkWindow,
}

#[derive(Debug)]
struct OpenPane {
    start: Timestamp,
    pairs: SubjectTable<PairWindow>,
    counters: NetworkCounters,
}

#[derive(Debug)]
struct OpenWindow {
    start: Timestamp,
    sources: SubjectTable<SourceWindow>,
    destinations: SubjectTable<DestinationWindow>,
    exporters: SubjectTable<ExporterWindow>,
    counters: NetworkCounters,
}

/// Progress of one source partition.
#[derive(Clone, Copy, Debug)]
struct Partition {
    id: u32,
    /// Highest event time seen minus the allowed lateness.
    watermark: Timestamp,
}

/// All open windows.
#[derive(Debug)]
pub struct Windows {
    limits: WindowLimits,
    panes: VecDeque<OpenPane>,
    windows: VecDeque<OpenWindow>,
    partitions: Vec<Partition>,
    late: u64,
    overflow: u64,
}

impl Windows {
    /// Returns windows without content. `limits` must hold whole panes per window (the settings are
    /// checked when read).
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            panes: VecDeque::new(),
            windows: VecDeque::new(),
            partitions: Vec::new(),
            late: 0,
            overflow: 0,
        }
    }

    /// Counts a flow of a source partition. Its event time is its end.
    ///
    /// Lateness is judged by the partition's own watermark, in the order of the calls, so that a
    /// replay judges alike.
    pub fn add(&mut self, partition: u32, flow: &Flow) -> Placement {
        let lateness = i64::from(self.limits.lateness_seconds);
        let pane_start = flow.end.floor(self.limits.pane_seconds);
        let pane_end = pane_start.plus_seconds(i64::from(self.limits.pane_seconds));
        let progress = self.partition(partition);
        if pane_end <= progress.watermark {
            self.late += 1;
            return Placement::Late;
        }
        progress.watermark = progress.watermark.max(flow.end.plus_seconds(-lateness));
        let facts = FlowFacts::of(flow);
        let window_start = flow.end.floor(self.limits.window_seconds);
        self.add_to_window(window_start, flow, &facts);
        self.add_to_pane(pane_start, flow, &facts);
        Placement::Counted(window_start)
    }

    fn partition(&mut self, id: u32) -> &mut Partition {
        let place = self.partitions.iter().position(|known| known.id == id);
        let place = place.unwrap_or_else(|| {
            self.partitions.push(Partition { id, watermark: Timestamp::MIN });
            self.partitions.len() - 1
        });
        &mut self.partitions[place]
    }

    fn add_to_pane(&mut self, start: Timestamp, flow: &Flow, facts: &FlowFacts) {
        let limits = self.limits;
        let pane = open_at(
            &mut self.panes,
            start,
            |pane| pane.start,
            || OpenPane {
                start,
                pairs: SubjectTable::new(limits.max_subjects),
                counters: NetworkCounters::default(),
            },
        );
        pane.counters.add(flow, facts);
        if let (Some(source), Some(destination)) = (facts.source, facts.destination)
            && let Some(pair) = pane.pairs.entry((source, destination))
        {
            pair.add(flow, facts);
        }
    }

    fn add_to_window(&mut self, start: Timestamp, flow: &Flow, facts: &FlowFacts) {
        let limits = self.limits;
        let window = open_at(
            &mut self.windows,
            start,
            |window| window.start,
            || OpenWindow {
                start,
                sources: SubjectTable::new(limits.max_subjects),
                destinations: SubjectTable::new(limits.max_subjects),
                exporters: SubjectTable::new(limits.max_subjects),
                counters: NetworkCounters::default(),
            },
        );
        if let Some(source) = facts.source.and_then(|key| window.sources.entry(key)) {
            source.add(flow, facts);
        }
        if let Some(destination) = facts.destination.and_then(|key| window.destinations.entry(key))
        {
            destination.add(flow, facts);
        }
        if let Some(exporter) = flow.exporter
            && let Some(exporter) = window.exporters.entry(super::HostKey::new(exporter))
        {
            exporter.add(flow, facts);
        }
    }

    /// Event time up to which every partition is complete; `None` before the first flow.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.partitions.iter().map(|partition| partition.watermark).min()
    }

    /// Returns the next window that is complete, oldest first, a short one before the long one that
    /// ends with it; `None` when none is complete yet.
    pub fn next_closed(&mut self) -> Option<ClosedWindow> {
        let watermark = self.watermark()?;
        self.close_until(watermark)
    }

    /// Declares a partition complete: nothing more will come. Its windows close with the others'.
    pub fn finish(&mut self) {
        for partition in &mut self.partitions {
            partition.watermark = Timestamp::MAX;
        }
    }

    fn close_until(&mut self, watermark: Timestamp) -> Option<ClosedWindow> {
        let end_of = |start: Timestamp, seconds: u32| start.plus_seconds(i64::from(seconds));
        let pane_end = self.panes.front().map(|pane| end_of(pane.start, self.limits.pane_seconds));
        let window_end =
            self.windows.front().map(|window| end_of(window.start, self.limits.window_seconds));
        let pane_is_next = match (pane_end, window_end) {
            (Some(pane), Some(window)) => pane <= window,
            (pane, _) => pane.is_some(),
        };
        if pane_is_next {
            if pane_end? > watermark {
                return None;
            }
            let pane = self.panes.pop_front()?;
            return Some(ClosedWindow::Pairs(self.close_pane(pane)));
        }
        if window_end? > watermark {
            return None;
        }
        let window = self.windows.pop_front()?;
        Some(ClosedWindow::Hosts(self.close_window(window)))
    }

    fn close_pane(&mut self, pane: OpenPane) -> PairsWindow {
        let start = pane.start.floor(self.limits.window_seconds);
        if let Some(window) = self.windows.iter_mut().find(|window| window.start == start) {
            window.counters.merge(&pane.counters);
        }
        self.overflow += pane.pairs.overflow();
        PairsWindow {
            span: WindowSpan {
                start: pane.start,
                seconds: self.limits.pane_seconds,
                truncated: pane.pairs.overflow() > 0,
            },
            pairs: pane.pairs.into_sorted(),
            counters: pane.counters,
        }
    }

    fn close_window(&mut self, window: OpenWindow) -> HostsWindow {
        let overflow = window.sources.overflow()
            + window.destinations.overflow()
            + window.exporters.overflow();
        self.overflow += overflow;
        let sources = window.sources.into_sorted();
        let destinations = window.destinations.into_sorted();
        let network = NetworkWindow::of_hosts(window.counters, &sources, &destinations);
        HostsWindow {
            span: WindowSpan {
                start: window.start,
                seconds: self.limits.window_seconds,
                truncated: overflow > 0,
            },
            sources,
            destinations,
            exporters: window.exporters.into_sorted(),
            network,
        }
    }

    /// Flows that came after their window was closed.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Additions to closed windows that found no room under the cap on subjects.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }
}

/// Returns the open window that starts at `start`, opened in its place when there is none. Looks
/// from the newest: nearly all flows go there.
fn open_at<W>(
    windows: &mut VecDeque<W>,
    start: Timestamp,
    start_of: impl Fn(&W) -> Timestamp,
    open: impl FnOnce() -> W,
) -> &mut W {
    let after = windows.iter().rposition(|window| start_of(window) <= start);
    let place = match after {
        Some(place) if start_of(&windows[place]) == start => place,
        _ => {
            let place = after.map_or(0, |place| place + 1);
            windows.insert(place, open());
            place
        }
    };
    &mut windows[place]
}
