//! The model that is part of the program; see `models/README.md`.

/// Its name where models are named.
pub const NAME: &str = "kdd";

/// Its file: connection records as KDD'99 has them.
pub const FILE: &[u8] = include_bytes!("../../models/kdd.model");
