//! How a feed is, for the health check and for people.

use serde::{Deserialize, Serialize};

use super::saved::Head;
use crate::detect::blacklist::FeedSettings;
use crate::model::Timestamp;

/// Longest text of an error that is kept.
const ERROR_CHARS: usize = 300;

/// What became of one feed in one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Its name in the settings.
    pub name: String,
    /// When the list that is in use was fetched, or found unchanged; `None` before the first one.
    pub fetched: Option<Timestamp>,
    /// Distinct addresses and prefixes of that list.
    pub entries: usize,
    /// Entries of it that could not be used.
    pub rejected: u64,
    /// How often fetching failed since.
    pub failures: u32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// Why it failed last.
    pub error: Option<String>,
}

impl FeedState {
    pub(super) fn new(feed: &FeedSettings, head: Option<&Head>) -> Self {
        Self {
            name: feed.name.clone(),
            fetched: head.map(|head| head.fetched),
            entries: head.map_or(0, |head| head.entries),
            rejected: head.map_or(0, |head| head.rejected),
            failures: 0,
            failing_since: None,
            error: None,
        }
    }

    pub(super) fn succeeded(&mut self, head: &Head) {
        (self.fetched, self.entries, self.rejected) =
            (Some(head.fetched), head.entries, head.rejected);
        (self.failures, self.failing_since, self.error) = (0, None, None);
    }

    /// Returns the error as it is kept.
    pub(super) fn failed(&mut self, at: Timestamp, error: &super::FeedError) -> &str {
        self.failures = self.failures.saturating_add(1);
        self.failing_since.get_or_insert(at);
        self.error.insert(printable(&error.to_string()))
    }
}

/// The beginning of a text from outside, without what would steer a terminal.
pub(super) fn printable(text: &str) -> String {
    let plain = |sign: char| if sign.is_control() { '\u{fffd}' } else { sign };
    text.chars().take(ERROR_CHARS).map(plain).collect()
}
