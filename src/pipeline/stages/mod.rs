//! Several workers on one topic: each folds its partitions into partials, one judges those of all.
//!
//! ```text
//! partitions ─flows→ fold (every worker) ─partials→ log ─→ merge (one worker) → store → snapshot
//! ```
//!
//! The log is one partition of one topic: its order decides everything that the flows leave open
//! (what rests, what is late), so that a second reading decides alike.

mod fold;
mod merge;
mod message;

pub use fold::{FoldRun, fold_partitions};
pub use merge::{MergeRun, merge_partials};
