//! Enrichment that can be swapped while documents pass.

use std::sync::{Arc, PoisonError, RwLock};

use super::Enricher;

/// A handle on the current [`Enricher`]: whoever holds a clone may swap it.
#[derive(Clone, Debug)]
pub struct SharedEnricher(Arc<RwLock<Arc<Enricher>>>);

impl SharedEnricher {
    /// Returns a handle on `enricher`.
    pub fn new(enricher: Enricher) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(enricher))))
    }

    /// Puts `enricher` in the place of the current one.
    pub fn set(&self, enricher: Enricher) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(enricher);
    }

    /// Returns the current one.
    pub fn get(&self) -> Arc<Enricher> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
