//! Documents with places and names.

use crate::enrich::SharedEnricher;

use super::{Document, Sink, SinkError};

/// Adds places and names to every document before `inner` takes it.
pub struct EnrichedSink<S> {
    inner: S,
    enricher: Option<SharedEnricher>,
}

impl<S: Sink> EnrichedSink<S> {
    /// Returns `inner` behind `enricher`; without one documents pass as they are.
    pub fn new(inner: S, enricher: Option<SharedEnricher>) -> Self {
        Self { inner, enricher }
    }

    /// The sink below.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Sink> Sink for EnrichedSink<S> {
    fn write(&mut self, document: &Document) -> Result<(), SinkError> {
        let Some(enricher) = &self.enricher else { return self.inner.write(document) };
        let mut document = document.clone();
        enricher.get().add_to(&mut document.body);
        self.inner.write(&document)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.inner.flush()
    }
}
