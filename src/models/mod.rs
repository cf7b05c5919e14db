//! Learned models as they are served: the file, the schema of their records, and prediction.
//!
//! A record comes in by [`record`] under a [`schema::Schema`]; [`Model::predict`] answers. Nothing
//! here learns, reads a clock or does any I/O; training is `learn`.

pub mod drift;
pub mod encode;
pub mod facts;
mod file;
mod model;
pub(crate) mod parts;
pub mod record;
pub mod schema;
pub mod shipped;
pub mod tail;
pub(crate) mod tree;

pub use file::{ModelError, VERSION};
pub(crate) use model::{Body, Kinds, Odds, Voice};
pub use model::{Contribution, Fusion, Model, Prediction, Scratch};
