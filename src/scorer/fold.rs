//! Stage one: flows of one source partition → partials.

use crate::detect::Detector;
use crate::features::{Partial, PartitionFold, Placement, Position};
use crate::model::{Flow, Timestamp};

use super::observer::Observer;
use super::{Counters, Settings};

/// Where a fold can be rebuilt from: everything before was sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldPosition {
    /// Every window that ended here or before was sent on, no later long one.
    pub closed_through: Timestamp,
    /// Where to read on.
    pub position: Position,
}

/// Folds the flows of one source partition into partials, with what detectors note of single flows.
pub struct Fold {
    observer: Observer,
    windows: PartitionFold,
    position: Option<FoldPosition>,
}

impl Fold {
    /// Returns a fold that has seen nothing. The settings must have been checked, and be those of
    /// the [`super::MergedScorer`]; so must the detectors.
    pub fn new(settings: Settings, detectors: Vec<Box<dyn Detector>>) -> Self {
        let windows = PartitionFold::new(settings.window_limits());
        Self { observer: Observer::new(settings, detectors), windows, position: None }
    }

    /// Continues from a position, before the first flow.
    pub fn resume(&mut self, from: FoldPosition) {
        self.windows.resume(from.closed_through, from.position);
    }

    /// Says that the flows that follow are of the record at `offset`.
    pub fn at(&mut self, offset: i64) {
        self.windows.at(offset);
    }

    /// Counts a flow, as [`super::Scorer::add`] does.
    pub fn add(&mut self, mut flow: Flow) -> Placement {
        let windows = &mut self.windows;
        self.observer.add(&mut flow, |flow| windows.add(flow))
    }

    /// Does not wait for later flows: there is nothing to read.
    pub fn rest(&mut self) {
        self.windows.rest();
    }

    /// Returns the next partial that is complete; ask until there is none.
    pub fn next_complete(&mut self) -> Option<Partial> {
        let mut partial = self.windows.next_complete()?;
        if let Partial::Window(window) = &mut partial {
            for detector in &mut self.observer.detectors {
                window.add_notes(detector.id(), detector.take_notes(window.start));
            }
            self.note_position();
        }
        Some(partial)
    }

    fn note_position(&mut self) {
        let closed_through = self.windows.closed_through().unwrap_or(Timestamp::MIN);
        let position = self.windows.position();
        self.position = position.map(|position| FoldPosition { closed_through, position });
    }

    /// Returns the last position from which nothing is sent twice, once. Everything that
    /// [`Fold::next_complete`] gave until now must have arrived before it is kept.
    pub fn take_position(&mut self) -> Option<FoldPosition> {
        if self.windows.is_empty() {
            self.note_position();
        }
        self.position.take()
    }

    /// Event time up to which everything was given out, once [`Fold::next_complete`] has no more;
    /// `None` before the first flow. Of no meaning after [`Fold::rest`].
    pub fn watermark(&self) -> Option<Timestamp> {
        self.windows.watermark()
    }

    /// Everything that ended here or before is closed; `None` when nothing is.
    pub fn closed_through(&self) -> Option<Timestamp> {
        self.windows.closed_through()
    }

    /// What it has seen: flows, late, replayed and repaired ones.
    pub fn counters(&self) -> Counters {
        Counters { late: self.windows.late(), ..self.observer.counters }
    }
}
