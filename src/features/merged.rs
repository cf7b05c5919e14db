//! Stage two: windows put together from the partials of all source partitions.
//!
//! Each partition sends a partial once its watermark has passed the window, and then the watermark.
//! A window closes when every partition that is waited for has passed it. What comes again, because
//! a worker began anew, replaces what it sent before. What is judged late depends on the order of
//! the calls alone, not on when closed windows are asked for.

use std::collections::BTreeMap;

use crate::model::{Timestamp, WindowSpan};

use super::network::{NetworkCounters, NetworkWindow};
use super::partial::{Notes, Partial, PartialPane, PartialWindow};
use super::parts::Part;
use super::table::union;
use super::windows::{ClosedWindow, HostsWindow, PairsWindow, WindowLimits};

/// What became of a partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It counts, in the place of one that came before.
    Kept,
    /// It counted already: its window was closed after its partition had passed it.
    Repeated,
    /// Its window was closed without it.
    Late,
    /// No window starts where it says: the lengths of windows differ between workers.
    Misplaced,
}

/// What one partition sent for one window.
#[derive(Debug)]
struct Received<P> {
    of: u32,
    parts: BTreeMap<u32, P>,
}

/// By start of the window, by partition.
type Open<P> = BTreeMap<Timestamp, BTreeMap<u32, Received<P>>>;

/// Progress of one source partition.
#[derive(Clone, Copy, Debug)]
struct Progress {
    watermark: Timestamp,
    is_waited_for: bool,
}

/// The open windows of stage two. Memory: a partition may bring as many subjects of each type per
/// window as the cap allows.
#[derive(Debug)]
pub struct MergedWindows {
    limits: WindowLimits,
    panes: Open<PartialPane>,
    windows: Open<PartialWindow>,
    /// Totals of the closed panes of open long windows.
    totals: BTreeMap<Timestamp, NetworkCounters>,
    partitions: BTreeMap<u32, Progress>,
    /// Everything that ends here or before is closed.
    closed_through: Timestamp,
    /// Everything that ends here or before was judged before a restart.
    judged_through: Timestamp,
    /// Of the long windows that were handed out.
    notes: Vec<Notes>,
    late: u64,
    misplaced: u64,
    incomplete: u64,
    overflow: u64,
}

impl MergedWindows {
    /// Returns windows without content. The lengths must be those of stage one; the cap holds for
    /// the subjects of all partitions together.
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            panes: BTreeMap::new(),
            windows: BTreeMap::new(),
            totals: BTreeMap::new(),
            partitions: BTreeMap::new(),
            closed_through: Timestamp::MIN,
            judged_through: Timestamp::MIN,
            notes: Vec::new(),
            late: 0,
            misplaced: 0,
            incomplete: 0,
            overflow: 0,
        }
    }

    /// Takes a partial of a source partition, which is waited for from now on. A repeat (same
    /// partition, window and part) replaces.
    pub fn put(&mut self, partition: u32, partial: Partial) -> Receipt {
        let (start, seconds) = match &partial {
            Partial::Pane(pane) => (pane.start, self.limits.pane_seconds),
            Partial::Window(window) => (window.start, self.limits.window_seconds),
        };
        let end = end_of(start, seconds);
        let passed = self.active(partition).watermark;
        if start.floor(seconds) != start || end.seconds_since(start) != f64::from(seconds) {
            self.misplaced += 1;
            return Receipt::Misplaced;
        }
        if end <= self.judged_through || (end <= self.closed_through && end <= passed) {
            return Receipt::Repeated;
        }
        if end <= self.closed_through {
            if let Partial::Pane(pane) = &partial {
                self.late = self.late.saturating_add(pane.counters.flows);
            }
            return Receipt::Late;
        }
        match partial {
            Partial::Pane(pane) => replace(&mut self.panes, start, partition, pane.part, pane),
            Partial::Window(window) => {
                replace(&mut self.windows, start, partition, window.part, window);
            }
        }
        Receipt::Kept
    }

    /// The partition has passed `watermark`: it has sent all partials of windows that end there or
    /// before. It is waited for from now on.
    pub fn pass(&mut self, partition: u32, watermark: Timestamp) {
        let progress = self.active(partition);
        progress.watermark = progress.watermark.max(watermark);
        self.advance();
    }

    /// Waits for a partition before windows are closed, even if it has sent nothing yet.
    pub fn expect(&mut self, partition: u32) {
        self.active(partition);
    }

    /// Does not wait for a partition any more until it sends something: it has nothing to read.
    /// When nobody is waited for, everything that is here closes.
    pub fn forget(&mut self, partition: u32) {
        if let Some(progress) = self.partitions.get_mut(&partition) {
            progress.is_waited_for = false;
            self.advance();
        }
    }

    fn active(&mut self, partition: u32) -> &mut Progress {
        let progress = self
            .partitions
            .entry(partition)
            .or_insert(Progress { watermark: Timestamp::MIN, is_waited_for: true });
        progress.is_waited_for = true;
        progress
    }

    fn advance(&mut self) {
        let waited_for = self.partitions.values().filter(|progress| progress.is_waited_for);
        let slowest = waited_for.map(|progress| progress.watermark).min();
        let now = slowest.or_else(|| self.newest_end());
        self.closed_through = self.closed_through.max(now.unwrap_or(Timestamp::MIN));
    }

    /// The latest end of all that is here.
    fn newest_end(&self) -> Option<Timestamp> {
        let pane = self.panes.last_key_value().map(|(start, _)| (start, self.limits.pane_seconds));
        let window =
            self.windows.last_key_value().map(|(start, _)| (start, self.limits.window_seconds));
        pane.into_iter().chain(window).map(|(start, seconds)| end_of(*start, seconds)).max()
    }

    /// Everything that ends here or before is closed, and complete once
    /// [`MergedWindows::next_closed`] has nothing more to give; `None` when nothing is.
    pub fn closed_through(&self) -> Option<Timestamp> {
        (self.closed_through > Timestamp::MIN).then_some(self.closed_through)
    }

    /// Continues after a restart: partials of windows that end at `closed_through` or before are
    /// recognised as repeated.
    pub fn resume(&mut self, closed_through: Timestamp) {
        (self.closed_through, self.judged_through) = (closed_through, closed_through);
    }

    /// Returns the next window that is complete, in the order of [`super::Windows::next_closed`]:
    /// oldest first, a short one before the long one that ends with it.
    pub fn next_closed(&mut self) -> Option<ClosedWindow> {
        let pane = self.panes.first_entry().map(|entry| *entry.key());
        let window = self.windows.first_entry().map(|entry| *entry.key());
        let pane_end = pane.map(|start| end_of(start, self.limits.pane_seconds));
        let window_end = window.map(|start| end_of(start, self.limits.window_seconds));
        let pane_is_next = match (pane_end, window_end) {
            (Some(pane), Some(window)) => pane <= window,
            (pane, _) => pane.is_some(),
        };
        if (if pane_is_next { pane_end } else { window_end })? > self.closed_through {
            return None;
        }
        if pane_is_next {
            let (start, received) = self.panes.pop_first()?;
            return Some(ClosedWindow::Pairs(self.close_pane(start, received)));
        }
        let (start, received) = self.windows.pop_first()?;
        Some(ClosedWindow::Hosts(self.close_window(start, received)))
    }

    fn close_pane(
        &mut self,
        start: Timestamp,
        received: BTreeMap<u32, Received<PartialPane>>,
    ) -> PairsWindow {
        let is_complete = self.is_complete(&received);
        let (mut pairs, mut counters, mut overflow) =
            (Vec::new(), NetworkCounters::default(), 0u64);
        for part in parts(received) {
            pairs.extend(part.pairs);
            counters.merge(&part.counters);
            overflow = overflow.saturating_add(part.overflow);
        }
        let (pairs, beyond) = union(pairs, self.limits.max_subjects);
        let overflow = overflow.saturating_add(beyond);
        let total = self.totals.entry(start.floor(self.limits.window_seconds)).or_default();
        total.merge(&counters);
        let span = self.span(start, self.limits.pane_seconds, overflow, is_complete);
        PairsWindow { span, pairs, counters }
    }

    fn close_window(
        &mut self,
        start: Timestamp,
        received: BTreeMap<u32, Received<PartialWindow>>,
    ) -> HostsWindow {
        let is_complete = self.is_complete(&received);
        let (mut sources, mut destinations, mut exporters) = (Vec::new(), Vec::new(), Vec::new());
        let mut overflow = 0u64;
        for part in parts(received) {
            sources.extend(part.sources);
            destinations.extend(part.destinations);
            exporters.extend(part.exporters);
            overflow = overflow.saturating_add(part.overflow);
            self.notes.extend(part.notes);
        }
        let cap = self.limits.max_subjects;
        let (sources, more_sources) = union(sources, cap);
        let (destinations, more_destinations) = union(destinations, cap);
        let (exporters, more_exporters) = union(exporters, cap);
        for beyond in [more_sources, more_destinations, more_exporters] {
            overflow = overflow.saturating_add(beyond);
        }
        let later = self.totals.split_off(&end_of(start, self.limits.window_seconds));
        let counters = std::mem::replace(&mut self.totals, later).remove(&start);
        let counters = counters.unwrap_or_default();
        let network = NetworkWindow::of_hosts(counters, &sources, &destinations);
        let span = self.span(start, self.limits.window_seconds, overflow, is_complete);
        HostsWindow { span, sources, destinations, exporters, network }
    }

    /// Whether every partition has sent all parts; counted when not.
    fn is_complete<P>(&mut self, received: &BTreeMap<u32, Received<P>>) -> bool {
        let missing = received.values().filter(|own| own.parts.len() < own.of as usize).count();
        self.incomplete += missing as u64;
        missing == 0
    }

    fn span(
        &mut self,
        start: Timestamp,
        seconds: u32,
        overflow: u64,
        is_complete: bool,
    ) -> WindowSpan {
        self.overflow = self.overflow.saturating_add(overflow);
        WindowSpan { start, seconds, truncated: overflow > 0 || !is_complete }
    }

    /// Takes the notes of the long windows that [`MergedWindows::next_closed`] gave since the last
    /// call: ask right after each, and hand them to the detectors before they judge it.
    pub fn take_notes(&mut self) -> Vec<Notes> {
        std::mem::take(&mut self.notes)
    }

    /// Flows in partials whose window was closed without them.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Partials of windows that cannot be.
    pub fn misplaced(&self) -> u64 {
        self.misplaced
    }

    /// Partials that were used although parts of them were missing; their windows are `truncated`.
    pub fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// Additions to closed windows that found no room under the caps on subjects of either stage.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }
}

fn end_of(start: Timestamp, seconds: u32) -> Timestamp {
    start.plus_seconds(i64::from(seconds))
}

/// Puts a part in the place of the one that came before. Parts of another division into parts go.
fn replace<P>(open: &mut Open<P>, start: Timestamp, partition: u32, part: Part, content: P) {
    let partitions = open.entry(start).or_default();
    let empty = || Received { of: part.of(), parts: BTreeMap::new() };
    let received = partitions.entry(partition).or_insert_with(empty);
    if received.of != part.of() {
        *received = empty();
    }
    received.parts.insert(part.number(), content);
}

/// All parts, in order of partition and number.
fn parts<P>(received: BTreeMap<u32, Received<P>>) -> impl Iterator<Item = P> {
    received.into_values().flat_map(|own| own.parts.into_values())
}
