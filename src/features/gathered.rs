//! What short windows leave for the long one that they are part of.

use std::collections::BTreeMap;

use crate::model::Timestamp;

use super::closed::PairsWindow;
use super::conversations::{Conversation, gather, stitch};
use super::hashing::HostKey;
use super::pairs::Surplus;
use super::windows::WindowLimits;

/// What the closed panes of one open long window hold for it.
#[derive(Debug, Default)]
pub(super) struct Minute {
    /// Ascending.
    pub conversations: Vec<Conversation>,
    /// What was counted too often, by sender and receiver.
    pub surplus: Vec<(HostKey, HostKey, Surplus)>,
    /// Additions to conversations that found no room.
    pub overflow: u64,
}

/// The same for every open long window, by start.
#[derive(Debug, Default)]
pub(super) struct Gathered(BTreeMap<Timestamp, Minute>);

impl Gathered {
    /// Completes a short window that closes: counts what several exporters saw once, puts requests
    /// and replies together, and keeps both for the long window.
    pub(super) fn close_pane(&mut self, pane: &mut PairsWindow, limits: WindowLimits) {
        let start = pane.span.start.floor(limits.window_seconds);
        let minute = self.0.entry(start).or_default();
        if limits.count_once {
            for pair in &mut pane.pairs {
                if let Some(surplus) = pair.settle() {
                    let (source, destination) = pair.hosts();
                    pane.counters.deduct(&surplus);
                    minute.surplus.push((source, destination, surplus));
                }
            }
        }
        pane.conversations = stitch(&pane.pairs);
        minute.overflow = minute.overflow.saturating_add(gather(
            &mut minute.conversations,
            &pane.conversations,
            limits.max_subjects,
        ));
    }

    /// Hands out what was kept for the long window at `start`; earlier ones are forgotten.
    pub(super) fn take(&mut self, start: Timestamp) -> Minute {
        let mut past = std::mem::take(&mut self.0);
        self.0 = past.split_off(&start.plus_seconds(1));
        past.remove(&start).unwrap_or_default()
    }
}
