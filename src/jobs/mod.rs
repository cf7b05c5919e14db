//! What runs by the clock: when a job is due, and what it does then.
//!
//! ```text
//! Schedule ─next_after(now, zone)→ moment ─→ health::run_once(store, …, moment) ─→ document
//! ```
//!
//! Nothing here reads a clock: the caller waits, and hands in the moment that was due. A run that
//! is made up for gets the moment at which it should have been, and so gives the same verdict.

pub mod health;
mod schedule;

pub use health::{HealthError, HealthReport, HealthSettings, HealthStatus};
pub use schedule::{InvalidSchedule, Schedule};
