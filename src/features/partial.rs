//! What one source partition adds to one window, as a message.
//!
//! [`super::PartitionFold`] makes partials, [`super::MergedWindows`] puts those of all partitions
//! together. The bytes are a function of the flows alone: folded again after a crash, a partition
//! sends the same message again.

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{Timestamp, nanos};

use super::closed::{ClosedWindow, HostsWindow, PairsWindow};
use super::hosts::{DestinationWindow, ExporterWindow, SourceWindow};
use super::network::NetworkCounters;
use super::pairs::PairWindow;
use super::parts::{Packer, Part, size_of_message};
use super::table::{Entry, Share, union};
use super::wire::is_ascending;

/// First byte of every message; another one whenever the form of anything inside changes, notes of
/// detectors included.
const VERSION: u8 = 4;

/// The message is no partial.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// Another version wrote it, or it is empty.
    #[error(
        "partial window of unknown version {0:?}, let all workers run the same version of flowsentry"
    )]
    Version(Option<u8>),
    /// The bytes hold something else.
    #[error("damaged partial window")]
    Damaged(#[from] postcard::Error),
    /// Something follows it.
    #[error("partial window with {0} bytes too many")]
    Surplus(usize),
}

/// What a detector noted of single flows; see `Detector::take_notes`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Notes {
    /// The detector's id.
    pub detector: String,
    /// What it gave.
    pub bytes: Vec<u8>,
}

/// A short window (10 s) of one source partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartialPane {
    /// First moment, aligned to the length.
    #[serde(with = "nanos")]
    pub start: Timestamp,
    /// Which part this is.
    pub part: Part,
    #[serde(deserialize_with = "in_order")]
    pub(super) pairs: Vec<PairWindow>,
    pub(super) counters: NetworkCounters,
    pub(super) overflow: u64,
}

/// A long window (60 s) of one source partition. The totals of the network are in the panes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartialWindow {
    /// First moment, aligned to the length.
    #[serde(with = "nanos")]
    pub start: Timestamp,
    /// Which part this is.
    pub part: Part,
    #[serde(deserialize_with = "in_order")]
    pub(super) sources: Vec<SourceWindow>,
    #[serde(deserialize_with = "in_order")]
    pub(super) destinations: Vec<DestinationWindow>,
    #[serde(deserialize_with = "in_order")]
    pub(super) exporters: Vec<ExporterWindow>,
    pub(super) overflow: u64,
    pub(super) notes: Vec<Notes>,
}

/// What one source partition adds to one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Partial {
    /// To a short one.
    Pane(PartialPane),
    /// To a long one.
    Window(PartialWindow),
}

/// Reads entries whose keys ascend.
fn in_order<'de, D, E>(deserializer: D) -> Result<Vec<E>, D::Error>
where
    D: Deserializer<'de>,
    E: Entry + Deserialize<'de>,
{
    let mut entries = Vec::<E>::deserialize(deserializer)?;
    if !is_ascending(&entries, Entry::key) {
        return Err(serde::de::Error::custom("subjects out of order"));
    }
    // Stage two holds them for a while.
    entries.shrink_to_fit();
    Ok(entries)
}

impl PartialPane {
    /// Returns what a short window over one partition says; `overflow` additions found no room.
    pub(super) fn of(window: PairsWindow, overflow: u64) -> Self {
        Self {
            start: window.span.start,
            part: Part::WHOLE,
            pairs: window.pairs,
            counters: window.counters,
            overflow,
        }
    }

    /// The same without content.
    fn emptied(&self) -> Self {
        let counters = NetworkCounters::default();
        Self { start: self.start, part: self.part, pairs: Vec::new(), counters, overflow: 0 }
    }

    /// Adds what another part or partition holds of the same window, whatever room there is.
    fn merge(&mut self, other: Self) {
        add(&mut self.pairs, other.pairs);
        self.counters.merge(&other.counters);
        self.overflow = self.overflow.saturating_add(other.overflow);
        self.part = Part::WHOLE;
    }

    fn split(mut self, max_bytes: usize) -> Vec<Self> {
        let (pairs, empty) = (std::mem::take(&mut self.pairs), self.emptied());
        let mut packer = Packer::new(self, empty, max_bytes);
        packer.pack(pairs, |part| &mut part.pairs);
        packer.finish(|part| &mut part.part)
    }
}

impl PartialWindow {
    /// Returns what a long window over one partition says; `overflow` additions found no room.
    pub(super) fn of(window: HostsWindow, overflow: u64) -> Self {
        Self {
            start: window.span.start,
            part: Part::WHOLE,
            sources: window.sources,
            destinations: window.destinations,
            exporters: window.exporters,
            overflow,
            notes: Vec::new(),
        }
    }

    /// How many subjects it holds, of all types.
    pub(super) fn subjects(&self) -> usize {
        self.sources.len() + self.destinations.len() + self.exporters.len()
    }

    /// Adds what a detector noted of flows of this window.
    pub fn add_notes(&mut self, detector: &str, notes: Vec<Vec<u8>>) {
        let notes = notes.into_iter().map(|bytes| Notes { detector: detector.to_owned(), bytes });
        self.notes.extend(notes);
        self.notes.sort_unstable();
    }

    /// The same without content.
    fn emptied(&self) -> Self {
        Self {
            start: self.start,
            part: self.part,
            sources: Vec::new(),
            destinations: Vec::new(),
            exporters: Vec::new(),
            overflow: 0,
            notes: Vec::new(),
        }
    }

    /// Adds what another part or partition holds of the same window, whatever room there is.
    fn merge(&mut self, other: Self) {
        add(&mut self.sources, other.sources);
        add(&mut self.destinations, other.destinations);
        add(&mut self.exporters, other.exporters);
        self.overflow = self.overflow.saturating_add(other.overflow);
        self.notes.extend(other.notes);
        self.notes.sort_unstable();
        self.part = Part::WHOLE;
    }

    fn split(self, max_bytes: usize) -> Vec<Self> {
        let empty = self.emptied();
        let first = Self { overflow: self.overflow, ..empty.clone() };
        let mut packer = Packer::new(first, empty, max_bytes);
        packer.pack(self.sources, |part| &mut part.sources);
        packer.pack(self.destinations, |part| &mut part.destinations);
        packer.pack(self.exporters, |part| &mut part.exporters);
        packer.pack(self.notes, |part| &mut part.notes);
        packer.finish(|part| &mut part.part)
    }
}

fn add<E: Share>(ours: &mut Vec<E>, theirs: Vec<E>) {
    ours.extend(theirs);
    (*ours, _) = union(std::mem::take(ours), usize::MAX);
}

impl Partial {
    /// Returns what a closed window over one partition says; `overflow` additions found no room.
    pub(super) fn of(window: ClosedWindow, overflow: u64) -> Self {
        match window {
            ClosedWindow::Pairs(window) => Self::Pane(PartialPane::of(window, overflow)),
            ClosedWindow::Hosts(window) => Self::Window(PartialWindow::of(window, overflow)),
        }
    }

    /// Returns the message: the same bytes for the same flows, whatever their order.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a vector takes what has a form")
    }

    /// Reads a message. Any bytes will do; the memory taken is bounded by their number.
    ///
    /// # Errors
    /// The bytes are no partial, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, PartialError> {
        let Some((&VERSION, content)) = bytes.split_first() else {
            return Err(PartialError::Version(bytes.first().copied()));
        };
        let (partial, rest) = postcard::take_from_bytes(content)?;
        if rest.is_empty() { Ok(partial) } else { Err(PartialError::Surplus(rest.len())) }
    }

    /// First moment of its window.
    pub fn start(&self) -> Timestamp {
        match self {
            Self::Pane(pane) => pane.start,
            Self::Window(window) => window.start,
        }
    }

    /// Which part it is.
    pub fn part(&self) -> Part {
        match self {
            Self::Pane(pane) => pane.part,
            Self::Window(window) => window.part,
        }
    }

    /// How many subjects it holds, of all types.
    pub fn subjects(&self) -> usize {
        match self {
            Self::Pane(pane) => pane.pairs.len(),
            Self::Window(window) => window.subjects(),
        }
    }

    /// Adds what `other` holds, another part or what another partition adds to the same window, and
    /// counts as whole from then on. Returns whether it did: nothing changes when `other` belongs to
    /// another window.
    pub fn merge(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pane(ours), Self::Pane(theirs)) if ours.start == theirs.start => {
                ours.merge(theirs.clone());
                true
            }
            (Self::Window(ours), Self::Window(theirs)) if ours.start == theirs.start => {
                ours.merge(theirs.clone());
                true
            }
            _ => false,
        }
    }

    /// Returns parts whose messages have at most `max_bytes` each and that merge into this one.
    ///
    /// A part is larger only when it holds nothing but one subject, one note or the totals of a short
    /// window. The largest subject takes 880 kB (a source that scanned everything), the largest
    /// totals 790 kB: with 900,000 bytes no part is larger.
    pub fn split(self, max_bytes: usize) -> Vec<Self> {
        if self.fits(max_bytes) {
            return vec![self];
        }
        match self {
            Self::Pane(pane) => pane.split(max_bytes).into_iter().map(Self::Pane).collect(),
            Self::Window(window) => window.split(max_bytes).into_iter().map(Self::Window).collect(),
        }
    }

    fn fits(&self, max_bytes: usize) -> bool {
        // One byte more is the version.
        size_of_message(self) < max_bytes
    }
}
