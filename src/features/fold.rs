//! Stage one: folds a source partition into partial windows.

use crate::model::{Flow, Timestamp};

use super::partial::Partial;
use super::windows::{Placement, WindowLimits, Windows};

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

    /// Takes what the watermark has passed, in the order in which windows close. To be sent on
    /// before [`PartitionFold::watermark`] is told to anybody.
    pub fn take_complete(&mut self) -> Vec<Partial> {
        let mut complete = Vec::new();
        loop {
            let overflow = self.windows.overflow();
            let Some(closed) = self.windows.next_closed() else { return complete };
            complete.push(Partial::of(closed, self.windows.overflow() - overflow));
        }
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
