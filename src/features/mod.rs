//! Flows → windows → named features.
//!
//! [`Windows::add`] counts a flow in the short window of its pair and in the long window of its
//! hosts, exporter and network; [`Windows::next_closed`] hands out what is complete, sorted by
//! subject. Everything here is pure and depends on the flows of a window, not on their order.
//!
//! With several workers the same windows are made in two stages: [`PartitionFold`] folds each source
//! partition into [`Partial`]s, [`MergedWindows`] puts them together.

mod clock;
mod closed;
mod conversations;
mod distinct;
mod entropy;
mod fold;
mod gathered;
mod hashing;
mod hosts;
mod largest;
mod loss;
mod matrix;
mod merged;
mod network;
mod open_pair;
mod pairs;
mod partial;
mod parts;
mod port_counts;
mod ports;
mod probes;
mod services;
mod sightings;
mod table;
mod windows;
mod wire;

pub use clock::{Admitted, ClockLimits, LeapGuard, event_time, repair_clock};
pub use closed::{ClosedWindow, HostsWindow, PairsWindow};
pub use conversations::{Conversation, ConversationKey};
pub use distinct::{Distinct, EXACT_LIMIT};
pub use entropy::{RunningEntropy, entropy};
pub use fold::PartitionFold;
pub use hashing::{HostKey, combine, mix};
pub use hosts::{DestinationWindow, ExporterWindow, HostCounters, SourceWindow};
pub use largest::{FlowMark, Largest, MOST_FLOWS};
pub use loss::{ExportLog, Loss};
pub use matrix::{FeatureMatrix, NamedFeatures, quantile};
pub use merged::{MergedWindows, Receipt, SourceProgress};
pub use network::{BatchFeatures, NetworkCounters, NetworkWindow};
pub use pairs::PairWindow;
pub use partial::{Notes, Partial, PartialError, PartialPane, PartialWindow};
pub use parts::Part;
pub use ports::PortSet;
pub use probes::{KEPT, ProbeLog, Probes, keep};
pub use services::{MOST_SERVICES, ServiceCounters};
pub use sightings::PairCounters;
pub use table::{Entry, Share, SubjectTable};
pub use windows::{Placement, Position, WindowLimits, Windows};
