//! The learned model of the detector `learned`: read at the start, followed by workers.

use std::sync::Arc;

use anyhow::{Context, bail};
use tracing::{info, warn};

use super::super::common::open_store;
use super::stored::{Opened, key, registry_on};
use crate::classify::ModelName;
use crate::config::Config;
use crate::detect::learned::SharedModel;
use crate::stores::Store;

/// The model that the settings name, if they do.
fn name(config: &Config) -> Option<ModelName> {
    let settings = &config.detectors.learned;
    settings.model.clone().filter(|_| settings.enabled).map(ModelName::from)
}

/// Opens the model of the settings; none when they name none. `store` is that of the settings, when it
/// is open already.
pub(in super::super) fn learned_model(
    config: &Config,
    store: Option<&Arc<dyn Store>>,
) -> anyhow::Result<SharedModel> {
    let shared = SharedModel::default();
    if let Some(name) = name(config) {
        let opened = Opened::open(&name, || match store {
            Some(store) => registry_on(config, store),
            None => registry_on(config, &open_store(config)?),
        })?;
        put(&shared, opened).context("setting `detectors.learned.model`")?;
    }
    Ok(shared)
}

fn put(shared: &SharedModel, opened: Opened) -> anyhow::Result<()> {
    match shared.set(opened.model) {
        Ok(()) => Ok(()),
        Err(problem) => bail!(problem),
    }
}

/// Looks whether another model is to be used.
pub(in super::super) struct LearnedWatch {
    name: Option<ModelName>,
    known: Option<String>,
}

impl LearnedWatch {
    /// Begins with the model that is in use now.
    pub(in super::super) fn new(config: &Config, store: &Arc<dyn Store>) -> Self {
        let name = name(config);
        let known = name.as_ref().and_then(|name| key(config, name, store).ok());
        Self { name, known }
    }

    /// Follows a promotion, or a file that has changed. Where that fails, the model stays.
    pub(in super::super) fn look(
        &mut self,
        config: &Config,
        store: &Arc<dyn Store>,
        shared: &SharedModel,
    ) {
        let Some(name) = &self.name else { return };
        let key = match key(config, name, store) {
            Ok(key) => key,
            Err(error) => {
                warn!(error = %format!("{error:#}"), "the learned model of hosts cannot be looked at");
                return;
            }
        };
        if self.known.as_ref() == Some(&key) {
            return;
        }
        self.known = Some(key);
        let opened = Opened::open(name, || registry_on(config, store));
        match opened.and_then(|opened| put(shared, opened)) {
            Ok(()) => info!(model = %name, "another learned model of hosts is in use"),
            Err(error) => {
                warn!(error = %format!("{error:#}"), "another model of hosts cannot be used; the one in use stays");
            }
        }
    }
}
