//! What runs by the clock: when a job is due, which worker does it, and what it does then.
//!
//! ```text
//! Schedule ─due→ Agenda ─oldest→ Election (one document per run in the store) ─Lease→ work ─→ finish
//!                                  └ somebody else's: nothing to do
//! ```
//!
//! Several workers of a namespace share the runs: each run happens once over all of them, is taken
//! over when its worker dies, tried again when it fails, and made up for when nobody was there.
//!
//! Nothing here reads a clock but [`drive`], which is given one: a run gets the moment at which it
//! was due, and so gives the same verdict however late it is.

mod agenda;
mod cadence;
mod drive;
mod election;
pub mod health;
mod lease;
mod local_clock;
mod run_record;
mod runner;
mod schedule;
mod watermark;

pub use agenda::Job;
pub use cadence::Cadence;
pub(crate) use drive::is_asked_within;
pub use drive::{Work, drive};
pub use election::{Claim, Election, ElectionError, Owner};
pub use health::{HealthError, HealthReport, HealthSettings, HealthStatus};
pub use lease::{Ended, Lease};
pub use runner::{Runner, Step};
pub use schedule::{InvalidSchedule, Schedule};
pub use watermark::Watermark;
