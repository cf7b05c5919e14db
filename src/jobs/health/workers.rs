//! Whether somebody judges what Kafka holds, and keeps up with it.

use serde_json::Value;

use super::exporters::minute;
use super::pipeline::{MINUTE_SECONDS, Scope, duration};
use super::report::{HealthFinding, HealthStatus};
use crate::model::Timestamp;
use crate::stores::{Family, Filter, SearchRequest, StoreError};

/// How many groups of workers one namespace may have; far more than there are.
const MOST_GROUPS: usize = 100;
/// A lease that ended so long ago was not only renewed late.
const GRACE_SECONDS: f64 = 60.0;

/// Returns a finding for each group of workers that reads from Kafka.
///
/// # Errors
/// When the store does not answer.
pub(super) fn findings(scope: &Scope<'_>) -> Result<Vec<HealthFinding>, StoreError> {
    let request = SearchRequest::new(Family::State, scope.namespace.clone())
        .filter(Filter::term("flowsentry.state.kind", "position"))
        .size(MOST_GROUPS);
    let hits = scope.store.search(&request)?.hits;
    Ok(hits.iter().map(|hit| finding(scope, &hit.source["flowsentry"]["state"])).collect())
}

fn finding(scope: &Scope<'_>, state: &Value) -> HealthFinding {
    let time = |key: &str| -> Option<Timestamp> { state[key].as_str()?.parse().ok() };
    let group = state["group"].as_str().unwrap_or_default();
    let finding = |status, cause| HealthFinding::new("worker", "Reading from Kafka", status, cause);
    if let Some(expires) = time("expires")
        && scope.at.seconds_since(expires) > GRACE_SECONDS
    {
        let cause = format!("No worker of group `{group}` has judged since {}.", minute(expires));
        return finding(HealthStatus::Warn, cause)
            .remedy("Start `flowsentry run` again, or look at its log.")
            .since(Some(expires));
    }
    let Some(seconds) = state["lag"]["seconds"].as_f64() else {
        return finding(HealthStatus::Ok, format!("A worker of group `{group}` judges."));
    };
    let messages = state["lag"]["messages"].as_u64().unwrap_or_default();
    let minutes = seconds / MINUTE_SECONDS;
    let limit = f64::from(scope.settings.late_minutes);
    let measured = |status, cause| finding(status, cause).figures(minutes, None, Some(limit));
    if minutes <= limit {
        let cause = format!("Group `{group}` keeps up with Kafka: {messages} messages wait.");
        return measured(HealthStatus::Ok, cause);
    }
    let cause =
        format!("Group `{group}` is {} behind Kafka: {messages} messages wait.", duration(minutes));
    let remedy = "Give the worker more processors, or let several workers share the topic \
                  (`input.kafka.partials_topic`).";
    measured(HealthStatus::Warn, cause).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::jobs::health::settings::HealthSettings;
    use crate::stores::{
        Document, DocumentId, EmbeddedConfig, EmbeddedStore, IndexName, Namespace, Store,
    };

    fn found(state: &Value) -> (HealthStatus, String) {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let (namespace, settings) = (Namespace::default(), HealthSettings::default());
        let at: Timestamp = "2026-03-03T06:00:00Z".parse().unwrap();
        let document = Document {
            index: IndexName::for_event(Family::State, &namespace, at),
            id: DocumentId::new("position-1").unwrap(),
            source: json!({"@timestamp": at, "flowsentry": {"state": state}}),
        };
        store.create(document).unwrap();
        let scope =
            Scope { store: &store, namespace: &namespace, settings: &settings, hour: at, at };
        let finding = findings(&scope).unwrap().remove(0);
        (finding.status, finding.cause)
    }

    #[test]
    fn a_group_that_keeps_up_one_that_is_behind_and_one_that_is_gone_are_told_apart() {
        let state = |expires: &str, seconds: u32| {
            json!({"kind": "position", "group": "g", "owner": "w", "epoch": 1, "expires": expires,
                   "lag": {"messages": 7, "seconds": seconds}})
        };
        let (status, cause) = found(&state("2026-03-03T06:00:20Z", 2));
        assert_eq!(status, HealthStatus::Ok);
        assert_eq!(cause, "Group `g` keeps up with Kafka: 7 messages wait.");
        let (status, cause) = found(&state("2026-03-03T06:00:20Z", 7_200));
        assert_eq!(status, HealthStatus::Warn);
        assert_eq!(cause, "Group `g` is 2 hours behind Kafka: 7 messages wait.");
        let (status, cause) = found(&state("2026-03-03T05:30:00Z", 2));
        assert_eq!(status, HealthStatus::Warn);
        assert!(cause.starts_with("No worker of group `g` has judged since "), "{cause}");
    }
}
