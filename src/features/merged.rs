//! Stage two: windows put together from the partials of all source partitions.
//!
//! Each partition sends a partial once its watermark has passed the window, and then the watermark.
//! A window closes when every partition that is waited for has passed it. What comes again, because
//! a worker began anew, replaces what it sent before. What is judged late depends on the order of
//! the calls alone, not on when closed windows are asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Timestamp, WindowSpan, nanos};

use super::closed::{ClosedWindow, HostsWindow, PairsWindow};
use super::gathered::Gathered;
use super::network::NetworkCounters;
use super::partial::{Notes, Partial, PartialPane, PartialWindow};
use super::parts::Part;
use super::table::union;
use super::windows::WindowLimits;

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

/// How far one source partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProgress {
    /// It has sent everything that ends here or before.
    #[serde(with = "nanos")]
    pub watermark: Timestamp,
    /// Whether windows wait for it.
    pub is_waited_for: bool,
    /// The term of the latest worker that said it reads this partition.
    pub term: i64,
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
    /// What closed panes left for their open long windows.
    gathered: Gathered,
    partitions: BTreeMap<u32, SourceProgress>,
    /// Everything that ends here or before is closed.
    closed_through: Timestamp,
    /// Everything that ends here or before was judged before a restart.
    judged_through: Timestamp,
    /// What is put in belongs to the time before [`MergedWindows::resume`].
    is_rebuilding: bool,
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
            gathered: Gathered::default(),
            partitions: BTreeMap::new(),
            closed_through: Timestamp::MIN,
            judged_through: Timestamp::MIN,
            is_rebuilding: false,
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
        let passed = match self.is_rebuilding {
            true => self.partitions.get(&partition).map_or(Timestamp::MIN, |known| known.watermark),
            false => self.active(partition).watermark,
        };
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
        if self.is_rebuilding {
            return;
        }
        let progress = self.active(partition);
        progress.watermark = progress.watermark.max(watermark);
        self.advance();
    }

    /// Whether anything of the partition was ever told.
    pub fn knows(&self, partition: u32) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Waits for a partition before windows are closed, even if it has sent nothing yet.
    pub fn expect(&mut self, partition: u32) {
        if !self.is_rebuilding {
            self.active(partition);
        }
    }

    /// A worker reads the partition from now on. Terms grow from one worker to the next.
    pub fn own(&mut self, partition: u32, term: i64) {
        if !self.is_rebuilding {
            let progress = self.active(partition);
            progress.term = progress.term.max(term);
        }
    }

    /// The partition has sent everything that ends at `closed_through` or before, has nothing to
    /// read, and is not waited for any more until it sends something. When nobody is waited for,
    /// everything that is here closes. The word of a worker whose time is over does not count.
    pub fn rest(&mut self, partition: u32, term: i64, closed_through: Timestamp) {
        let is_over = |known: &SourceProgress| known.term > term;
        if self.is_rebuilding || self.partitions.get(&partition).is_some_and(is_over) {
            return;
        }
        let progress = self.active(partition);
        progress.watermark = progress.watermark.max(closed_through);
        self.forget(partition);
    }

    /// Does not wait for a partition any more until it sends something: it is gone.
    pub fn forget(&mut self, partition: u32) {
        if !self.is_rebuilding
            && let Some(progress) = self.partitions.get_mut(&partition)
        {
            progress.is_waited_for = false;
            self.advance();
        }
    }

    fn active(&mut self, partition: u32) -> &mut SourceProgress {
        let progress = self.partitions.entry(partition).or_insert(SourceProgress {
            watermark: Timestamp::MIN,
            is_waited_for: true,
            term: i64::MIN,
        });
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

    /// How many subjects are held, those of every partition for themselves.
    pub fn subjects(&self) -> usize {
        let panes = self.panes.values().flat_map(BTreeMap::values);
        let panes = panes.flat_map(|own| own.parts.values()).map(|pane| pane.pairs.len());
        let windows = self.windows.values().flat_map(BTreeMap::values);
        let windows = windows.flat_map(|own| own.parts.values()).map(PartialWindow::subjects);
        panes.chain(windows).sum()
    }

    /// Drops what was sent for windows that start at `start` or later, as if it had not come.
    pub fn discard_from(&mut self, start: Timestamp) {
        self.panes.split_off(&start);
        self.windows.split_off(&start);
    }

    /// Whether no partition is waited for, and there are some.
    pub fn is_at_rest(&self) -> bool {
        !self.is_rebuilding
            && !self.partitions.is_empty()
            && self.partitions.values().all(|progress| !progress.is_waited_for)
    }

    /// Everything that ends here or before is closed, and complete once
    /// [`MergedWindows::next_closed`] has nothing more to give; `None` when nothing is.
    pub fn closed_through(&self) -> Option<Timestamp> {
        (self.closed_through > Timestamp::MIN).then_some(self.closed_through)
    }

    /// How far every source partition is, for [`MergedWindows::resume`].
    pub fn sources(&self) -> Vec<(u32, SourceProgress)> {
        self.partitions.iter().map(|(partition, progress)| (*partition, *progress)).collect()
    }

    /// Continues after a restart: partials of windows that end at `closed_through` or before are
    /// recognised as repeated. Put in what rebuilds the open windows, then
    /// [`MergedWindows::rebuilt`]; nothing closes before.
    pub fn resume(&mut self, closed_through: Timestamp, sources: &[(u32, SourceProgress)]) {
        (self.closed_through, self.judged_through) = (closed_through, closed_through);
        self.partitions = sources.iter().copied().collect();
        self.is_rebuilding = true;
    }

    /// The open windows are as they were.
    pub fn rebuilt(&mut self) {
        self.is_rebuilding = false;
        self.advance();
    }

    /// Returns the next window that is complete, in the order of [`super::Windows::next_closed`]:
    /// oldest first, a short one before the long one that ends with it.
    pub fn next_closed(&mut self) -> Option<ClosedWindow> {
        loop {
            let mut closed = self.next_complete()?;
            if let ClosedWindow::Hosts(window) = &mut closed {
                let had_exporters = !window.exporters.is_empty();
                window.exporters.retain(|exporter| exporter.counters.records > 0);
                // Nothing but numbers of datagrams whose flows ended before.
                if window.network.counters.flows == 0 && had_exporters && self.notes.is_empty() {
                    continue;
                }
            }
            return Some(closed);
        }
    }

    fn next_complete(&mut self) -> Option<ClosedWindow> {
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
        let span = self.span(start, self.limits.pane_seconds, overflow, is_complete);
        let mut closed = PairsWindow { span, pairs, conversations: Vec::new(), counters };
        self.gathered.close_pane(&mut closed, self.limits);
        let total = self.totals.entry(start.floor(self.limits.window_seconds)).or_default();
        total.merge(&closed.counters);
        closed
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
        let minute = self.gathered.take(start);
        for beyond in [more_sources, more_destinations, more_exporters, minute.overflow] {
            overflow = overflow.saturating_add(beyond);
        }
        let later = self.totals.split_off(&end_of(start, self.limits.window_seconds));
        let counters = std::mem::replace(&mut self.totals, later).remove(&start);
        let counters = counters.unwrap_or_default();
        let span = self.span(start, self.limits.window_seconds, overflow, is_complete);
        HostsWindow::of(span, (sources, destinations), exporters, counters, minute)
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
