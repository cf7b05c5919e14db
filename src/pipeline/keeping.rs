//! Stored, kept, committed: what everything that judges partitions has in common.

use std::time::{Duration, Instant};

use crate::model::Timestamp;
use crate::scorer::{MergedScorer, Output, Scorer, State};
use crate::sinks::{Document, Sink, until_done};
use crate::sources::{PartitionName, Partitions};

use super::position::{Keeper, PositionError, Snapshot};
use super::{PipelineError, Progress, Stop};
use crate::testkit::crash;

/// Results wait at most so long for others before they are stored.
const FLUSH_PAUSE: Duration = Duration::from_secs(1);

/// Where positions are kept, and how often.
#[derive(Clone, Copy)]
pub struct Keep<'a> {
    /// Its partitions.
    pub partitions: &'a Partitions,
    /// Keeps the position.
    pub keeper: &'a Keeper,
    /// Least time between two snapshots.
    pub snapshot_pause: Duration,
    /// The present.
    pub now: fn() -> Timestamp,
    /// Ends the reading.
    pub stop: &'a Stop,
    /// Told while it goes on.
    pub progress: &'a dyn Progress,
}

/// A scorer, of flows or of partials.
pub(super) trait Judged {
    fn take_state(&mut self) -> Option<State>;
    fn request_state(&mut self);
    fn judged_through(&self) -> Option<Timestamp>;
}

impl Judged for Scorer {
    fn take_state(&mut self) -> Option<State> {
        self.take_state()
    }

    fn request_state(&mut self) {
        self.request_state();
    }

    fn judged_through(&self) -> Option<Timestamp> {
        self.judged_through()
    }
}

impl Judged for MergedScorer {
    fn take_state(&mut self) -> Option<State> {
        self.take_state()
    }

    fn request_state(&mut self) {
        self.request_state();
    }

    fn judged_through(&self) -> Option<Timestamp> {
        self.judged_through()
    }
}

/// Told from where each partition would be read again.
pub(super) type Commit<'c> = dyn Fn(&[(PartitionName, i64)]) + 'c;

/// Stores results and keeps the position, in this order.
pub(super) struct Keeping<'a> {
    keep: Keep<'a>,
    sink: &'a mut dyn Sink,
    kept: Instant,
    flushed: Instant,
    is_dirty: bool,
    /// Something was read since the last snapshot.
    pub(super) has_news: bool,
}

impl<'a> Keeping<'a> {
    pub(super) fn new(keep: Keep<'a>, sink: &'a mut dyn Sink) -> Self {
        let (kept, flushed) = (Instant::now(), Instant::now());
        Self { keep, sink, kept, flushed, is_dirty: false, has_news: false }
    }

    pub(super) fn write(&mut self, outputs: &mut Vec<Output>) -> Result<(), PipelineError> {
        self.is_dirty |= !outputs.is_empty();
        for output in outputs.drain(..) {
            self.sink.write(&Document::of(&output))?;
        }
        Ok(())
    }

    /// Stores what waits, and keeps the position when there is a new one: then `flush_more` goes
    /// before, and `commit` gets where each partition would be read again.
    pub(super) fn step(
        &mut self,
        judged: &mut dyn Judged,
        flush_more: &mut dyn FnMut() -> Result<(), PipelineError>,
        commit: &Commit<'_>,
    ) -> Result<(), PipelineError> {
        self.keep.keeper.check()?;
        if let Some(state) = judged.take_state() {
            flush_more()?;
            self.flush(judged)?;
            commit(&self.keep_state(state)?);
            crash::point("committed");
            (self.kept, self.has_news) = (Instant::now(), false);
        } else if self.is_dirty && self.flushed.elapsed() >= FLUSH_PAUSE {
            flush_more()?;
            self.flush(judged)?;
        }
        if self.has_news && self.kept.elapsed() >= self.keep.snapshot_pause {
            judged.request_state();
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, judged: &dyn Judged) -> Result<(), PipelineError> {
        self.sink.flush()?;
        (self.flushed, self.is_dirty) = (Instant::now(), false);
        if let Some(time) = judged.judged_through() {
            self.keep.progress.judged_through(time);
        }
        Ok(())
    }

    fn keep_state(&self, state: State) -> Result<Vec<(PartitionName, i64)>, PipelineError> {
        let keep = &self.keep;
        let snapshot = Snapshot::new(state, keep.partitions);
        let passes = |error: &PositionError| matches!(error, PositionError::Store(_));
        until_done(&|pause| keep.stop.wait(pause), passes, || {
            keep.keeper.save(&snapshot, (keep.now)())
        })?;
        tracing::debug!(closed_through = %snapshot.state.closed_through, "the position is kept");
        crash::point("kept");
        let next = snapshot.positions();
        Ok(next.map(|(name, position)| (name.clone(), position.offset)).collect())
    }
}
