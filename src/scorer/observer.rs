//! Single flows: repaired, placed, counted, shown to the detectors.

use crate::detect::Detector;
use crate::features::{Placement, repair_clock};
use crate::model::{Flow, WindowSpan};

use super::{Counters, Settings};

/// What looks at every flow, whoever judges the windows.
pub(super) struct Observer {
    pub(super) settings: Settings,
    pub(super) detectors: Vec<Box<dyn Detector>>,
    pub(super) counters: Counters,
}

impl Observer {
    pub(super) fn new(settings: Settings, detectors: Vec<Box<dyn Detector>>) -> Self {
        Self { settings, detectors, counters: Counters::default() }
    }

    /// Repairs a flow's clock, has it placed by `place`, and shows it to the detectors unless it was
    /// counted before. Late ones still pass the checks of single flows.
    pub(super) fn add(
        &mut self,
        flow: &mut Flow,
        place: impl FnOnce(&Flow) -> Placement,
    ) -> Placement {
        let is_skewed = repair_clock(flow, self.settings.clock_limits());
        let placement = place(flow);
        let start = match placement {
            Placement::Replayed => {
                self.counters.replayed += 1;
                return placement;
            }
            Placement::Counted(start) | Placement::Late(start) => start,
        };
        self.counters.flows += 1;
        self.counters.unknown_sampling += u64::from(flow.sampling_rate.is_none());
        self.counters.clock_skew += u64::from(is_skewed);
        let window = WindowSpan { start, seconds: self.settings.host_seconds, truncated: false };
        for detector in &mut self.detectors {
            detector.observe(flow, window);
        }
        placement
    }
}
