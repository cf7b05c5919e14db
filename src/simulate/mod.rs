//! Seeded, realistic flow traffic with labelled attack episodes, for demonstrations, benches and
//! for measuring detection and false alarms.
//!
//! ```text
//! network (who) ─┬─ ordinary (people, services, machines) ─┐
//!                └─ attacks (plan → episodes = truth) ─────┴─ contacts → export → records → JSON
//! ```
//!
//! A contact is what happens on the wire, both ways; three exporters make records of it as real
//! ones do (parts of 60 s, time-outs, sampling, datagrams). Everything follows from the
//! configuration: the same one gives the same bytes on every machine.
//!
//! ```
//! use flowsentry::simulate::{Config, Extent, Simulation, write_goflow2};
//!
//! let config = Config { extent: Extent::Flows(3), ..Config::default() };
//! let mut lines = Vec::new();
//! for flow in Simulation::new(config)? {
//!     write_goflow2(&flow, &mut lines);
//! }
//! assert_eq!(lines.split(|&byte| byte == b'\n').count(), 4);
//! # Ok::<(), flowsentry::simulate::SimulateError>(())
//! ```

mod attacks;
mod clock;
mod config;
mod contact;
mod export;
mod flow;
mod json;
mod network;
mod ordinary;
mod random;
mod simulation;
#[cfg(test)]
mod tests;

pub use attacks::Episode;
pub use config::{AttackKind, Config, Extent, SimulateError};
pub use flow::{Exporter, SimulatedFlow};
pub use json::write_goflow2;
pub use simulation::Simulation;
