//! Flows → closed windows, for the tests of detectors.

use std::collections::BTreeSet;

use crate::features::{ClosedWindow, PairsWindow, Placement, WindowLimits, Windows};
use crate::model::{Finding, Flow, WindowSpan};

use super::{Configured, Context, Detector, Settings};

pub(super) mod novelty;

const LIMITS: WindowLimits = WindowLimits {
    pane_seconds: 10,
    window_seconds: 60,
    lateness_seconds: 86_400,
    max_subjects: 200_000,
    count_once: true,
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

/// Feeds `flows` to a detector as the scorer does.
pub(super) fn run(detector: &mut dyn Detector, flows: &[Flow]) -> Vec<Finding> {
    for flow in flows {
        detector.observe(flow, window_of(flow));
    }
    close(detector, flows)
}

/// The long window of a flow.
pub(super) fn window_of(flow: &Flow) -> WindowSpan {
    let start = flow.end.floor(LIMITS.window_seconds);
    WindowSpan { start, seconds: LIMITS.window_seconds, truncated: false }
}

/// Has a detector judge the windows of `flows`, which it need not have observed.
pub(super) fn close(detector: &mut dyn Detector, flows: &[Flow]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for closed in all_closed(flows) {
        match closed {
            ClosedWindow::Pairs(window) => detector.close_pairs(&window, &mut findings),
            ClosedWindow::Hosts(window) => detector.close_hosts(&window, &mut findings),
        }
    }
    findings
}

/// Has `detector` observe `flows` and hands its notes over to `other`.
pub(super) fn move_notes(detector: &mut dyn Detector, flows: &[Flow], other: &mut dyn Detector) {
    for flow in flows {
        detector.observe(flow, window_of(flow));
    }
    let starts: BTreeSet<_> = flows.iter().map(|flow| window_of(flow).start).collect();
    for start in starts {
        for notes in detector.take_notes(start) {
            other.add_notes(start, &notes).expect("the notes are sound");
        }
    }
}
