//! Stage one: folds a source partition into partial windows.

use crate::model::{Flow, Timestamp};

use super::partial::Partial;
use super::windows::{Placement, Position, WindowLimits, Windows};

/// The only partition that the windows here know.
const PARTITION: u32 = 0;

/// The open windows of one source partition. They are the [`Windows`] of a single partition: a
/// closed one is what the partition adds to the window of all.
#[derive(Debug)]
pub struct PartitionFold {
    windows: Windows,
}

impl PartitionFold {
    /// Returns a fold without content. The cap on subjects holds for the partition alone.
    pub fn new(limits: WindowLimits) -> Self {
        Self { windows: Windows::new(limits) }
    }

    /// Counts a flow; see [`Windows::add`].
    pub fn add(&mut self, flow: &Flow) -> Placement {
        self.windows.add(PARTITION, flow)
    }

    /// Declares the partition complete: nothing more will come.
    pub fn finish(&mut self) {
        self.windows.finish();
    }

    /// Says that the flows that follow are of the record at `offset`.
    pub fn at(&mut self, offset: i64) {
        self.windows.at(PARTITION, offset);
    }

    /// Does not wait for later flows: there is nothing to read. What is open may close.
    pub fn rest(&mut self) {
        self.windows.rest(PARTITION);
    }

    /// Where reading must begin again to rebuild everything open. Exact right after
    /// [`PartitionFold::next_complete`] gave a long window, and when nothing is open.
    pub fn position(&self) -> Option<Position> {
        self.windows.positions().first().map(|(_, position)| *position)
    }

    /// Continues without content from a position, at which everything that ended at `closed_through`
    /// or before was sent on.
    pub fn resume(&mut self, closed_through: Timestamp, position: Position) {
        self.windows.resume(closed_through, &[(PARTITION, position)]);
    }

    /// Everything that ended here or before is closed; `None` when nothing is.
    pub fn closed_through(&self) -> Option<Timestamp> {
        self.windows.closed_through()
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Returns the next window that the watermark has passed, in the order in which windows close.
    pub fn next_complete(&mut self) -> Option<Partial> {
        let overflow = self.windows.overflow();
        let closed = self.windows.next_complete()?;
        Some(Partial::of(closed, self.windows.overflow() - overflow))
    }

    /// Takes what the watermark has passed, in the order in which windows close. To be sent on
    /// before [`PartitionFold::watermark`] is told to anybody.
    pub fn take_complete(&mut self) -> Vec<Partial> {
        std::iter::from_fn(|| self.next_complete()).collect()
    }

    /// Event time up to which the partition is complete; `None` before the first flow.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.windows.watermark()
    }

    /// Flows that came after their window was closed.
    pub fn late(&self) -> u64 {
        self.windows.late()
    }
}
