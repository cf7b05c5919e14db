//! Stage two: partials of all source partitions → window summaries, anomalies and alerts.

use std::collections::BTreeMap;

use crate::alerts::{self, SharedRules};
use crate::detect::{Detector, RestoreError};
use crate::features::{ClosedWindow, MergedWindows, Partial, Position, Receipt};
use crate::model::Timestamp;

use super::judge::Judge;
use super::{Counters, LogPosition, Output, Settings, State};

/// Judges the partials of all source partitions, read from one log in its order.
///
/// What it says is a function of the log alone. Source partitions that are far ahead of the slowest
/// bring more windows than there is room for: the newest are let go, and the log is read again from
/// where they began ([`MergedScorer::rereads_from`]) when it is their turn.
pub struct MergedScorer {
    windows: MergedWindows,
    judge: Judge,
    log: u32,
    /// By start of an open long window, the offset of the first message that belongs to it.
    begun: BTreeMap<Timestamp, i64>,
    /// The first message that was not read.
    next: i64,
    /// Before this offset, messages only rebuild what was open.
    rebuilds_until: Option<i64>,
    /// Windows from this start on were let go; their first message.
    let_go: Option<(Timestamp, i64)>,
    most_subjects: usize,
}

impl MergedScorer {
    /// Returns a scorer that has seen nothing; `log` is the number of the log among the partitions.
    /// The settings must have been checked.
    pub fn new(
        settings: Settings,
        alerts: alerts::Settings,
        detectors: Vec<Box<dyn Detector>>,
        log: u32,
    ) -> Self {
        Self {
            windows: MergedWindows::new(settings.window_limits()),
            // As much as two open windows of all four types may hold in one stage.
            most_subjects: settings.max_subjects.saturating_mul(8),
            judge: Judge::new(settings, alerts, detectors),
            log,
            begun: BTreeMap::new(),
            next: 0,
            rebuilds_until: None,
            let_go: None,
        }
    }

    /// As [`super::Scorer::follow`].
    pub fn follow(&mut self, rules: SharedRules) {
        self.judge.follow(rules);
    }

    /// Holds at most so many subjects of open windows, those of every partition for themselves, but
    /// for the oldest window.
    pub fn hold_at_most(&mut self, subjects: usize) {
        self.most_subjects = subjects;
    }

    /// Says that what follows is of the message at `offset` of the log. Messages that were left out
    /// are no matter.
    pub fn begin(&mut self, offset: i64, output: &mut Vec<Output>) {
        if self.rebuilds_until.is_some_and(|until| offset >= until) {
            self.end_rebuilding(output);
        }
        self.next = offset + 1;
    }

    /// Says that nothing more follows of the message.
    pub fn end(&mut self, output: &mut Vec<Output>) {
        if self.rebuilds_until.is_some_and(|until| self.next >= until) {
            self.end_rebuilding(output);
        }
    }

    fn end_rebuilding(&mut self, output: &mut Vec<Output>) {
        self.rebuilds_until = None;
        self.windows.rebuilt();
        self.close(output);
    }

    /// Takes a partial of a source partition, which is waited for from now on.
    pub fn put(&mut self, source: u32, partial: Partial) -> Receipt {
        let window = partial.start().floor(self.judge.observer.settings.host_seconds);
        if self.let_go.is_some_and(|(start, _)| window >= start) {
            self.windows.expect(source);
            return Receipt::Kept;
        }
        let receipt = self.windows.put(source, partial);
        if receipt == Receipt::Kept {
            self.begun.entry(window).or_insert(self.next - 1);
            self.make_room();
        }
        receipt
    }

    /// Lets the newest windows go, but never the oldest one.
    fn make_room(&mut self) {
        while self.begun.len() > 1 && self.windows.subjects() > self.most_subjects {
            let Some((start, offset)) = self.begun.pop_last() else { return };
            self.windows.discard_from(start);
            let first = self.let_go.map_or(offset, |(_, known)| known.min(offset));
            self.let_go = Some((start, first));
        }
    }

    /// These source partitions, and no others, exist: those that are new are waited for, even if they
    /// have sent nothing yet.
    pub fn exist(&mut self, sources: &[u32], output: &mut Vec<Output>) {
        for &source in sources {
            if !self.windows.knows(source) {
                self.windows.expect(source);
            }
        }
        for (known, _) in self.windows.sources() {
            if !sources.contains(&known) {
                self.windows.forget(known);
            }
        }
        self.close(output);
    }

    /// A worker reads a source partition from now on; see [`MergedWindows::own`].
    pub fn own(&mut self, source: u32, term: i64) {
        self.windows.own(source, term);
    }

    /// The source partition has passed `watermark`, and sent everything that ended before.
    pub fn pass(&mut self, source: u32, watermark: Timestamp, output: &mut Vec<Output>) {
        self.windows.pass(source, watermark);
        self.close(output);
    }

    /// The source partition has nothing more to read; see [`MergedWindows::rest`].
    pub fn rest(
        &mut self,
        source: u32,
        term: i64,
        closed_through: Timestamp,
        output: &mut Vec<Output>,
    ) {
        self.windows.rest(source, term, closed_through);
        self.close(output);
    }

    /// From where the log is to be read again, when it is the turn of windows that were let go; asked
    /// after every message. The scorer expects to be read on from there.
    pub fn rereads_from(&mut self) -> Option<i64> {
        let (start, offset) = self.let_go?;
        if self.rebuilds_until.is_some() || !self.begun.is_empty() {
            return None;
        }
        self.let_go = None;
        self.rebuilds_until = Some(self.next);
        let through = self.windows.closed_through().map_or(start, |closed| closed.min(start));
        self.windows.resume(through, &self.windows.sources());
        Some(offset)
    }

    fn close(&mut self, output: &mut Vec<Output>) {
        while let Some(closed) = self.windows.next_closed() {
            if let ClosedWindow::Pairs(window) = &closed {
                self.judge.observer.counters.flows += window.counters.flows;
            }
            for notes in self.windows.take_notes() {
                self.judge.add_notes(closed.span().start, &notes);
            }
            if let Some(end) = self.judge.close(&closed, output) {
                self.begun.retain(|start, _| *start >= end);
                self.note_state(end);
            }
        }
    }

    /// Asks for the state at the end of the next long window that closes; at once when none is open.
    pub fn request_state(&mut self) {
        self.judge.wants_state = true;
        if self.begun.is_empty()
            && self.let_go.is_none()
            && self.rebuilds_until.is_none()
            && let Some(closed_through) = self.windows.closed_through()
        {
            self.note_state(closed_through);
        }
    }

    /// As [`super::Scorer::take_state`].
    pub fn take_state(&mut self) -> Option<State> {
        self.judge.state.take()
    }

    fn note_state(&mut self, closed_through: Timestamp) {
        let Self { windows, begun, let_go, next, log, judge, .. } = self;
        let place = || {
            let open = begun.values().copied().chain(let_go.map(|(_, offset)| offset));
            let begin = open.min().unwrap_or(*next);
            let place = LogPosition { begin, next: *next, sources: windows.sources() };
            (vec![(*log, Position { offset: begin, watermark: Timestamp::MIN })], Some(place))
        };
        judge.note_state(closed_through, place);
    }

    /// Continues from a state, before the first message: read on from the `begin` of its log
    /// position. Detectors whose saved state cannot be read start anew; they are returned.
    pub fn resume(&mut self, state: State) -> Vec<RestoreError> {
        if let Some(log) = &state.log {
            self.windows.resume(state.closed_through, &log.sources);
            self.next = log.begin;
            if log.begin < log.next {
                self.rebuilds_until = Some(log.next);
            } else {
                self.windows.rebuilt();
            }
        }
        self.judge.resume(state)
    }

    /// Every window that ended here or before is judged; `None` before the first.
    pub fn judged_through(&self) -> Option<Timestamp> {
        let closed = self.windows.closed_through()?;
        let open = self.let_go.map(|(start, _)| start);
        let open = open.into_iter().chain(self.begun.keys().next().copied()).min();
        Some(open.map_or(closed, |open| closed.min(open)))
    }

    /// Whether no source partition is waited for, and there are some.
    pub fn is_at_rest(&self) -> bool {
        self.windows.is_at_rest() && self.rebuilds_until.is_none() && self.let_go.is_none()
    }

    /// What was seen so far; flows are those of closed windows.
    pub fn counters(&self) -> Counters {
        Counters {
            late: self.windows.late(),
            overflow: self.windows.overflow(),
            ..self.judge.counters()
        }
    }
}
