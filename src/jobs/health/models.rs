//! Whether learned models still read what they were trained on.
//!
//! Each worker that lets a model judge records leaves word of how far they are from its training rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pipeline::Scope;
use super::report::{HealthFinding, HealthStatus};
use super::told::{Word, tell, told};
use crate::model::Timestamp;
use crate::models::drift::{DriftReport, FEWEST_ROWS, MUCH};
use crate::stores::{Namespace, Store, StoreError};

const KIND: &str = "models";
/// How many models are told of.
const MOST_MODELS: usize = 64;
/// How many features are named.
const NAMED: usize = 3;

/// What a worker says about a model in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// The name under which it is used.
    pub name: String,
    /// The first digits of the SHA-256 of its file.
    pub version: String,
    /// How far what it reads is from what it was trained on.
    pub drift: DriftReport,
}

/// Writes down how the models of `worker` are; what it said before is replaced. It holds until
/// `expires`.
///
/// # Errors
/// When the store fails.
pub fn tell_models(
    store: &dyn Store,
    namespace: &Namespace,
    worker: &str,
    models: &[ModelState],
    at: Timestamp,
    expires: Timestamp,
) -> Result<(), StoreError> {
    tell(store, namespace, &Word { kind: KIND, worker, at, expires }, json!(models))
}

/// Returns a finding for each model, of the worker where it is worst off.
///
/// # Errors
/// When the store does not answer.
pub(super) fn findings(scope: &Scope<'_>) -> Result<Vec<HealthFinding>, StoreError> {
    let mut worst: BTreeMap<String, ModelState> = BTreeMap::new();
    for state in told(scope, KIND)? {
        let models = state[KIND].as_array().into_iter().flatten();
        // Documents may be those of later versions: what cannot be read is left out.
        for model in models.filter_map(|one| serde_json::from_value::<ModelState>(one.clone()).ok())
        {
            let is_worse = |known: &ModelState| greatest(&model) > greatest(known);
            if worst.get(&model.name).is_none_or(is_worse) && worst.len() < MOST_MODELS {
                worst.insert(model.name.clone(), model);
            }
        }
    }
    Ok(worst.values().map(finding).collect())
}

/// The index of the feature that has drifted most; below 0 without one.
fn greatest(model: &ModelState) -> f64 {
    model.drift.features.first().map_or(-1.0, |feature| feature.index)
}

fn finding(model: &ModelState) -> HealthFinding {
    let ModelState { name, version, drift } = model;
    let new =
        |status, cause| HealthFinding::new(format!("model.{name}"), "Learned model", status, cause);
    let set_for = drift.expected_share.map_or(String::new(), |share| {
        format!(" (it was set for {:.1} % of normal ones)", share * 100.0)
    });
    let said = format!(
        "Model `{name}` ({version}) calls {:.1} % of the last {} records an attack{set_for}",
        drift.attack_share * 100.0,
        drift.rows,
    );
    if drift.features.is_empty() {
        let cause = format!("{said}; drift is told from {FEWEST_ROWS} records on.");
        return new(HealthStatus::Ok, cause);
    }
    let far: Vec<_> = drift.much().collect();
    let index = greatest(model);
    if far.is_empty() {
        let cause = format!("{said}. What it reads is like what it was trained on.");
        return new(HealthStatus::Ok, cause).figures(index, None, Some(MUCH));
    }
    let named = far.iter().take(NAMED).map(|one| format!("`{}` {:.2}", one.feature, one.index));
    let more = match far.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let cause = format!(
        "{said}. What it reads is unlike the normal rows it was trained on: stability index of {}{more}; from {MUCH} on much has changed.",
        named.collect::<Vec<_>>().join(", ")
    );
    new(HealthStatus::Warn, cause).figures(index, None, Some(MUCH)).remedy(
        "See whether a sender or a unit has changed. If the traffic is as it should be, train the model anew \
         with recent rows and promote it: `flowsentry train`, then `flowsentry models promote`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::health::settings::HealthSettings;
    use crate::models::drift::FeatureDrift;
    use crate::stores::{EmbeddedConfig, EmbeddedStore};

    fn state(name: &str, indices: &[(&str, f64)]) -> ModelState {
        let feature = |(feature, index): &(&str, f64)| FeatureDrift {
            feature: (*feature).into(),
            index: *index,
        };
        ModelState {
            name: name.to_owned(),
            version: "0123456789abcdef".to_owned(),
            drift: DriftReport {
                rows: 20_000,
                attack_share: 0.125,
                expected_share: Some(0.05),
                features: indices.iter().map(feature).collect(),
            },
        }
    }

    #[test]
    fn the_worst_worker_of_a_model_is_told_with_the_features_that_moved() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let (namespace, settings) = (Namespace::default(), HealthSettings::default());
        let at: Timestamp = "2026-03-03T06:00:00Z".parse().unwrap();
        let later = at.plus_seconds(600);
        let calm = [state("kdd", &[("count", 0.02)]), state("new", &[])];
        tell_models(&store, &namespace, "a", &calm, at, later).unwrap();
        let moved =
            [("count", 1.5), ("flag", 0.4), ("duration", 0.3), ("land", 0.26), ("hot", 0.1)];
        tell_models(&store, &namespace, "b", &[state("kdd", &moved)], at, later).unwrap();
        let gone = [state("gone", &[("count", 9.0)])];
        tell_models(&store, &namespace, "c", &gone, at, at.plus_seconds(-1)).unwrap();
        let scope =
            Scope { store: &store, namespace: &namespace, settings: &settings, hour: at, at };
        let found = findings(&scope).unwrap();
        let told: Vec<_> = found.iter().map(|it| (it.id.as_str(), it.status)).collect();
        assert_eq!(told, [("model.kdd", HealthStatus::Warn), ("model.new", HealthStatus::Ok)]);
        assert_eq!(
            found[0].cause,
            "Model `kdd` (0123456789abcdef) calls 12.5 % of the last 20000 records an attack (it was \
             set for 5.0 % of normal ones). What it reads is unlike the normal rows it was trained on: \
             stability index of `count` 1.50, `flag` 0.40, `duration` 0.30 and 1 more; from 0.25 on \
             much has changed."
        );
        assert!(found[1].cause.ends_with("drift is told from 1000 records on."));
    }
}
