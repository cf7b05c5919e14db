//! What is kept of every long window: network, exporters, and the busiest hosts.

use std::cmp::Reverse;

use crate::features::{HostsWindow, NamedFeatures};
use crate::model::{Subject, WindowSpan, WindowSummary};

/// Returns the summaries of a window: the network, every exporter, and the `keep` sources and `keep`
/// destinations with the most bytes (ties: lower address first).
pub(super) fn summaries(window: &HostsWindow, keep: usize) -> Vec<WindowSummary> {
    let span = window.span;
    let mut summaries = vec![summary(span, Subject::Network, &window.network)];
    summaries.extend(window.exporters.iter().map(|device| summary(span, device.subject(), device)));
    let sources = busiest(&window.sources, keep, |host| host.counters.bytes);
    summaries.extend(sources.into_iter().map(|host| summary(span, host.subject(), host)));
    let destinations = busiest(&window.destinations, keep, |host| host.counters.bytes);
    summaries.extend(destinations.into_iter().map(|host| summary(span, host.subject(), host)));
    summaries
}

fn summary<F: NamedFeatures>(span: WindowSpan, subject: Subject, row: &F) -> WindowSummary {
    let mut values = Vec::with_capacity(F::NAMES.len());
    row.write_features(&mut values);
    WindowSummary { span, subject, features: F::NAMES.iter().copied().zip(values).collect() }
}

/// The `keep` rows with the most bytes; rows come in ascending order of their subjects.
fn busiest<T>(rows: &[T], keep: usize, bytes: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut places: Vec<usize> = (0..rows.len()).collect();
    let key = |&place: &usize| (Reverse(bytes(&rows[place])), place);
    if places.len() > keep {
        if keep == 0 {
            return Vec::new();
        }
        places.select_nth_unstable_by_key(keep - 1, key);
        places.truncate(keep);
    }
    places.sort_unstable_by_key(key);
    places.into_iter().map(|place| &rows[place]).collect()
}
