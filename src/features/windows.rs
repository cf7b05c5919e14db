//! Flows → event-time windows.
//!
//! A flow goes into the pane (10 s) of its end and into the longer window (60 s) that the pane
//! belongs to. A window closes when the watermark of every partition has passed its end; until then
//! the order of flows does not matter, and batches do not exist here at all.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::{Flow, Timestamp, WindowSpan, nanos};

use super::closed::{ClosedWindow, HostsWindow, PairsWindow};
use super::gathered::Gathered;
use super::hashing::HostKey;
use super::hosts::{DestinationWindow, ExporterWindow, FlowFacts, SourceWindow};
use super::loss::Export;
use super::network::NetworkCounters;
use super::open_pair::{OpenPair, PairFlow};
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
    /// Whether traffic that several exporters saw counts once.
    pub count_once: bool,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It counts in the window that starts here.
    Counted(Timestamp),
    /// Its window was closed. Checks of single flows note it in the window that starts here: the
    /// oldest that its own partition may still fill.
    Late(Timestamp),
    /// It was counted before the snapshot that this replay began with.
    Replayed,
}

/// How far a source partition is: an offset, and what was known just before the record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Offset of a record of the partition.
    pub offset: i64,
    /// Highest event time before it, minus the allowed lateness.
    #[serde(with = "nanos")]
    pub watermark: Timestamp,
}

#[derive(Debug)]
struct OpenPane {
    start: Timestamp,
    pairs: SubjectTable<OpenPair>,
    counters: NetworkCounters,
}

#[derive(Debug)]
struct OpenWindow {
    start: Timestamp,
    sources: SubjectTable<SourceWindow>,
    destinations: SubjectTable<DestinationWindow>,
    exporters: SubjectTable<ExporterWindow>,
    counters: NetworkCounters,
    /// Where each partition stood before its first flow that belongs here.
    begun: Vec<(u32, Position)>,
    /// Whether flows were counted or noted here; without them it holds nothing but numbers of
    /// datagrams whose flows ended before.
    is_used: bool,
}

/// Progress of one source partition.
#[derive(Clone, Copy, Debug)]
struct Partition {
    id: u32,
    /// Highest event time seen minus the allowed lateness.
    watermark: Timestamp,
    /// Before the record that is being counted.
    position: Position,
    /// Nobody waits for it: it has nothing to read.
    is_idle: bool,
}

/// All open windows.
#[derive(Debug)]
pub struct Windows {
    limits: WindowLimits,
    panes: VecDeque<OpenPane>,
    windows: VecDeque<OpenWindow>,
    /// What closed panes left for their open long windows.
    gathered: Gathered,
    partitions: Vec<Partition>,
    /// Everything that ends here or before is closed for good.
    closed_through: Timestamp,
    /// What ended here or before was counted before the snapshot that a replay began with.
    counted_through: Timestamp,
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
            gathered: Gathered::default(),
            partitions: Vec::new(),
            closed_through: Timestamp::MIN,
            counted_through: Timestamp::MIN,
            late: 0,
            overflow: 0,
        }
    }

    /// Counts a flow of a source partition. Its event time is its end.
    ///
    /// Lateness is judged by the partition's own watermark, in the order of the calls, so that a
    /// replay judges alike.
    pub fn add(&mut self, partition: u32, flow: &Flow) -> Placement {
        let placement = self.place(partition, flow);
        self.note_export(partition, flow);
        placement
    }

    fn place(&mut self, partition: u32, flow: &Flow) -> Placement {
        let lateness = i64::from(self.limits.lateness_seconds);
        let pane_start = flow.end.floor(self.limits.pane_seconds);
        let pane_end = end_of(pane_start, self.limits.pane_seconds);
        let (closed_through, counted_through) = (self.closed_through, self.counted_through);
        let window_seconds = self.limits.window_seconds;
        let progress = self.partition(partition);
        progress.is_idle = false;
        let position = progress.position;
        let window_start = flow.end.floor(window_seconds);
        let window_end = end_of(window_start, window_seconds);
        let own = progress.watermark;
        if pane_end <= own {
            // Behind the others' windows when it comes back from a rest.
            let noted = own.max(closed_through.max(counted_through)).floor(window_seconds);
            if end_of(own.floor(window_seconds), window_seconds) <= counted_through {
                return Placement::Replayed;
            }
            self.late += 1;
            self.window(noted).begin_use(partition, position);
            return Placement::Late(noted);
        }
        progress.watermark = own.max(flow.end.plus_seconds(-lateness));
        if window_end <= counted_through {
            return Placement::Replayed;
        }
        if pane_end <= closed_through {
            self.late += 1;
            let noted = closed_through.floor(window_seconds);
            self.window(noted).begin_use(partition, position);
            return Placement::Late(noted);
        }
        let facts = FlowFacts::of(flow);
        self.add_to_window(window_start, flow, &facts, (partition, position));
        self.add_to_pane(pane_start, flow, &facts);
        Placement::Counted(window_start)
    }

    fn partition(&mut self, id: u32) -> &mut Partition {
        let place = self.partitions.iter().position(|known| known.id == id);
        let place = place.unwrap_or_else(|| {
            let position = Position { offset: 0, watermark: Timestamp::MIN };
            let watermark = Timestamp::MIN;
            self.partitions.push(Partition { id, watermark, position, is_idle: false });
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
            pair.add(&PairFlow::of(flow, facts));
        }
    }

    fn window(&mut self, start: Timestamp) -> &mut OpenWindow {
        let limits = self.limits;
        open_at(
            &mut self.windows,
            start,
            |window| window.start,
            || OpenWindow {
                start,
                sources: SubjectTable::new(limits.max_subjects),
                destinations: SubjectTable::new(limits.max_subjects),
                exporters: SubjectTable::new(limits.max_subjects),
                counters: NetworkCounters::default(),
                begun: Vec::new(),
                is_used: false,
            },
        )
    }

    fn add_to_window(
        &mut self,
        start: Timestamp,
        flow: &Flow,
        facts: &FlowFacts,
        (partition, position): (u32, Position),
    ) {
        let window = self.window(start);
        window.begin_use(partition, position);
        if let Some(source) = facts.source.and_then(|key| window.sources.entry(key)) {
            source.add(flow, facts);
        }
        if let Some(destination) = facts.destination.and_then(|key| window.destinations.entry(key))
        {
            destination.add(flow, facts);
        }
        if let Some(exporter) = flow.exporter
            && let Some(exporter) = window.exporters.entry(HostKey::new(exporter))
        {
            exporter.add(flow, facts);
        }
    }

    /// Notes the number of the flow's datagram in the window of its arrival, where the flows of a
    /// datagram are together; by their ends they may lie in many. What comes for a window that is
    /// closed is left out by the same rules as a flow.
    fn note_export(&mut self, partition: u32, flow: &Flow) {
        let (Some(exporter), Some(export)) = (flow.exporter, Export::of(flow)) else { return };
        let start = export.received.floor(self.limits.window_seconds);
        let end = end_of(start, self.limits.window_seconds);
        let progress = *self.partition(partition);
        if end <= progress.watermark.max(self.closed_through).max(self.counted_through) {
            return;
        }
        let window = self.window(start);
        window.begin(partition, progress.position);
        if let Some(exporter) = window.exporters.note(HostKey::new(exporter)) {
            exporter.exports.insert(export);
        }
    }

    /// Event time up to which every partition that is waited for is complete; `None` when there is
    /// no partition. When all rest, nothing is waited for, and everything open may close.
    pub fn watermark(&self) -> Option<Timestamp> {
        let active = self.partitions.iter().filter(|partition| !partition.is_idle);
        let least = active.map(|partition| partition.watermark).min();
        least.or((!self.partitions.is_empty()).then_some(Timestamp::MAX))
    }

    /// Waits for a partition before windows are closed, even if it has shown nothing yet.
    pub fn expect(&mut self, partition: u32) {
        self.partition(partition).is_idle = false;
    }

    /// Does not wait for a partition any more until its next flow: it has nothing to read. What
    /// comes for windows that were closed without it is late.
    pub fn rest(&mut self, partition: u32) {
        self.partition(partition).is_idle = true;
    }

    /// Does not wait for a partition with windows that ended at `time` or before: it has shown
    /// everything that belongs there.
    pub fn pass(&mut self, partition: u32, time: Timestamp) {
        let progress = self.partition(partition);
        progress.watermark = progress.watermark.max(time);
    }

    /// Says that the flows that follow are of the record at `offset` of a partition.
    pub fn at(&mut self, partition: u32, offset: i64) {
        let progress = self.partition(partition);
        progress.position = Position { offset, watermark: progress.watermark };
    }

    /// Returns, for each partition, where reading must begin again to rebuild everything open.
    ///
    /// Exact right after [`Windows::next_closed`] gave a long window: what ended with it or before
    /// is counted, nothing after it is closed.
    pub fn positions(&self) -> Vec<(u32, Position)> {
        let begin_of = |partition: &Partition| {
            let begun = self.windows.iter().flat_map(|window| &window.begun);
            let own = begun.filter(|(id, _)| *id == partition.id).map(|(_, position)| *position);
            own.min_by_key(|position| position.offset).unwrap_or(partition.position)
        };
        self.partitions.iter().map(|partition| (partition.id, begin_of(partition))).collect()
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.panes.is_empty()
    }

    /// Everything that ended here or before is closed; `None` when nothing is.
    pub fn closed_through(&self) -> Option<Timestamp> {
        (self.closed_through > Timestamp::MIN).then_some(self.closed_through)
    }

    /// Continues without content where [`Windows::positions`] were taken: flows of windows that
    /// ended at `counted_through` or before are recognised and not counted again.
    pub fn resume(&mut self, counted_through: Timestamp, positions: &[(u32, Position)]) {
        (self.closed_through, self.counted_through) = (counted_through, counted_through);
        for &(id, position) in positions {
            let partition = self.partition(id);
            (partition.watermark, partition.position) = (position.watermark, position);
        }
    }

    /// Returns the next window that is complete, oldest first, a short one before the long one that
    /// ends with it; `None` when none is complete yet.
    ///
    /// Exporters of which no flow ended in a window are left out, and windows that hold no others.
    pub fn next_closed(&mut self) -> Option<ClosedWindow> {
        loop {
            let (mut closed, is_used) = self.close_until(self.watermark()?, true)?;
            if is_used {
                if let ClosedWindow::Hosts(window) = &mut closed {
                    window.exporters.retain(|exporter| exporter.counters.records > 0);
                }
                return Some(closed);
            }
        }
    }

    /// The same with everything that another partition may complete, and with nothing that can only
    /// be said once all partitions are together.
    pub(super) fn next_complete(&mut self) -> Option<ClosedWindow> {
        Some(self.close_until(self.watermark()?, false)?.0)
    }

    /// Declares a partition complete: nothing more will come. Its windows close with the others'.
    pub fn finish(&mut self) {
        for partition in &mut self.partitions {
            partition.watermark = Timestamp::MAX;
        }
    }

    /// Closes the next window, and tells whether it was used.
    fn close_until(
        &mut self,
        watermark: Timestamp,
        is_whole: bool,
    ) -> Option<(ClosedWindow, bool)> {
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
            self.closed_through = self.closed_through.max(pane_end?);
            let pane = self.panes.pop_front()?;
            return Some((ClosedWindow::Pairs(self.close_pane(pane, is_whole)), true));
        }
        if window_end? > watermark {
            return None;
        }
        self.closed_through = self.closed_through.max(window_end?);
        let window = self.windows.pop_front()?;
        let is_used = window.is_used;
        Some((ClosedWindow::Hosts(self.close_window(window)), is_used))
    }

    fn close_pane(&mut self, pane: OpenPane, is_whole: bool) -> PairsWindow {
        self.overflow += pane.pairs.overflow();
        let mut closed = PairsWindow {
            span: WindowSpan {
                start: pane.start,
                seconds: self.limits.pane_seconds,
                truncated: pane.pairs.overflow() > 0,
            },
            pairs: pane.pairs.into_sorted().into_iter().map(OpenPair::close).collect(),
            conversations: Vec::new(),
            counters: pane.counters,
        };
        if is_whole {
            self.gathered.close_pane(&mut closed, self.limits);
        }
        let start = pane.start.floor(self.limits.window_seconds);
        if let Some(window) = self.windows.iter_mut().find(|window| window.start == start) {
            window.counters.merge(&closed.counters);
        }
        closed
    }

    fn close_window(&mut self, window: OpenWindow) -> HostsWindow {
        let minute = self.gathered.take(window.start);
        let overflow = window.sources.overflow()
            + window.destinations.overflow()
            + window.exporters.overflow()
            + minute.overflow;
        self.overflow += overflow;
        let span = WindowSpan {
            start: window.start,
            seconds: self.limits.window_seconds,
            truncated: overflow > 0,
        };
        let hosts = (window.sources.into_sorted(), window.destinations.into_sorted());
        HostsWindow::of(span, hosts, window.exporters.into_sorted(), window.counters, minute)
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

impl OpenWindow {
    /// Remembers where a partition stood before its first flow that belongs here.
    fn begin(&mut self, partition: u32, position: Position) {
        if self.begun.iter().all(|(known, _)| *known != partition) {
            self.begun.push((partition, position));
        }
    }

    fn begin_use(&mut self, partition: u32, position: Position) {
        self.begin(partition, position);
        self.is_used = true;
    }
}

fn end_of(start: Timestamp, seconds: u32) -> Timestamp {
    start.plus_seconds(i64::from(seconds))
}

/// Returns the open window that starts at `start`, opened in its place when there is none. Looks at
/// the newest first: nearly all flows go there, but for partitions that are read one after the
/// other, which keep many windows open.
fn open_at<W>(
    windows: &mut VecDeque<W>,
    start: Timestamp,
    start_of: impl Fn(&W) -> Timestamp,
    open: impl FnOnce() -> W,
) -> &mut W {
    let newest = windows.len().wrapping_sub(1);
    if windows.back().is_some_and(|window| start_of(window) == start) {
        return &mut windows[newest];
    }
    let after = windows.partition_point(|window| start_of(window) < start);
    if windows.get(after).is_none_or(|window| start_of(window) != start) {
        windows.insert(after, open());
    }
    &mut windows[after]
}
