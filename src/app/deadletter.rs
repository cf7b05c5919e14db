//! `deadletter`: what could not be used, listed and replayed.

mod list;
mod replay;

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, bail};

pub(super) use list::list;
pub(super) use replay::replay;

use crate::config::Config;
use crate::model::Letter;
use crate::sources::kafka::letters_of_topic;
use crate::sources::{LetterFilter, letters_of_file, letters_of_index};
use crate::stores::{Direction, Store};

/// Where the letters are, by the settings.
struct Letters<'c> {
    config: &'c Config,
    /// Opens the store when it is needed: to read from it, or to write into it.
    open: fn(&Config) -> anyhow::Result<Arc<dyn Store>>,
    store: OnceCell<Arc<dyn Store>>,
}

impl<'c> Letters<'c> {
    fn new(config: &'c Config, open: fn(&Config) -> anyhow::Result<Arc<dyn Store>>) -> Self {
        Self { config, open, store: OnceCell::new() }
    }

    /// The store, opened once: the embedded one has one opening at a time.
    fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        if let Some(store) = self.store.get() {
            return Ok(Arc::clone(store));
        }
        let store = (self.open)(self.config)?;
        Ok(Arc::clone(self.store.get_or_init(|| store)))
    }

    /// Hands letters to `each` until it breaks; those of an index by time in `direction`, others as
    /// they were written. Returns how many things there are no letters.
    fn read(
        &self,
        filter: &LetterFilter,
        direction: Direction,
        each: &mut dyn FnMut(Letter) -> ControlFlow<()>,
    ) -> anyhow::Result<u64> {
        let settings = &self.config.dead_letters;
        if let Some(path) = &settings.path {
            return letters_of_file(path, filter, each).context("reading the dead letters");
        }
        if let (Some(topic), Some(kafka)) = (&settings.topic, &self.config.input.kafka) {
            return letters_of_topic(kafka, topic, filter, each)
                .context("reading the dead letters");
        }
        if settings.index {
            let (store, namespace) = (self.store()?, self.config.namespace()?);
            return letters_of_index(&*store, &namespace, filter, direction, each)
                .context("reading the dead letters");
        }
        bail!(
            "no dead letters are kept: set `dead_letters.path`, `dead_letters.topic` or \
             `dead_letters.index`"
        );
    }
}
