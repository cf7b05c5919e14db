//! Flows → windows → named features.
//!
//! [`Windows::add`] counts a flow in the short window of its pair and in the long window of its
//! hosts, exporter and network; [`Windows::next_closed`] hands out what is complete, sorted by
//! subject. Everything here is pure and depends on the flows of a window, not on their order.

mod clock;
mod distinct;
mod entropy;
mod hashing;
mod hosts;
mod matrix;
mod network;
mod pairs;
mod port_counts;
mod ports;
mod probes;
mod table;
mod windows;

pub use clock::{Admitted, ClockLimits, LeapGuard, event_time, repair_clock};
pub use distinct::{Distinct, EXACT_LIMIT};
pub use entropy::{RunningEntropy, entropy};
pub use hashing::{HostKey, combine, mix};
pub use hosts::{DestinationWindow, ExporterWindow, HostCounters, SourceWindow};
pub use matrix::{FeatureMatrix, NamedFeatures, quantile};
pub use network::{BatchFeatures, NetworkCounters, NetworkWindow};
pub use pairs::PairWindow;
pub use ports::PortSet;
pub use probes::{KEPT, ProbeLog, Probes, keep};
pub use table::{Entry, SubjectTable};
pub use windows::{ClosedWindow, HostsWindow, PairsWindow, Placement, WindowLimits, Windows};
