//! Settings of lists that are fetched.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Blacklist, ID};
use crate::model::{Secret, SettingError};

/// Longest name of a feed.
const NAME_CHARS: usize = 40;
/// The most that a feed may have: what is read is held in memory for a moment.
const MOST_BYTES: u64 = 1 << 30;

/// One entry of `detectors.blacklist.feeds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedSettings {
    /// Its name in anomalies, in the health check and on the disk: 1–40 of `a`–`z`, `0`–`9`, `-`
    /// and `_`.
    pub name: String,
    /// Where it is fetched, `http://` or `https://`; excludes `path`. Never shown, as many hold a key.
    #[serde(default)]
    pub url: Option<Secret>,
    /// The file that it is read from; excludes `url`.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// A longer list is refused (1–1,073,741,824 bytes, after decompression).
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
    /// A list with fewer entries is refused; at least 1.
    #[serde(default = "default_min_entries")]
    pub min_entries: usize,
}

fn default_max_bytes() -> u64 {
    32 << 20
}

fn default_min_entries() -> usize {
    1
}

/// Settings under `detectors.blacklist.ssl:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedSslSettings {
    /// Files (PEM) of authorities to trust beside the public ones, which are built in.
    pub certificate_authorities: Vec<PathBuf>,
}

/// Checks what types cannot; the error names the feed by its place.
pub(super) fn check(feeds: &[FeedSettings]) -> Result<(), SettingError> {
    if feeds.len() > Blacklist::MAX_NAMED {
        let problem = format!("must be at most {}, got {}", Blacklist::MAX_NAMED, feeds.len());
        return Err(SettingError::new(format!("detectors.{ID}.feeds"), problem));
    }
    for (place, feed) in feeds.iter().enumerate() {
        feed.check().map_err(|(name, problem)| {
            SettingError::new(format!("detectors.{ID}.feeds.{place}.{name}"), problem)
        })?;
        if feeds[..place].iter().any(|other| other.name == feed.name) {
            let key = format!("detectors.{ID}.feeds.{place}.name");
            return Err(SettingError::new(
                key,
                format!("must be its own, `{}` is taken", feed.name),
            ));
        }
    }
    Ok(())
}

impl FeedSettings {
    /// The name of the setting and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let is_plain = |sign: u8| matches!(sign, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !(1..=NAME_CHARS).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            let problem = "must be 1 to 40 of the signs a–z, 0–9, `-` and `_`";
            return Err(("name", problem.to_owned()));
        }
        match (&self.url, &self.path) {
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => {
                return Err(("url", "and `path` exclude each other: remove one of the two".into()));
            }
            (None, None) => return Err(("url", "or `path` must be given".to_owned())),
        }
        if !(1..=MOST_BYTES).contains(&self.max_bytes) {
            let problem = format!("must lie between 1 and {MOST_BYTES}, got {}", self.max_bytes);
            return Err(("max_bytes", problem));
        }
        match self.min_entries {
            0 => Err(("min_entries", "must be at least 1, got 0".to_owned())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feeds(yaml: &str) -> Vec<FeedSettings> {
        serde_yaml_ng::from_str(yaml).expect("it parses")
    }

    #[test]
    fn wrong_values_name_their_key() {
        let problem = |yaml: &str| check(&feeds(yaml)).unwrap_err().to_string();
        let messages = [
            problem("[{name: ../x, path: a}]"),
            problem("[{name: '', path: a}]"),
            problem("[{name: a}]"),
            problem("[{name: a, path: a, url: 'https://example.org'}]"),
            problem("[{name: a, path: a}, {name: a, path: b}]"),
            problem("[{name: a, path: a, max_bytes: 0}]"),
            problem("[{name: a, path: a, min_entries: 0}]"),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r"
        setting `detectors.blacklist.feeds.0.name` must be 1 to 40 of the signs a–z, 0–9, `-` and `_`
        setting `detectors.blacklist.feeds.0.name` must be 1 to 40 of the signs a–z, 0–9, `-` and `_`
        setting `detectors.blacklist.feeds.0.url` or `path` must be given
        setting `detectors.blacklist.feeds.0.url` and `path` exclude each other: remove one of the two
        setting `detectors.blacklist.feeds.1.name` must be its own, `a` is taken
        setting `detectors.blacklist.feeds.0.max_bytes` must lie between 1 and 1073741824, got 0
        setting `detectors.blacklist.feeds.0.min_entries` must be at least 1, got 0
        ");
    }

    #[test]
    fn addresses_are_not_shown() {
        let feeds = feeds("[{name: a, url: 'https://example.org/?key=hunter2'}]");
        assert!(check(&feeds).is_ok() && !format!("{feeds:?}").contains("hunter2"));
    }
}
