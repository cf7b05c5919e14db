//! Settings of where results go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::SettingError;
use crate::setup::Retention;
use crate::stores::{ClusterSettings, Flavour};

/// A hundred years: whoever wants to keep documents for ever has room, and no policy overflows.
const MOST_DAYS: u32 = 36_500;

/// Settings under `output:`. A cluster is the store when one is set, else the embedded store is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputSettings {
    /// `output.elasticsearch.*`; excludes `output.opensearch`.
    pub elasticsearch: Option<ClusterSettings>,
    /// `output.opensearch.*`; excludes `output.elasticsearch`.
    pub opensearch: Option<ClusterSettings>,
    /// `output.embedded.*`.
    pub embedded: EmbeddedOutput,
    /// Days that documents are kept, by kind. Addresses are personal data.
    pub keep_days: Retention,
}

/// Settings under `output.embedded:`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedOutput {
    /// Folder of the embedded store; `store` in `path.data` when absent.
    pub path: Option<PathBuf>,
}

impl OutputSettings {
    /// The cluster that is the store; `None` when the embedded store is.
    pub fn cluster(&self) -> Option<(Flavour, &ClusterSettings)> {
        let elasticsearch = self.elasticsearch.as_ref().map(|set| (Flavour::Elasticsearch, set));
        elasticsearch.or(self.opensearch.as_ref().map(|set| (Flavour::OpenSearch, set)))
    }

    /// Checks every value without touching anything outside.
    ///
    /// # Errors
    /// Names the key.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        if self.elasticsearch.is_some() && self.opensearch.is_some() {
            let problem = "and `output.opensearch` exclude each other: there is one store, \
                           remove one of the two";
            return Err(SettingError::new("output.elasticsearch", problem));
        }
        self.check_keep_days()?;
        self.cluster().map_or(Ok(()), |(flavour, settings)| settings.check(flavour.key()))
    }

    fn check_keep_days(&self) -> Result<(), SettingError> {
        let Retention { flows, windows, anomalies, reports, deadletters, predictions } =
            self.keep_days;
        let kept = [
            ("flows", flows),
            ("windows", windows),
            ("anomalies", anomalies),
            ("reports", reports),
            ("deadletters", deadletters),
            ("predictions", predictions),
        ];
        for (name, days) in kept {
            if !(1..=MOST_DAYS).contains(&days) {
                let problem = format!("must lie between 1 and {MOST_DAYS}, got {days}");
                return Err(SettingError::new(format!("output.keep_days.{name}"), problem));
            }
        }
        Ok(())
    }
}
