//! Results that are compared or counted instead of being written.

use crate::evaluate::Found;
use crate::sinks::{Document, Sink, SinkError};

/// Keeps of every document what an evaluation needs.
#[derive(Default)]
pub(super) struct Collected(pub(super) Found);

impl Sink for Collected {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        self.0.note(&document.body);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
