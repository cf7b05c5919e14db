//! Training, evaluation and comparison of learned models.
//!
//! [`table::Table`] reads labelled rows, [`split`] parts them, [`train::train`] makes a
//! [`crate::models::Model`], [`metrics::evaluate`] judges it; [`explore`] describes rows before that. Pure and seeded: the same rows,
//! parameters and seed give the same bytes on any number of cores.

pub mod choose;
mod classic;
pub mod compare;
pub mod explore;
pub mod gate;
mod grow;
pub mod importance;
pub mod metrics;
pub mod normal;
pub mod novelty;
mod parallel;
pub mod params;
mod prepare;
pub mod quality;
mod random;
mod smote;
pub mod split;
pub mod stream;
pub mod table;
#[cfg(test)]
mod testing;
mod threshold;
pub mod train;
pub mod trees;
mod unseen;
