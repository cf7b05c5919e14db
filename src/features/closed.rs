//! Windows that will not change any more.

use crate::model::WindowSpan;

use super::conversations::Conversation;
use super::gathered::Minute;
use super::hosts::{DestinationWindow, ExporterWindow, SourceWindow};
use super::network::{BatchFeatures, NetworkCounters, NetworkWindow};
use super::pairs::PairWindow;
use super::table::Entry;

/// A window that will not change any more.
#[derive(Debug)]
pub enum ClosedWindow {
    /// A short window over pairs.
    Pairs(PairsWindow),
    /// A long window over hosts, exporters and the network.
    Hosts(HostsWindow),
}

impl ClosedWindow {
    /// When it was.
    pub fn span(&self) -> WindowSpan {
        match self {
            Self::Pairs(window) => window.span,
            Self::Hosts(window) => window.span,
        }
    }
}

/// A closed short window.
#[derive(Debug)]
pub struct PairsWindow {
    /// When.
    pub span: WindowSpan,
    /// The pairs in ascending order.
    pub pairs: Vec<PairWindow>,
    /// The same by client, server and service, ascending.
    pub conversations: Vec<Conversation>,
    /// Totals of the same time.
    pub counters: NetworkCounters,
}

impl PairsWindow {
    /// Returns system 001's batch features of this window.
    pub fn batch_features(&self) -> BatchFeatures {
        BatchFeatures::of(&self.counters, &self.pairs, self.span.seconds)
    }
}

/// A closed long window.
#[derive(Debug)]
pub struct HostsWindow {
    /// When.
    pub span: WindowSpan,
    /// Senders in ascending order.
    pub sources: Vec<SourceWindow>,
    /// Receivers in ascending order.
    pub destinations: Vec<DestinationWindow>,
    /// What clients and servers said to each other, ascending. At most as many as subjects are held.
    pub conversations: Vec<Conversation>,
    /// Exporters in ascending order.
    pub exporters: Vec<ExporterWindow>,
    /// The whole network.
    pub network: NetworkWindow,
}

impl HostsWindow {
    /// Puts together what a long window holds. Hosts in ascending order; `counters` are the totals
    /// of its panes, what was counted too often already taken out.
    pub(super) fn of(
        span: WindowSpan,
        (mut sources, mut destinations): (Vec<SourceWindow>, Vec<DestinationWindow>),
        exporters: Vec<ExporterWindow>,
        counters: NetworkCounters,
        minute: Minute,
    ) -> Self {
        for (source, destination, surplus) in &minute.surplus {
            if let Ok(place) = sources.binary_search_by_key(source, Entry::key) {
                sources[place].counters.deduct(surplus);
            }
            if let Ok(place) = destinations.binary_search_by_key(destination, Entry::key) {
                destinations[place].counters.deduct(surplus);
            }
        }
        let network = NetworkWindow::of_hosts(counters, &sources, &destinations);
        let conversations = minute.conversations;
        Self { span, sources, destinations, conversations, exporters, network }
    }
}
