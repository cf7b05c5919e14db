//! Dropping what is past its days, where nobody else does it.

use tracing::{info, warn};

use crate::model::Timestamp;
use crate::setup::Retention;
use crate::stores::{Call, Cluster, ClusterError, Family, Flavour, Method, Store};

/// Whether the worker drops old documents: where no lifecycle policy does, which is in the embedded
/// store and in a cluster without that feature.
///
/// # Errors
/// When the cluster does not answer.
pub(super) fn drops_old_itself(cluster: Option<&Cluster>) -> Result<bool, ClusterError> {
    let Some(cluster) = cluster else { return Ok(true) };
    let server = cluster.server();
    if server.serverless {
        return Ok(true);
    }
    let path = match server.flavour {
        Flavour::Elasticsearch => "/_ilm/policy",
        Flavour::OpenSearch => "/_plugins/_ism/policies",
    };
    match cluster.find(&Call::new("looking for lifecycle policies", Method::Get, path)) {
        // The privilege to read policies is not needed otherwise; where it exists, so do they.
        Ok(_) | Err(ClusterError::Forbidden { .. }) => Ok(false),
        Err(ClusterError::Missing { .. }) => {
            info!(%server, "the server has no lifecycle policies: old indices are dropped here");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Drops the indices of all families whose days are over at `now`.
pub(super) fn drop_old(store: &dyn Store, keep_days: Retention, now: Timestamp) {
    let Retention { flows, windows, anomalies, reports, deadletters, predictions } = keep_days;
    let kept = [
        (Family::Flows, flows),
        (Family::Windows, windows),
        (Family::Anomalies, anomalies),
        (Family::Alerts, anomalies),
        (Family::Health, reports),
        (Family::Reports, reports),
        (Family::DeadLetters, deadletters),
        (Family::Predictions, predictions),
    ];
    for (family, days) in kept {
        let cutoff = now.plus_seconds(-i64::from(days) * 86_400);
        match store.drop_before(family, cutoff) {
            Ok(dropped) => {
                dropped.iter().for_each(|index| info!(%index, "dropped after its time"));
            }
            Err(error) => warn!(%error, "old indices cannot be dropped"),
        }
    }
}
