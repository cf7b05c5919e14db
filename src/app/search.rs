//! `run` on indexed flows.

use std::sync::Arc;

use super::common::now;
use super::kafka::Readable;
use crate::sources::search::{Reach, SearchInput, SearchSource};
use crate::sources::{PartitionSource, Partitions, SourceError};
use crate::stores::{Namespace, Store};

/// Raw flows, as they arrive in the index.
pub(super) struct Indexed<'a> {
    pub(super) input: &'a SearchInput,
    pub(super) store: Arc<dyn Store>,
    pub(super) namespace: Namespace,
}

impl Readable for Indexed<'_> {
    fn group(&self) -> &str {
        &self.input.group_id
    }

    fn lease_seconds(&self) -> u32 {
        self.input.lease_seconds
    }

    fn snapshot_seconds(&self) -> u32 {
        self.input.snapshot_seconds
    }

    fn open(
        &self,
        partitions: Partitions,
        is_first_start: bool,
    ) -> Result<Box<dyn PartitionSource + '_>, SourceError> {
        let reach = Reach::Follow { input: self.input.clone(), is_first_start, now };
        let store = Arc::clone(&self.store);
        Ok(Box::new(SearchSource::new(store, self.namespace.clone(), partitions, reach)))
    }
}
