//! Whether the lists of addresses are young, in every worker.
//!
//! Each worker fetches for itself and leaves a document that says how its feeds are; the check reads
//! those of all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exporters::minute;
use super::pipeline::{MINUTE_SECONDS, Scope, duration};
use super::report::{HealthFinding, HealthStatus};
use super::told::{Word, tell, told};
use crate::feeds::FeedState;
use crate::model::Timestamp;
use crate::stores::{Namespace, Store, StoreError};

const KIND: &str = "feeds";
/// How many feeds are told of; more than a worker may have.
const MOST_FEEDS: usize = 64;
/// One failure is tried again soon; so many in a row are told.
const MOST_FAILURES: u32 = 1;

/// Writes down how the feeds of `worker` are; what it said before is replaced. It holds until
/// `expires`.
///
/// # Errors
/// When the store fails. A document that is refused, or that somebody else has just written, is
/// left: the next one comes.
pub fn tell_feeds(
    store: &dyn Store,
    namespace: &Namespace,
    worker: &str,
    feeds: &[FeedState],
    at: Timestamp,
    expires: Timestamp,
) -> Result<(), StoreError> {
    tell(store, namespace, &Word { kind: KIND, worker, at, expires }, json!(feeds))
}

/// Returns a finding for each feed, of the worker that is worst off.
///
/// # Errors
/// When the store does not answer.
pub(super) fn findings(scope: &Scope<'_>) -> Result<Vec<HealthFinding>, StoreError> {
    let states = told(scope, KIND)?;
    let mut worst: BTreeMap<String, HealthFinding> = BTreeMap::new();
    for state in &states {
        let worker = state["owner"].as_str().filter(|_| states.len() > 1);
        for feed in feeds_of(state) {
            let finding = finding(scope, &feed, worker);
            let known = worst.get(&feed.name);
            if known.is_none_or(|known| rank(known) < rank(&finding)) && worst.len() < MOST_FEEDS {
                worst.insert(feed.name, finding);
            }
        }
    }
    Ok(worst.into_values().collect())
}

/// Documents may be those of later versions: what cannot be read is left out.
fn feeds_of(state: &Value) -> impl Iterator<Item = FeedState> {
    let feeds = state["feeds"].as_array().into_iter().flatten();
    feeds.filter_map(|feed| serde_json::from_value(feed.clone()).ok())
}

/// Worse is more: the status, then the age.
fn rank(finding: &HealthFinding) -> (HealthStatus, u64) {
    let age = finding.figures.map_or(u64::MAX, |figures| figures.actual as u64);
    (finding.status, age)
}

/// `worker` is named when it is one of several.
fn finding(scope: &Scope<'_>, feed: &FeedState, worker: Option<&str>) -> HealthFinding {
    let new = |status, mut cause: String| {
        if let Some(worker) = worker {
            cause += &format!(" That is the worst of several workers, `{worker}`.");
        }
        HealthFinding::new(format!("feed.{}", feed.name), "List of addresses", status, cause)
    };
    let name = &feed.name;
    let problem = feed.error.as_deref().map(|error| {
        let since =
            feed.failing_since.map_or(String::new(), |since| format!(" since {}", minute(since)));
        format!(" Fetching fails{since}: {error}.")
    });
    let problem = problem.unwrap_or_default();
    let remedy = "Run `flowsentry blacklist refresh` on the worker to see what is wrong, and check \
                  the address and the way to it; the last good list stays in use.";
    let Some(fetched) = feed.fetched else {
        let cause = format!("Feed `{name}` has no list yet.{problem}");
        return match feed.error {
            None => new(HealthStatus::Unknown, cause),
            Some(_) => new(HealthStatus::Warn, cause).remedy(remedy).since(feed.failing_since),
        };
    };
    let minutes = (scope.at.seconds_since(fetched) / MINUTE_SECONDS).max(0.0);
    let limit = 60.0 * f64::from(scope.settings.feed_age_hours);
    let cause = format!(
        "Feed `{name}` has {} entries and is {} old.{problem}",
        feed.entries,
        duration(minutes)
    );
    let (is_old, is_failing) = (minutes > limit, feed.failures > MOST_FAILURES);
    let status = if is_old || is_failing { HealthStatus::Warn } else { HealthStatus::Ok };
    let finding = new(status, cause).figures(minutes, None, Some(limit));
    if status == HealthStatus::Ok {
        return finding;
    }
    finding.remedy(remedy).since(feed.failing_since.or(Some(fetched)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::health::settings::HealthSettings;
    use crate::stores::{EmbeddedConfig, EmbeddedStore};

    fn state(name: &str, fetched: Option<&str>, failures: u32) -> FeedState {
        let failing = failures > 0;
        FeedState {
            name: name.to_owned(),
            fetched: fetched.map(|time| time.parse().unwrap()),
            entries: 1_200,
            rejected: 3,
            failures,
            failing_since: failing.then(|| "2026-03-03T05:00:00Z".parse().unwrap()),
            error: failing.then(|| "the server answered with status 404".to_owned()),
        }
    }

    /// The findings at six o'clock, after each worker told the state of one feed, in order.
    fn found(told: &[(&str, &str, FeedState)]) -> Vec<(String, HealthStatus, String)> {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::at(folder.path())).unwrap();
        let (namespace, settings) = (Namespace::default(), HealthSettings::default());
        let at: Timestamp = "2026-03-03T06:00:00Z".parse().unwrap();
        for (worker, expires, state) in told {
            let (state, expires) = (std::slice::from_ref(state), expires.parse().unwrap());
            tell_feeds(&store, &namespace, worker, state, at, expires).unwrap();
        }
        let scope =
            Scope { store: &store, namespace: &namespace, settings: &settings, hour: at, at };
        let findings = findings(&scope).unwrap().into_iter();
        findings.map(|finding| (finding.id, finding.status, finding.cause)).collect()
    }

    const LATER: &str = "2026-03-03T08:00:00Z";

    #[test]
    fn young_old_failing_and_missing_lists_are_told_apart() {
        let one = |state| found(&[("a", LATER, state)]).remove(0);
        let (id, status, cause) = one(state("x", Some("2026-03-03T03:00:00Z"), 0));
        assert_eq!((id.as_str(), status), ("feed.x", HealthStatus::Ok));
        assert_eq!(cause, "Feed `x` has 1200 entries and is 3 hours old.");
        let (_, status, cause) = one(state("x", Some("2026-02-28T06:00:00Z"), 0));
        assert_eq!(status, HealthStatus::Warn);
        assert_eq!(cause, "Feed `x` has 1200 entries and is 3 days old.");
        let (_, status, _) = one(state("x", Some("2026-03-03T03:00:00Z"), 1));
        assert_eq!(status, HealthStatus::Ok, "it is tried again");
        let (_, status, cause) = one(state("x", Some("2026-03-03T03:00:00Z"), 2));
        assert_eq!(status, HealthStatus::Warn);
        assert_eq!(
            cause,
            "Feed `x` has 1200 entries and is 3 hours old. Fetching fails since 2026-03-03 05:00 \
             UTC: the server answered with status 404."
        );
        assert_eq!(one(state("x", None, 1)).1, HealthStatus::Warn);
        assert_eq!(one(state("x", None, 0)).1, HealthStatus::Unknown);
    }

    #[test]
    fn the_worst_worker_counts_the_last_word_of_each_and_the_gone_do_not() {
        let good = || state("x", Some("2026-03-03T05:00:00Z"), 0);
        let bad = || state("x", Some("2026-03-03T03:00:00Z"), 7);
        let status = |told: &[_]| found(told).first().map(|finding| finding.1);
        let both = [("a", LATER, good()), ("b", LATER, bad()), ("c", LATER, good())];
        assert_eq!(status(&both), Some(HealthStatus::Warn));
        assert!(found(&both)[0].2.ends_with("the worst of several workers, `b`."));
        let mended = [("a", LATER, bad()), ("a", LATER, good())];
        assert_eq!(status(&mended), Some(HealthStatus::Ok));
        let gone = [("a", "2026-03-03T05:59:59Z", bad())];
        assert_eq!(status(&gone), None);
    }
}
