//! Exceptions and feedback of the store, read at the start and again and again.

use std::sync::Arc;

use anyhow::Context;
use tracing::{info, warn};

use crate::alerts::{Rules, Settings, SharedRules};
use crate::config::Config;
use crate::stores::Store;
use crate::triage::{Desk, Reach};

/// Stored alerts are brought in line at least so often, whatever went wrong before, in seconds.
const APPLY_SECONDS: u32 = 3_600;
/// How often they are after a change: once, and once more when everything is stored that was judged
/// before it.
const TIMES: u32 = 2;

/// Reads what people decided about alerts.
pub(super) fn load(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<SharedRules> {
    let desk = Desk::new(Arc::clone(store), config.namespace()?);
    let rules = desk.rules(&config.alerts).context("reading exceptions and feedback")?;
    Ok(SharedRules::new(rules))
}

/// Keeps rules, and the alerts that are stored, in line with what people decide.
pub(super) struct Refresher {
    desk: Desk,
    settings: Settings,
    shared: SharedRules,
    /// How often stored alerts are to be looked at soon.
    times: u32,
    seconds_since_applied: u32,
}

impl Refresher {
    /// Returns one that swaps `shared`.
    pub(super) fn new(
        config: &Config,
        store: &Arc<dyn Store>,
        shared: SharedRules,
    ) -> anyhow::Result<Self> {
        let desk = Desk::new(Arc::clone(store), config.namespace()?);
        let settings = config.alerts.clone();
        Ok(Self { desk, settings, shared, times: TIMES, seconds_since_applied: 0 })
    }

    /// Reads again; what cannot be read or applied is tried again the next time.
    pub(super) fn refresh(&mut self) {
        let rules = match self.desk.rules(&self.settings) {
            Ok(rules) => rules,
            Err(error) => {
                warn!(%error, "exceptions and feedback cannot be read; those known stay in force");
                return;
            }
        };
        if rules != *self.shared.get() {
            info!(exceptions = rules.exceptions().count(), "exceptions or feedback have changed");
            self.shared.set(rules.clone());
            self.times = TIMES;
        }
        self.seconds_since_applied =
            self.seconds_since_applied.saturating_add(self.settings.refresh_seconds);
        if self.times > 0 || self.seconds_since_applied >= APPLY_SECONDS {
            self.apply(&rules);
        }
    }

    fn apply(&mut self, rules: &Rules) {
        match self.desk.apply(rules, Reach::All) {
            Ok(applied) => {
                self.times = self.times.saturating_sub(1);
                self.seconds_since_applied = 0;
                if applied.hidden + applied.shown > 0 {
                    let (hidden, shown) = (applied.hidden, applied.shown);
                    info!(hidden, shown, "stored alerts follow the exceptions");
                }
            }
            Err(error) => warn!(%error, "stored alerts do not follow the exceptions yet"),
        }
    }
}
