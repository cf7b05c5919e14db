//! Windows that will not change any more.

use crate::model::WindowSpan;

use super::hosts::{DestinationWindow, ExporterWindow, SourceWindow};
use super::network::{BatchFeatures, NetworkCounters, NetworkWindow};
use super::pairs::PairWindow;

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
    /// Exporters in ascending order.
    pub exporters: Vec<ExporterWindow>,
    /// The whole network.
    pub network: NetworkWindow,
}
