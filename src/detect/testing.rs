//! Flows → closed windows, for the tests of detectors.

use crate::features::{ClosedWindow, PairsWindow, Placement, WindowLimits, Windows};
use crate::model::{Finding, Flow, WindowSpan};

use super::Detector;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 86_400,
    max_subjects: 200_000,
};

fn all_closed(flows: &[Flow]) -> Vec<ClosedWindow> {
    let mut windows = Windows::new(LIMITS);
    for flow in flows {
        assert!(matches!(windows.add(0, flow), Placement::Counted(_)), "tests bring flows in time");
    }
    windows.finish();
    std::iter::from_fn(|| windows.next_closed()).collect()
}

/// The short windows of `flows`.
pub(super) fn pairs_windows(flows: &[Flow]) -> Vec<PairsWindow> {
    let pairs = |closed| match closed {
        ClosedWindow::Pairs(window) => Some(window),
        ClosedWindow::Hosts(_) => None,
    };
    all_closed(flows).into_iter().filter_map(pairs).collect()
}

/// Feeds `flows`, in order of their ends, to a detector as the scorer does.
pub(super) fn run(detector: &mut dyn Detector, flows: &[Flow]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for flow in flows {
        let start = flow.end.floor(LIMITS.window_seconds);
        let span = WindowSpan { start, seconds: LIMITS.window_seconds, truncated: false };
        detector.observe(flow, span);
    }
    for closed in all_closed(flows) {
        match closed {
            ClosedWindow::Pairs(window) => detector.close_pairs(&window, &mut findings),
            ClosedWindow::Hosts(window) => detector.close_hosts(&window, &mut findings),
        }
    }
    findings
}
