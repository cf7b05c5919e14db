//! `export`: what is built in.

use std::io::{self, Write};

use crate::config::REFERENCE;

use super::Outcome;

/// Prints the reference settings.
pub(super) fn reference_settings() -> anyhow::Result<Outcome> {
    io::stdout().lock().write_all(REFERENCE.as_bytes())?;
    Ok(Outcome::Done)
}
