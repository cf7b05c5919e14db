//! How good the judgement is: what was found against what was there.
//!
//! Truth comes as labels beside flows ([`read_labels`]), as episodes of a simulation or as a file
//! that says what is expected in which capture ([`Truth`]). All of them become [`Attack`]s. What was
//! found is read back from the documents ([`Found`]), as any reader would. [`Evaluation`] compares
//! the two; [`Backtest`] counts alerts without a truth. No scorer ever sees any of this.

mod attack;
mod backtest;
mod found;
mod labels;
mod outcome;
mod rank;
mod report;
#[cfg(test)]
mod tests;
mod truth;
mod windows;

pub use attack::{Attack, Deed, fitting_label};
pub use backtest::{Backtest, KindLoad, Noisy, Proposal};
pub use found::{Found, FoundAlert, FoundAnomaly, Mark};
pub use labels::{Labelled, read_labels};
pub use outcome::{AttackOutcome, Evaluation, KindOutcome, NameOutcome, OutsideAlert};
pub use rank::{Rank, rank};
pub use report::{Check, FileFact, Presence, Run, checks, share_checks};
pub use truth::{Capture, Expectation, Expected, Truth};
pub use windows::{Least, WindowScores};
